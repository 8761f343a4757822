"""Whatever lies in a folder or on standard input: it is read, or named with its reason, and the others go on."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nin_exp.cli.main import main
from nin_exp.data.images import MAX_PIXELS
from nin_exp.errors import DataError, StorageError
from nin_exp.inference.files import at_home, check_writable, image_files


def png_of(width: int, height: int) -> bytes:
    """A PNG that says how large it is, with next to nothing in it."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


LARGE, HUGE = png_of(10_000, 10_000), png_of(20_000, 20_000)


@pytest.fixture
def whole(test_images) -> Image.Image:
    return Image.fromarray(test_images[3])


@pytest.fixture
def folder(in_tmp: Path, whole: Image.Image) -> Path:
    """Good and bad files of all sorts; the good ones begin with ``good``."""
    folder = in_tmp / "all sorts"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    whole.save(folder / "good.png")
    whole.save(folder / "deep" / "er" / "good ümläut 猫.PNG")
    whole.save(os.fsdecode(os.fsencode(folder) + b"/good \xff.png"))
    whole.save(folder / "good\nline \x1b[31m.png")
    whole.save(folder / ("good" + "x" * 240 + ".png"))
    Image.fromarray(np.asarray(whole).astype(np.uint16) * 257).save(folder / "good 16.png")
    whole.convert("RGB").save(
        folder / "good moves.gif", save_all=True, append_images=[noise.resize((8, 8)).convert("RGB")]
    )
    whole.convert("RGBA").save(folder / "good rgba.png")
    (folder / "good link.png").symlink_to(folder / "good.png")
    (folder / "bad link.png").symlink_to(folder / "gone.png")
    (folder / "bad empty.png").write_bytes(b"")
    (folder / "bad text.jpg").write_text("no image")
    (folder / "bad large.png").write_bytes(LARGE)
    (folder / "bad huge.png").write_bytes(HUGE)
    noise.save(folder / "bad cut.png")
    (folder / "bad cut.png").write_bytes((folder / "bad cut.png").read_bytes()[:500])
    os.mkfifo(folder / "bad pipe.png")
    whole.save(folder / ".hidden" / "good.png")
    (folder / "notes.txt").write_text("")
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    return folder


def test_a_folder_of_all_sorts(trained, folder, capsys, test_logits) -> None:
    table = folder.parent / "out.csv"
    assert main(["predict", str(trained), str(folder), "--csv", str(table), "--json"]) == 3
    out, err = capsys.readouterr()
    entries = {Path(entry["image"]).name: entry for entry in json.loads(out)}
    assert len(entries) == 16
    for name, entry in entries.items():
        assert ("error" in entry) == name.startswith("bad"), entry
        assert entry.get("class", str(test_logits[3].argmax())) == str(test_logits[3].argmax())
    reasons = {name: entry["error"] for name, entry in entries.items() if "error" in entry}
    assert reasons["bad link.png"] == reasons["bad pipe.png"] == "not a file"
    assert reasons["bad empty.png"] == reasons["bad text.jpg"] == "not an image"
    assert reasons["bad large.png"] == f"10000x10000 pixels, more than {MAX_PIXELS}"
    assert "exceeds limit" in reasons["bad huge.png"]
    assert "truncated" in reasons["bad cut.png"]
    assert "2 files in folders were left out for their endings (.txt, .heic)" in err
    assert err.splitlines()[-1] == "nin-exp: error: 7 of 16 images could not be read"
    with table.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 16


def test_a_table_has_a_line_an_image_whatever_its_name(trained, folder, capsys) -> None:
    assert main(["predict", str(trained), str(folder)]) == 3
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 17
    assert "\x1b" not in out + err
    out.encode("utf-8")
    assert "good?line ?[31m.png" in out


def test_pictures_of_any_name(trained, folder, capsys) -> None:
    """Among them one whose name is as long as a name can be, one that is no UTF-8, and one of two lines."""
    assert main(["predict", str(trained), str(folder), "--save", "out"]) == 3
    assert main(["explain", str(trained), str(folder), "--out", "explained", "--format", "both"]) == 3
    assert len(list(Path("out").iterdir())) == 9
    assert len(list(Path("explained").glob("*.png"))) == 11  # class_maps and filters as well
    assert "\x1b" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["x" * 300, "~no such user/x.png", "~x.png", "nul", "a/" * 3000])
def test_paths_that_are_none(trained, name, capsys, in_tmp) -> None:
    assert main(["predict", str(trained), name]) == 3
    assert "1 of 1 images could not be read" in capsys.readouterr().err


def test_a_file_that_begins_with_a_tilde(run, whole, in_tmp) -> None:
    whole.save("~good.png")
    assert at_home("~good.png") == Path("~good.png")
    assert run.predict("~good.png")[0].class_name == run.predict(whole)[0].class_name


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got nothing"),
        (b"\0\n\r\n", "got nothing"),
        (HUGE, f"must have at most {MAX_PIXELS} pixels, has more"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(32)), "must hold an image, or names of image files, got 40 other bytes"),
    ],
)
def test_standard_input_of_no_use(content, message) -> None:
    with pytest.raises(DataError, match=message):
        image_files(["-"], io.BytesIO(content))


def test_images_on_standard_input_that_cannot_be_read(trained, capsys, monkeypatch, whole) -> None:
    cut = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)).save(cut, "PNG")
    for content, reason in ((LARGE, "10000x10000 pixels, more than"), (cut.getvalue()[:500], "truncated")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        assert main(["predict", str(trained), "-", "--json"]) == 3
        (entry,) = json.loads(capsys.readouterr().out)
        assert entry["image"] == "image 0"
        assert reason in entry["error"]


def test_names_on_standard_input_may_be_any_bytes(whole, in_tmp) -> None:
    name = os.fsdecode(b"a\xff\x07.png")
    whole.save(name)
    assert image_files(["-"], io.BytesIO(os.fsencode(name) + b"\0")) == [Path(name)]


@pytest.mark.parametrize(
    "verb", [["predict", "--csv"], ["predict", "--save"], ["explain", "--out"], ["export", "--output"]]
)
def test_places_that_cannot_be_written_are_refused_at_once(trained, verb, capsys, in_tmp) -> None:
    Path("file").write_text("")
    place = "file/x.onnx" if verb[0] == "export" else "file/x"
    images = [] if verb[0] == "export" else ["gone.png"]
    assert main([verb[0], str(trained), *images, verb[1], place]) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "file is no folder that takes files; name another place" in err


def test_what_can_be_written(in_tmp) -> None:
    check_writable(Path("new/er/file.csv"))
    Path("folder").mkdir()
    with pytest.raises(StorageError, match="folder cannot be written: it is a folder; name a file"):
        check_writable(Path("folder"))
