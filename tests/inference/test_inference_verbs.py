"""``predict``, ``explain`` and ``evaluate`` as typed: what they print, write, and exit with."""

from __future__ import annotations

import csv
import io
import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nin_exp.cli.complete import candidates
from nin_exp.cli.main import main
from nin_exp.errors import DataError
from nin_exp.inference.files import image_files


@pytest.fixture
def photos(test_images, save_pngs, tmp_path: Path) -> Path:
    """Four images in a folder and one below it, beside what is none."""
    folder = tmp_path / "photos"
    save_pngs(test_images[:4], folder)
    save_pngs(test_images[4:5], folder / "more")
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def typed(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_predict_table(trained, photos, capsys, test_logits) -> None:
    code, out, _ = typed(capsys, "predict", trained, photos, "--top", 2)
    assert code == 0
    header, *rows = out.splitlines()
    assert header.split() == ["image", "1.", "2."]
    assert [Path(row.split()[0]).name for row in rows] == ["0000.png", "0001.png", "0002.png", "0003.png", "0000.png"]
    for row, logits in zip(rows, test_logits, strict=False):
        cells = row.split()
        assert [cells[1], cells[3]] == [str(i) for i in np.argsort(-logits)[:2]]


def test_a_folder_from_python_is_what_the_verb_reads(run, photos) -> None:
    names = [prediction.name for prediction in run.predict(photos)]
    assert names == [str(path) for path in image_files([str(photos)], io.BytesIO())]
    assert len(names) == 5


def test_predict_json(trained, photos, capsys, test_logits) -> None:
    code, out, _ = typed(capsys, "predict", trained, photos / "0001.png", photos / "0002.png", "--json")
    assert code == 0
    entries = json.loads(out)
    assert [e["image"] for e in entries] == [str(photos / "0001.png"), str(photos / "0002.png")]
    assert [e["class"] for e in entries] == [str(test_logits[1].argmax()), str(test_logits[2].argmax())]
    assert [len(e["top"]) for e in entries] == [3, 3]
    assert entries[0]["top"][0] == {"class": entries[0]["class"], "probability": entries[0]["probability"]}


def test_broken_images_do_not_stop_the_others(trained, photos, capsys, tmp_path) -> None:
    (photos / "0002.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    table = tmp_path / "out" / "classes.csv"
    code, out, err = typed(capsys, "predict", trained, photos, photos / "gone.png", "--csv", table, "--json")
    assert code == 3
    assert f"nin-exp: {photos / '0002.png'}: not an image" in err
    assert f"nin-exp: {photos / 'gone.png'}: not a file" in err
    assert err.splitlines()[-1] == "nin-exp: error: 2 of 6 images could not be read"
    assert ["error" in entry for entry in json.loads(out)] == [False, False, True, False, False, True]
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["error"] for row in rows] == ["", "", "not an image", "", "", "not a file"]
    assert sum(float(rows[0][f"p/{name}"]) for name in range(10)) == pytest.approx(1)
    assert float(rows[0]["probability"]) == float(rows[0][f"p/{rows[0]['class']}"])


def test_csv_to_standard_output_stands_alone(trained, photos, capsys) -> None:
    _, out, _ = typed(capsys, "predict", trained, photos, "--csv", "-")
    assert len(list(csv.reader(io.StringIO(out)))) == 6


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_names_on_standard_input(trained, photos, capsys, monkeypatch, separator) -> None:
    names = [photos / "0003.png", photos / "more" / "0000.png"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(separator.join(map(str, names)).encode())))
    code, out, _ = typed(capsys, "predict", trained, "-", "--json")
    assert code == 0
    assert [entry["image"] for entry in json.loads(out)] == list(map(str, names))


def test_an_image_on_standard_input(trained, photos, capsys, monkeypatch, test_logits) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((photos / "0003.png").read_bytes())))
    code, out, _ = typed(capsys, "predict", trained, "-", "--json")
    assert code == 0
    assert json.loads(out)[0]["class"] == str(test_logits[3].argmax())


def test_folders_and_input_without_images(tmp_path) -> None:
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(DataError, match=r"must hold at least one image file, got none; known endings are \.bmp"):
        image_files([str(tmp_path)], io.BytesIO())
    with pytest.raises(DataError, match="standard input must hold an image, or names"):
        image_files(["-"], io.BytesIO(b"\n \n"))


def test_predict_saves_pictures(trained, photos, capsys, tmp_path) -> None:
    (photos / "0001.png").write_bytes(b"none")
    code, _, err = typed(capsys, "predict", trained, photos, "--save", tmp_path / "out")
    assert code == 3
    assert "nin-exp: 4 pictures in" in err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0000-2.png", "0000.png", "0002.png", "0003.png"]


def test_explain(trained, photos, capsys, tmp_path) -> None:
    out_dir = tmp_path / "out"
    code, out, _ = typed(capsys, "explain", trained, photos, "--out", out_dir, "--class", 3)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith(f"{photos / '0000.png'}  3 0.")
    assert {Path(line).name for line in lines[5:]} == {p.name for p in out_dir.iterdir()}
    assert {"class_maps.png", "filters.png", "0000.png", "0000-2.png"} <= {p.name for p in out_dir.iterdir()}
    for path in out_dir.iterdir():
        with Image.open(path) as picture:
            assert picture.format == "PNG"


@pytest.mark.parametrize(("flag", "endings"), [("svg", {".svg"}), ("both", {".png", ".svg"})])
def test_explain_as_svg(trained, photos, capsys, tmp_path, flag, endings) -> None:
    code, out, _ = typed(capsys, "explain", trained, photos / "0001.png", "--out", tmp_path / "out", "--format", flag)
    assert code == 0
    written = [Path(line) for line in out.splitlines()[1:]]
    assert {path.suffix for path in written} == endings
    assert {path.stem for path in written} == {"0001", "class_maps", "filters"}
    for path in written:
        if path.suffix == ".svg":
            root = ElementTree.parse(path).getroot()
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            assert root.findall("{http://www.w3.org/2000/svg}image")


def test_explain_json_and_broken(trained, photos, capsys, tmp_path) -> None:
    (photos / "0000.png").write_bytes(b"none")
    code, out, err = typed(capsys, "explain", trained, photos, "--out", tmp_path / "out", "--json")
    assert code == 3
    assert "1 of 5 images could not be read" in err
    broken, good, *_ = json.loads(out)
    assert broken == {"image": str(photos / "0000.png"), "error": "not an image"}
    assert set(good["boxes"]) == {"cam", "grad_cam"}
    assert good["class"] == good["predicted"]


def test_explain_with_nothing_readable(trained, capsys, tmp_path) -> None:
    code, _, err = typed(capsys, "explain", trained, tmp_path / "gone.png", "--out", tmp_path / "out")
    assert code == 3
    assert "1 of 1 images could not be read" in err
    assert not (tmp_path / "out").exists()


def test_evaluate_on_a_named_data_set(copied, capsys) -> None:
    """Naming the run's own data is the same as not naming any; its test split counts as read."""
    code, out, _ = typed(capsys, "evaluate", copied, "--dataset", "digits", "--json")
    assert code == 0
    record = json.loads((copied / "record.json").read_text())
    assert json.loads(out)["metrics"]["val/acc"] == pytest.approx(record["metrics"]["val/acc"])
    code, _, err = typed(capsys, "evaluate", copied, "--dataset", "digits", "--split", "test")
    assert code == 5
    assert "was read already" in err
    code, _, err = typed(capsys, "evaluate", copied, "--dataset", "digitz")
    assert code == 2
    assert "Did you mean 'digits'" in err


def test_evaluate(copied, capsys) -> None:
    code, out, err = typed(capsys, "evaluate", copied)
    assert (code, err) == (0, "")
    record = json.loads((copied / "record.json").read_text())
    assert f"val/acc     {record['metrics']['val/acc']:.6g}" in out
    assert [line.split()[0] for line in out.splitlines()[-10:]] == list("0123456789")
    code, out, _ = typed(capsys, "evaluate", copied, "--split", "test", "--again", "--json")
    assert code == 0
    assert json.loads(out)["metrics"]["test/acc"] == pytest.approx(record["metrics"]["test/acc"])
    assert json.loads(out)["num_examples"] == 359


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["predict", "nothing", "x.png"], 2, "'nothing' is not a run directory"),
        (["predict", "RUN"], 2, "the following arguments are required: IMAGE|FOLDER|-"),
        (["predict", "RUN", "x.png", "--top", "0"], 2, "--top must be at least 1, got 0"),
        (["predict", "RUN", "x.png", "--topp", "1"], 2, "Did you mean '--top'"),
        (["predict", "RUN", "x.png", "--device", "abacus"], 2, "device must be one of this machine, got 'abacus'"),
        (["explain", "RUN", "x.png"], 2, "required: --out"),
        (["explain", "RUN", "x.png", "y.png", "--out", "o", "--limit", "1"], 2, "at most --limit=1 images, got 2"),
        (["explain", "RUN", "x.png", "--out", "o", "--class", "ten"], 2, "'ten' is not a class of the run"),
        (["evaluate", "RUN", "--split", "tests"], 2, "split must be val, train or test, got 'tests'. Did you mean"),
        (["evaluate", "RUN", "--split", "test"], 5, "the test split was read already"),
        (["evaluate", "RUN", "dataset=arrays", "dataset.source=/nowhere.npz"], 3, "/nowhere.npz"),
    ],
)
def test_bad_input_is_one_line(trained, arguments, code, message, capsys, in_tmp) -> None:
    exited, out, err = typed(capsys, *(str(trained) if word == "RUN" else word for word in arguments))
    assert (exited, out) == (code, "")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    "verb",
    [
        ["predict", "x.png"],
        ["predict", "empty/"],
        ["predict", "x.png", "--csv", "empty"],
        ["explain", "x.png", "--out", "o"],
        ["evaluate"],
        ["evaluate", "dataset=arrays", "dataset.source=/nowhere.npz"],
        ["evaluate", "head=fc"],
        ["evaluate", "--split", "test"],
        ["export", "--images", "gone.png"],
    ],
    ids=" ".join,
)
def test_damage_exits_with_4_before_anything_else_is_looked_at(copied, verb, capsys, in_tmp) -> None:
    Path("empty").mkdir()
    path = copied / "checkpoints" / "best.ckpt"
    path.write_bytes(path.read_bytes()[:1000])
    code, out, err = typed(capsys, verb[0], copied, *verb[1:])
    assert (code, out) == (4, "")
    assert "best.ckpt does not match its checksum" in err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nin-exp predict {id:.4}", ["{id}"]),
        ("nin-exp predict run", ["runs/"]),
        ("nin-exp predict {id} photos/m", ["photos/more/"]),
        ("nin-exp predict {id} --s", ["--save"]),
        ("nin-exp export {id} --format n", ["numpy"]),
        ("nin-exp export {id} --o", ["--output"]),
        ("nin-exp explain {id} x.png --format s", ["svg"]),
        ("nin-exp evaluate {id} --split t", ["test", "train"]),
        ("nin-exp evaluate {id} dataset=sv", ["dataset=svhn"]),
        ("nin-exp evaluate {id} data_", ["data_dir="]),
        ("nin-exp explain {id} nowhere/x", []),
        ("nin-exp exp", ["explain", "export"]),
    ],
)
def test_completion(copied, photos, monkeypatch, line, expected) -> None:
    monkeypatch.chdir(photos.parent)
    assert candidates(line.format(id=copied.name)) == [word.format(id=copied.name) for word in expected]
