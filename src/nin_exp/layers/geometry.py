"""Sizes of convolution and pooling outputs, as torch computes them, and errors that say what would fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from nin_exp.errors import GeometryError

# No layer stack of practical use needs a larger image; the search stops there.
_LARGEST_IMAGE_TRIED = 4096


def output_size(size: int, *, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Pixels along one axis after a sliding window; zero or less when the window does not fit.

    The formula of torch.nn.MaxPool2d (and, with floor rounding, Conv2d). In ceil mode a window that
    would start in the padding behind the image is dropped.

    Args:
        size: pixels along the axis before, at least 1.
        kernel: window size in pixels, at least 1.
        stride: step in pixels, at least 1.
        padding: pixels added at both ends, at least 0.
        dilation: distance of the window's taps in pixels, at least 1.
        ceil_mode: round up (a last window may hang over the edge) instead of down.

    >>> output_size(32, kernel=3, stride=2, padding=0, dilation=1, ceil_mode=True)
    16
    >>> output_size(32, kernel=3, stride=2, padding=0, dilation=1, ceil_mode=False)
    15
    """
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    steps = -(-room // stride) + 1
    return steps - 1 if (steps - 1) * stride >= size + padding else steps


@dataclass(frozen=True)
class Window:
    """One sliding window on the way from the image to the features; pairs are (vertical, horizontal)."""

    name: str
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    ceil_mode: bool

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after the window; zero or less where it does not fit."""
        across = [
            output_size(
                size,
                kernel=self.kernel[axis],
                stride=self.stride[axis],
                padding=self.padding[axis],
                dilation=self.dilation[axis],
                ceil_mode=self.ceil_mode,
            )
            for axis, size in enumerate((height, width))
        ]
        return across[0], across[1]

    def __str__(self) -> str:
        return f"{self.name} (kernel {_short(self.kernel)}, padding {_short(self.padding)})"


def window_of(name: str, layer: nn.Module) -> Window | None:
    """The window of a convolution or pooling layer, or None for layers that keep the size."""
    if not isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
        return None
    dilation = 1 if isinstance(layer, nn.AvgPool2d) else layer.dilation
    ceil_mode = not isinstance(layer, nn.Conv2d) and layer.ceil_mode
    padding = layer.padding
    if isinstance(padding, str):  # Conv2d(padding="same" | "valid"); torch allows "same" with stride 1 only
        return None if padding == "same" else _window(name, layer, 0, dilation, ceil_mode)
    return _window(name, layer, padding, dilation, ceil_mode)


def windows_along(module: nn.Module, is_side_branch: Callable[[str], bool]) -> list[Window]:
    """The windows of a module's layers in the order of definition.

    Args:
        module: layers defined in the order in which an image passes them.
        is_side_branch: whether the layer of this dotted name runs beside the main path, such as a shortcut.
    """
    named = ((name, layer) for name, layer in module.named_modules() if not is_side_branch(name))
    windows = (window_of(name, layer) for name, layer in named)
    return [window for window in windows if window is not None]


def trace_size(windows: Sequence[Window], height: int, width: int) -> tuple[int, int]:
    """Height and width after all windows.

    Raises:
        GeometryError: a window does not fit; names it, the size it got, and the smallest image that fits.
    """
    size = (height, width)
    for window in windows:
        following = window.output(*size)
        if min(following) < 1:
            smallest = smallest_image(windows)
            remedy = f"; the smallest image that fits is {_times(smallest)}" if smallest is not None else ""
            raise GeometryError(
                f"{window} must fit its input, got {_times(size)} from an image of {height}x{width}{remedy}:"
                " set dataset.image_size or choose another backbone"
            )
        size = following
    return size


def smallest_image(windows: Sequence[Window]) -> tuple[int, int] | None:
    """The smallest height and width that pass all windows, or None above 4096 pixels."""
    # A larger image never gives a smaller output, so each axis can be searched on its own.
    sides = range(1, _LARGEST_IMAGE_TRIED + 1)
    smallest = [next((s for s in sides if _axis_fits(windows, axis, s)), None) for axis in (0, 1)]
    return None if smallest[0] is None or smallest[1] is None else (smallest[0], smallest[1])


def receptive_field(windows: Iterable[Window]) -> tuple[int, int]:
    """Side in pixels of the image region that one output value sees, and the step between neighbours.

    Vertical axis; Dumoulin & Visin 2016 (arXiv 1603.07285). Padding and clipping at the edge are ignored.
    """
    field, jump = 1, 1
    for window in windows:
        field += window.dilation[0] * (window.kernel[0] - 1) * jump
        jump *= window.stride[0]
    return field, jump


def _axis_fits(windows: Sequence[Window], axis: int, size: int) -> bool:
    for window in windows:
        size = window.output(size, size)[axis]
        if size < 1:
            return False
    return True


def _window(
    name: str,
    layer: nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d,
    padding: int | tuple[int, ...],
    dilation: int | tuple[int, ...],
    ceil_mode: bool,
) -> Window:
    kernel, stride = _pair(layer.kernel_size), _pair(layer.stride)
    return Window(name, kernel, stride, _pair(padding), _pair(dilation), ceil_mode)


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _times(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"


def _short(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else _times(pair)
