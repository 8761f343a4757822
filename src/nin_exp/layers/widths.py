"""Channel counts under a width multiplier."""

from __future__ import annotations

_FEWEST_CHANNELS = 8


def scaled_width(channels: int, multiplier: float) -> int:
    """Channels times the multiplier, rounded, not below 8 (nor below the given number when that is less).

    >>> scaled_width(192, 0.25), scaled_width(96, 0.01), scaled_width(6, 1.0)
    (48, 8, 6)
    """
    return max(min(_FEWEST_CHANNELS, channels), round(channels * multiplier))
