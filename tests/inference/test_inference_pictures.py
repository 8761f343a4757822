"""Pictures hold what they should, whatever they are of."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from nin_exp.inference.pictures import (
    CAPTION,
    CELL,
    GAP,
    Cell,
    captioned,
    filter_grid,
    heat_map,
    magnified,
    overlay,
    placed_box,
    scaled,
    sheet,
)
from nin_exp.inference.run import load_run
from nin_exp.inference.save import save_explanations, save_pictures
from nin_exp.inference.svg import svg_sheet

CONF = Path(__file__).resolve().parents[2] / "conf"

GREEN = np.zeros((10, 20, 3), np.uint8) + np.array([0, 200, 0], np.uint8)


def with_box(image, values, box) -> Image.Image:
    """Laid over, with its box, before the caption is added."""
    picture = overlay(image, values, 200)
    placed = placed_box(box, image.shape[1], image.shape[0], picture)
    whole = Cell(picture, "", box=placed).drawn()
    return whole.crop(((CELL - 200) // 2, (CELL - 100) // 2, (CELL - 200) // 2 + 200, (CELL - 100) // 2 + 100))


def test_overlay_shows_the_place_and_the_box() -> None:
    values = np.zeros((10, 20), np.float32)
    values[4:6, 12:16] = 1.0
    picture = np.asarray(with_box(GREEN, values, (12, 4, 16, 6)))
    assert picture.shape == (100, 200, 3)
    assert tuple(picture[40, 140]) == (0, 255, 255)  # the box's upper edge
    assert picture[50, 140, 0] > 120  # hot inside
    assert picture[50, 140, 0] > picture[90, 20, 0] + 50
    plain = np.asarray(overlay(GREEN, np.zeros((2, 2), np.float32), 200))
    assert (plain == plain[0, 0]).all()


@pytest.mark.parametrize(("shape", "size"), [((8, 8), (192, 192)), ((4, 8), (192, 96)), ((600, 3), (1, 192))])
def test_magnified_keeps_the_proportions(shape, size) -> None:
    assert magnified(np.zeros((*shape, 3), np.uint8), 192).size == size


def test_small_images_keep_their_pixels() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20
    large = np.asarray(magnified(image, 100))
    assert np.array_equal(large, np.kron(image, np.ones((50, 50, 1), np.uint8)))


def test_scaled() -> None:
    np.testing.assert_allclose(scaled(np.array([[-2.0, 1.0], [4.0, 2.0]], np.float32)), [[0, 0.25], [1, 0.5]])
    assert (scaled(np.full((2, 2), -1.0, np.float32)) == 0).all()
    np.testing.assert_allclose(scaled(np.array([[1.0]], np.float32), highest=4.0), [[0.25]])


def test_colours_grow_brighter() -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None]
    light = np.asarray(heat_map(ramp, 256, 1).convert("L"), dtype=int)[0]
    assert (np.diff(light) >= 0).all()
    assert light[0] < 5
    assert light[-1] > 240


LONG = "a name that is much too long for a cell of this width 12.3%"


@pytest.mark.parametrize("caption", ["cat 99.1%", LONG, "猫 50%", ""])
def test_captions_fit(caption) -> None:
    cell = np.asarray(captioned(Image.new("RGB", (CELL, 10), (9, 9, 9)), caption).convert("L"))
    assert cell.shape == (CELL + CAPTION, CELL)
    assert (cell[CELL:] < 128).any() == bool(caption)


def test_sheet_of_uneven_rows() -> None:
    cell = captioned(Image.new("RGB", (CELL, CELL)), "x")
    picture = sheet([[cell], [cell, cell, cell]])
    assert picture.size == (3 * CELL + 4 * GAP, 2 * (CELL + CAPTION) + 3 * GAP)


@pytest.mark.parametrize(
    ("shape", "tiles"),
    [((7, 3, 5, 5), 7), ((7, 1, 5, 5), 7), ((2, 4, 3, 3), 8), ((1, 3, 64, 64), 1)],
)
def test_filters_are_tiles(shape, tiles) -> None:
    filters = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    filters[0] = 0
    grid = np.asarray(filter_grid(filters)).astype(int)
    side = shape[2] * max(1, 48 // shape[2])
    assert (grid[3 : 3 + side, 3 : 3 + side] == 128).all()  # zero is grey
    used = (grid != 255).any(axis=2)
    assert used[3 :: side + 3, 3 :: side + 3].sum() <= tiles


def test_one_picture_an_image_under_a_name_of_its_own(run, test_images, save_pngs, tmp_path) -> None:
    first, second = (save_pngs(test_images[:2], tmp_path / name) for name in "ab")
    out = tmp_path / "out"
    assert save_pictures(out, run.explain_each([*first, *second, tmp_path / "gone.png"])) == 4
    assert sorted(p.name for p in out.iterdir()) == ["0000-2.png", "0000.png", "0001-2.png", "0001.png"]
    for path in out.iterdir():
        with Image.open(path) as picture:
            assert picture.size == (2 * CELL + 3 * GAP, CELL + CAPTION + 2 * GAP)


def test_explanations_are_written(run, test_images, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("nin_exp.inference.save.MAX_ROWS", 2)
    count = 3
    written = save_explanations(tmp_path, run, run.explain(test_images[:count]))
    assert {p.name for p in written} == {p.name for p in tmp_path.iterdir()}
    names = [p.name for p in written]
    assert names[count:] == ["class_maps.png", "class_maps-2.png", "filters.png"]
    with Image.open(tmp_path / "class_maps.png") as picture:
        assert picture.width == 11 * CELL + 12 * GAP  # the image and ten classes
    with Image.open(tmp_path / names[0]) as picture:
        assert picture.width == 3 * CELL + 4 * GAP  # the image, CAM, Grad-CAM


def test_a_head_without_maps_and_many_classes(copied, test_images, tmp_path) -> None:
    """Weights as drawn: a run of no epoch, of another head, and with more classes than a row shows."""
    untrained(copied, "flatten_linear", num_classes=10)
    written = save_explanations(tmp_path / "flat", load_run(copied), load_run(copied).explain(test_images[:1]))
    assert [p.name for p in written] == ["image_0.png", "filters.png"]
    with Image.open(written[0]) as picture:
        assert picture.width == 2 * CELL + 3 * GAP  # the image and Grad-CAM
    untrained(copied, "gap", num_classes=23)
    written = save_explanations(tmp_path / "many", load_run(copied), load_run(copied).explain(test_images[:1]))
    with Image.open(tmp_path / "many" / "class_maps.png") as picture:
        assert picture.width == 11 * CELL + 12 * GAP


def untrained(run_dir, head: str, num_classes: int) -> None:
    record = json.loads((run_dir / "record.json").read_text())
    (run_dir / "record.json").write_text(json.dumps({**record, "epochs": 0, "best_epoch": None}))
    spec = json.loads((run_dir / "input.json").read_text())
    names = [f"class {number}" for number in range(num_classes)]
    (run_dir / "input.json").write_text(json.dumps({**spec, "class_names": names, "num_classes": num_classes}))
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    config["head"] = yaml.safe_load((CONF / "head" / f"{head}.yaml").read_text())
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))


def test_svg_says_what_the_picture_says(run, test_images, tmp_path) -> None:
    found = run.explain(test_images[:1])
    written = save_explanations(tmp_path, run, found, ("png", "svg"))
    assert [p.name for p in written[:4]] == ["image_0.png", "image_0.svg", "class_maps.png", "class_maps.svg"]
    space = "{http://www.w3.org/2000/svg}"
    root = ElementTree.parse(tmp_path / "image_0.svg").getroot()
    with Image.open(tmp_path / "image_0.png") as picture:
        assert (int(root.attrib["width"]), int(root.attrib["height"])) == picture.size
    texts = [text.text for text in root.iter(f"{space}text")]
    assert texts[0] == "image 0"
    assert texts[1].startswith(f"CAM: {found[0].class_name} ")
    boxes = [box for box in root.iter(f"{space}rect") if box.attrib["fill"] == "none"]
    left, top, right, bottom = found[0].box()
    assert float(boxes[0].attrib["width"]) == pytest.approx((right - left) * CELL / 8, abs=2)
    assert float(boxes[0].attrib["height"]) == pytest.approx((bottom - top) * CELL / 8, abs=2)
    assert len(list(ElementTree.parse(tmp_path / "class_maps.svg").getroot().iter(f"{space}image"))) == 11


@pytest.mark.parametrize("caption", ["<b>&\"'", "a\x00\x1b[31mb", "猫", LONG])
def test_svg_of_any_caption(caption) -> None:
    cell = Cell(Image.new("RGB", (CELL, 10)), caption, is_bold=True, box=(0, 0, 5, 5))
    (text,) = ElementTree.fromstring(svg_sheet([[cell]])).iter("{http://www.w3.org/2000/svg}text")
    assert text.text == "".join(c if c.isprintable() else "?" for c in caption)
