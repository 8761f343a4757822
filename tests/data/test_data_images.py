"""Every kind of image file, and every kind of file that is none."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from nin_exp.data.images import MAX_PIXELS, UnreadableImageError, read_image

RGB = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [200, 100, 50], [255, 255, 255]]], np.uint8)


def save(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def read(path, channels=3, image_size=None):
    return read_image(path, channels=channels, image_size=image_size)


def test_rgb_grey_and_one_pixel(tmp_path):
    assert np.array_equal(read(save(tmp_path, Image.fromarray(RGB), "a.png")), RGB)
    grey = Image.fromarray(RGB[..., 0])
    assert np.array_equal(read(save(tmp_path, grey, "l.png")), np.repeat(RGB[..., :1], 3, axis=2))
    assert np.array_equal(read(save(tmp_path, grey, "l2.png"), channels=1), RGB[..., :1])
    assert read(save(tmp_path, Image.new("RGB", (1, 1), (9, 8, 7)), "one.png")).tolist() == [[[9, 8, 7]]]


def test_rgb_as_grey_has_the_weights_of_rec_601(tmp_path):
    found = read(save(tmp_path, Image.fromarray(RGB), "a.png"), channels=1)[..., 0]
    expected = RGB @ np.array([0.299, 0.587, 0.114])
    assert np.abs(found - expected).max() <= 1


def test_black_and_white(tmp_path):
    path = save(tmp_path, Image.fromarray(RGB[..., 0]).convert("1"), "a.png")
    assert set(np.unique(read(path)).tolist()) == {0, 255}


def test_palette(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    assert read(save(tmp_path, image, "a.png")).tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_transparency_is_laid_on_white(tmp_path):
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = (0, 255, 51)  # black: nothing, all, and a fifth of it
    assert read(save(tmp_path, Image.fromarray(pixels), "rgba.png"))[0, :, 0].tolist() == [255, 0, 204]
    grey = Image.merge("LA", [Image.new("L", (1, 1), 0), Image.new("L", (1, 1), 51)])
    assert read(save(tmp_path, grey, "la.png"))[0, 0].tolist() == [204, 204, 204]
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 50, 60, 70])
    palette.putdata([0, 1])
    assert read(save(tmp_path, palette, "p.png", transparency=0)).tolist() == [[[255, 255, 255], [50, 60, 70]]]


def test_opaque_alpha_changes_nothing(tmp_path):
    opaque = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    assert np.array_equal(read(save(tmp_path, Image.fromarray(opaque), "a.png")), RGB)


def test_cmyk(tmp_path):
    path = save(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "a.jpg", quality=100)
    assert np.abs(read(path)[4, 4].astype(int) - [255, 0, 0]).max() < 12


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled(tmp_path, suffix):
    levels = np.array([[0, 128, 200, 257, 32896, 65535]], np.uint16)
    path = save(tmp_path, Image.fromarray(levels), f"a.{suffix}")
    assert read(path, channels=1)[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255]
    assert read(path).shape == (1, 6, 3)


def test_32_bit_grey(tmp_path):
    path = save(tmp_path, Image.fromarray(np.array([[0, 65535]], np.int32)), "a.tif")
    assert read(path, channels=1)[0, :, 0].tolist() == [0, 255]
    path = save(tmp_path, Image.fromarray(np.array([[0, 70000]], np.int32)), "b.tif")
    with pytest.raises(UnreadableImageError, match=r"b\.tif: mode I with levels 0…70000, outside 16 bits"):
        read(path)


def test_float_levels_are_not_guessed(tmp_path):
    path = save(tmp_path, Image.fromarray(np.array([[0.0, 0.5]], np.float32)), "a.tif")
    with pytest.raises(UnreadableImageError, match=r"a\.tif: mode F has no defined grey levels"):
        read(path)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_first_frame_of_an_animation(tmp_path, suffix):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = save(tmp_path, frames[0], f"a.{suffix}", save_all=True, append_images=frames[1:])
    assert np.abs(read(path)[0, 0].astype(int) - [255, 0, 0]).max() < 8


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a.transpose(1, 0, 2)[::-1, ::-1]),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_orientation(tmp_path, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path, Image.fromarray(RGB), "a.png", exif=exif)
    assert np.array_equal(read(path), turn(RGB))


def test_damaged_metadata_do_no_harm(tmp_path):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(buffer, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert read(tmp_path / "a.jpg").shape == (4, 4, 3)


def test_resized_as_pillow_does(tmp_path):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))
    expected = np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR))
    assert np.array_equal(read(save(tmp_path, image, "a.png"), image_size=16), expected)


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image"),
        (b"a text, not a photograph", "not an image"),
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not an image"),
        (jpeg()[: len(jpeg()) // 2], "image file is truncated"),
        (jpeg()[:20], "not an image|truncated"),
    ],
)
def test_files_that_are_no_image(tmp_path, content, message):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(UnreadableImageError, match=rf"bad\.jpg: .*({message})") as caught:
        read(tmp_path / "bad.jpg")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "TGA"])
def test_other_formats_are_not_tried_whatever_the_name(tmp_path, kind):
    Image.new("RGB", (16, 16), "red").save(tmp_path / "a.jpg", kind)
    with pytest.raises(UnreadableImageError, match=r"a\.jpg: not an image"):
        read(tmp_path / "a.jpg")


def test_folders_and_pipes_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadableImageError, match=r"pipe\.jpg: not a file"):
        read(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadableImageError, match=r"none\.jpg: not a file"):
        read(tmp_path / "none.jpg")


def write_bomb(path, side):
    """A PNG that promises side x side pixels in a few kB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_000_000)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


@pytest.mark.parametrize("side", [50_000, 10_000])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    write_bomb(tmp_path / "bomb.png", side)
    with pytest.raises(UnreadableImageError, match=r"bomb\.png: .*(pixels)"):
        read(tmp_path / "bomb.png")
    assert side * side > MAX_PIXELS


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_bomb_takes_no_memory(tmp_path):
    write_bomb(tmp_path / "bomb.png", 50_000)
    code = (
        "import sys; from pathlib import Path; from nin_exp.data.images import read_image\n"
        "try: read_image(Path(sys.argv[1]), channels=3, image_size=8)\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "bomb.png"], capture_output=True, text=True, check=True
    )
    name, peak_kilobytes = run.stdout.split()
    assert name == "UnreadableImageError"
    assert int(peak_kilobytes) < 200_000
