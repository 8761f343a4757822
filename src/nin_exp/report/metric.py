"""How a metric's numbers are named and written."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

_NAMES = {
    "acc": "accuracy",
    "loss": "loss",
    "nll": "negative log-likelihood",
    "brier": "Brier score",
    "ece": "expected calibration error",
}
_SPLITS = {"val": "validation", "train": "training"}


@dataclass(frozen=True)
class Metric:
    """A metric by its key, such as ``test/acc``; accuracies are shown in percent, differences in points."""

    key: str

    @property
    def split(self) -> str:
        """The split's short name, such as ``test``."""
        return self.key.partition("/")[0]

    @property
    def is_accuracy(self) -> bool:
        """Whether chance and percent mean something."""
        return self.key.endswith("/acc")

    @property
    def label(self) -> str:
        """Such as "test accuracy"."""
        split, _, name = self.key.partition("/")
        return f"{_SPLITS.get(split, split)} {_NAMES.get(name, name)}"

    @property
    def scale(self) -> float:
        """What a stored value is multiplied by to be shown."""
        return 100.0 if self.is_accuracy else 1.0

    @property
    def unit(self) -> str:
        """Unit of a shown score."""
        return "%" if self.is_accuracy else ""

    def score(self, value: float | None) -> str:
        """A score for a table, without its unit."""
        if value is None:
            return "–"
        return f"{100 * value:.2f}" if self.is_accuracy else f"{value:.4g}"

    def spread(self, value: float | None) -> str:
        """A standard deviation or a width, on the scale of the scores."""
        return self.score(value)

    def decimals(self, width: float) -> int:
        """Decimals that an interval of this width deserves: its ends keep about two digits of the width."""
        shown = abs(width) * self.scale
        for decimals, least in ((1, 1.0), (2, 0.05), (3, 0.005)):
            if shown >= least:
                return decimals
        return 2 if shown == 0 else 4

    def difference(self, value: float | None, decimals: int = 2, *, plus: bool = False) -> str:
        """A difference of scores, in points for accuracies; ``plus`` writes the sign of a gain too.

        >>> Metric("test/acc").difference(-0.012, 1), Metric("test/acc").difference(-0.00001, 1)
        ('-1.2', '0.0')
        """
        if value is None:
            return "–"
        text = f"{value * self.scale:+.{decimals}f}"
        return text if float(text) != 0 and (plus or text.startswith("-")) else text.lstrip("+-")

    def amount(self, value: float, decimals: int = 2) -> str:
        """A difference without sign and with its unit, such as "1.2 points".

        >>> Metric("test/acc").amount(-0.012, 1)
        '1.2 points'
        """
        text = self.difference(abs(value), decimals)
        return f"{text} points" if self.is_accuracy else text

    def threshold(self, value: float) -> str:
        """A threshold that a person chose, without added zeros, such as "0.2 points"."""
        return f"{value * self.scale:g} points" if self.is_accuracy else f"{value:g}"


def p_value(p: float | None) -> str:
    """Write a p-value: "0.008", "< 0.001", "1".

    >>> p_value(0.0078125), p_value(0.0625), p_value(0.0001), p_value(1.0)
    ('0.008', '0.063', '< 0.001', '1')
    """
    if p is None:
        return "–"
    if p < 0.001:
        return "< 0.001"
    # Half up, as people round: the exact p of five pairs is 0.0625, and round() would make it 0.062.
    text = str(Decimal(repr(p)).quantize(Decimal("0.001"), ROUND_HALF_UP))
    return text.rstrip("0").rstrip(".")


def p_equation(p: float) -> str:
    """Write "p = 0.008" or "p < 0.001"."""
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def percent(fraction: float) -> str:
    """Write a confidence without added zeros: 0.95 gives "95 %"."""
    return f"{round(100 * fraction, 4):g} %"


def count(value: float | None) -> str:
    """A whole number with thin groups of thousands, as 12 345."""
    return "–" if value is None else f"{round(value):,}".replace(",", "\u202f")


def memory(num_bytes: float | None) -> str:
    """Bytes in the largest fitting binary unit."""
    if num_bytes is None:
        return "–"
    value = float(num_bytes)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"


def duration(seconds: float | None) -> str:
    """Seconds as a person reads them: "41 s", "3 min 20 s", "2 h 05 min"."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
