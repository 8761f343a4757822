"""The style sheet's colours: readable text in both themes (WCAG 2.2, contrast 4.5 for text and 3 for marks)."""

import importlib.resources
import re

import pytest

from nin_exp.report.figures.figure import NUM_ARM_COLOURS

CSS = importlib.resources.files("nin_exp.report").joinpath("templates/report.css").read_text(encoding="utf-8")
TOKENS = {
    name: (light, dark)
    for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", CSS)
}
TEXT = ("ink", "muted", "accent", "better", "worse", "same", "undecided", "none")


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    bright, dim = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def mixed(colour: str, ground: str, share: float) -> str:
    pairs = [(int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(share * c + (1 - share) * g):02x}" for c, g in pairs)


def test_contrast_by_hand() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", TEXT)
def test_text_is_readable(name: str, theme: int) -> None:
    colour = TOKENS[name][theme]
    for ground in ("page", "surface"):
        assert contrast(colour, TOKENS[ground][theme]) >= 4.5
    if name not in ("ink", "muted", "accent"):  # badges stand on a tint of their own colour
        assert contrast(colour, mixed(colour, TOKENS["surface"][theme], 0.12)) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("index", range(NUM_ARM_COLOURS))
def test_arms_stand_out(index: int, theme: int) -> None:
    assert contrast(TOKENS[f"arm-{index}"][theme], TOKENS["surface"][theme]) >= 3


def test_every_token_exists() -> None:
    defined = set(re.findall(r"--([\w-]+):", CSS))
    assert set(re.findall(r"var\(--([\w-]+)", CSS)) <= defined
    assert len(TOKENS) > 20
