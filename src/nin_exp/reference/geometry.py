"""Sizes of sliding windows: what a kernel, stride and padding make of an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

IntPair = int | tuple[int, int]


def pair(value: IntPair, name: str, minimum: int) -> tuple[int, int]:
    """Return ``(height, width)`` from one number or two.

    >>> pair(3, "stride", minimum=1)
    (3, 3)

    Raises:
        ValueError: a number below ``minimum``.
    """
    height, width = (value, value) if isinstance(value, int) else value
    if min(height, width) < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")
    return int(height), int(width)


@dataclass(frozen=True)
class Window:
    """A window of ``kernel`` values that moves by ``stride`` over an image with ``padding`` on every side.

    Each field is ``(height, width)``. With ``ceil_mode`` a last window may hang over the far edge, as in
    cuda-convnet (Krizhevsky) and Caffe: 32 values under 3/2 windows give 16 places instead of 15. Such a
    window must still start inside the image or its near padding (torch's rule).
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    ceil_mode: bool = False

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Number of places the window takes.

        >>> Window((3, 3), (2, 2), (0, 0), ceil_mode=True).output_size(32, 32)
        (16, 16)

        Raises:
            ValueError: the window does not fit the padded image.
        """
        sizes = [self._places(size, axis) for axis, size in enumerate((height, width))]
        if min(sizes) < 1:
            kernel = "x".join(map(str, self.kernel))
            raise ValueError(
                f"a {kernel} window with padding {self.padding} must fit its image, got {height}x{width}; "
                "use larger images, a smaller kernel or more padding"
            )
        return sizes[0], sizes[1]

    def _places(self, size: int, axis: int) -> int:
        k, s, p = self.kernel[axis], self.stride[axis], self.padding[axis]
        room = size + 2 * p - k
        places = (-(-room // s) if self.ceil_mode else room // s) + 1
        if self.ceil_mode and (places - 1) * s >= size + p:
            places -= 1
        return places

    def taps(self, size: int, places: int, axis: int) -> Iterator[tuple[int, slice, slice]]:
        """For each offset in the window: the places where it reads inside the image, and what it reads there.

        Yields ``(offset, places, values)``; ``values`` has the step ``stride``, and both slices have the same
        length. What lies in the padding, or beyond a hanging window's edge, is left out.

        >>> list(Window((3, 3), (1, 1), (1, 1)).taps(4, 4, axis=0))[0]
        (0, slice(1, 4, None), slice(0, 3, 1))
        """
        s, p = self.stride[axis], self.padding[axis]
        for offset in range(self.kernel[axis]):
            shift = offset - p
            first = max(0, -(shift // s))  # the first place whose value, place * s + shift, is not below 0
            last = min(places - 1, (size - 1 - shift) // s)
            if first <= last:
                start = first * s + shift
                yield offset, slice(first, last + 1), slice(start, last * s + shift + 1, s)
