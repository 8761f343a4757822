"""Files of states: the safetensors format byte by byte, damage, and writing whole or not at all."""

from __future__ import annotations

import json
import os
import pickle
import struct

import numpy as np
import pytest

from nin_exp.reference.state import load_metadata, load_state, save_state

STATE = {
    "features.0.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bn.num_batches_tracked": np.array(7, np.int64),
    "half": np.array([1.5, -2], np.float16),
    "double": np.array([[np.pi, -0.0, np.inf]], np.float64),
    "flags": np.array([True, False]),
    "bytes": np.array([1, 255], np.uint8),
    "empty": np.zeros((0, 3), np.float32),
    "größe": np.ones(1, np.float32),
    "file": np.ones(2, np.float32),
}


@pytest.mark.parametrize("suffix", ["safetensors", "npz"])
def test_round_trip_is_bit_equal(tmp_path, suffix):
    path = tmp_path / f"state.{suffix}"
    save_state(path, STATE)
    loaded = load_state(path)
    assert loaded.keys() == STATE.keys()
    for name, value in STATE.items():
        np.testing.assert_array_equal(loaded[name], value, strict=True)
        assert np.array_equal(np.signbit(loaded[name]), np.signbit(value)) if value.dtype.kind == "f" else True
        if value.size:
            loaded[name][...] = 0  # it belongs to the caller


def test_the_bytes_of_a_small_file_are_those_of_the_format(tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    padded = header + b" " * (-len(header) % 8)
    expected = struct.pack("<Q", len(padded)) + padded + struct.pack("<2f", 1.0, -2.0)
    save_state(tmp_path / "x.safetensors", {"a": np.array([1.0, -2.0], np.float32)})
    assert (tmp_path / "x.safetensors").read_bytes() == expected


def test_big_endian_and_strided_arrays_are_written_in_order(tmp_path):
    path = tmp_path / "x.safetensors"
    values = np.arange(6, dtype=">f4").reshape(2, 3)
    save_state(path, {"big": values, "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T})
    np.testing.assert_array_equal(load_state(path)["big"], values.astype("<f4"))
    np.testing.assert_array_equal(load_state(path)["turned"], [[0, 3], [1, 4], [2, 5]])


def test_metadata_stays_beside_the_arrays(tmp_path):
    path = tmp_path / "x.safetensors"
    save_state(path, {"a": np.ones(2)}, {"format": "np", "note": 'quoted "word", ü'})
    assert load_metadata(path) == {"format": "np", "note": 'quoted "word", ü'}
    assert list(load_state(path)) == ["a"]
    with pytest.raises(ValueError, match=r"metadata must go to a \.safetensors file"):
        save_state(tmp_path / "x.npz", {"a": np.ones(2)}, {"format": "np"})


def test_the_format_s_own_library_reads_and_writes_the_same(tmp_path):
    library = pytest.importorskip("safetensors.numpy", reason="needs the safetensors package")
    path = tmp_path / "x.safetensors"
    save_state(path, STATE, {"format": "np"})
    loaded = library.load_file(path)
    assert loaded.keys() == STATE.keys()
    for name, value in STATE.items():
        np.testing.assert_array_equal(loaded[name], value, strict=True)
    library.save_file(STATE, path, metadata={"format": "np"})
    for name, value in load_state(path).items():
        np.testing.assert_array_equal(value, STATE[name], strict=True)


def test_bfloat16_comes_as_float32(tmp_path):
    path = tmp_path / "x.safetensors"
    bits = np.array([1.0, -2.5, 3.0e38], np.float32).view(np.uint32) >> 16
    path.write_bytes(assembled({"a": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}, bits.astype("<u2")))
    expected = (bits << 16).view(np.float32)
    np.testing.assert_array_equal(load_state(path)["a"], expected, strict=True)


def assembled(header: object, data: np.ndarray | bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + (data if isinstance(data, bytes) else data.tobytes())


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
DAMAGED = {
    "empty file": (b"", "at least 8 bytes, got 0"),
    "header beyond the end": (struct.pack("<Q", 1 << 40) + b"{}", "a header of 1099511627776 bytes in a file of 10"),
    "no JSON": (assembled(b"{not json"), "Expecting"),
    "no UTF-8": (assembled(b'{"\xff": 1}'), "utf-8"),
    "a list": (assembled([1]), "the header must be an object"),
    "name given twice": (
        assembled(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}'),
        "names must differ",
    ),
    "unknown dtype": (assembled({"a": {**F32, "dtype": "F8"}}, b"12345678"), "'F8'"),
    "negative size": (assembled({"a": {**F32, "shape": [-2]}}, b"12345678"), "sizes of at least 0"),
    "shape against length": (assembled({"a": {**F32, "shape": [3]}}, b"12345678"), "'a' must have 12 bytes"),
    "data cut off": (assembled({"a": F32}, b"1234"), "'a' must have 8 bytes, got 4"),
    "data left over": (assembled({"a": F32}, b"123456789"), "the data must be 8 bytes, got 9"),
    "gap": (assembled({"a": {**F32, "data_offsets": [4, 12]}}, b"0123456789ab"), "'a' must start at byte 0"),
    "overlap": (
        assembled({"a": F32, "b": {**F32, "data_offsets": [4, 12]}}, b"0123456789ab"),
        "'b' must start at byte 8 of the data, got 4",
    ),
    "backwards": (assembled({"a": {**F32, "data_offsets": [0, -8]}}, b""), "'a' must have 8 bytes"),
    "entry without offsets": (assembled({"a": {"dtype": "F32", "shape": [2]}}), "data_offsets"),
    "metadata of numbers": (assembled({"__metadata__": {"a": 1}}), "metadata must be words by name"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused_in_one_line(tmp_path, name):
    content, message = DAMAGED[name]
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="must be a whole safetensors file") as caught:
        load_state(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_cut_of_a_file_is_noticed(tmp_path):
    path = tmp_path / "x.safetensors"
    save_state(path, {"a": np.ones(3, np.float32), "b": np.ones((2, 2))})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="must be a whole safetensors file"):
            load_state(path)


def test_pickles_are_never_read(tmp_path):
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    (tmp_path / "a.npz").write_bytes(pickle.dumps(Trap()))
    np.savez(tmp_path / "b.npz", a=np.array([Trap()], dtype=object))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(ValueError, match=r"must be a whole \.npz of plain arrays"):
            load_state(tmp_path / name)
    assert not (tmp_path / "sprung").exists()
    for suffix in ("npz", "safetensors"):
        with pytest.raises(ValueError, match="must have one of the dtypes"):
            save_state(tmp_path / f"c.{suffix}", {"a": np.array([object()])})
        assert not (tmp_path / f"c.{suffix}").exists()


def test_every_cut_of_an_npz_and_every_changed_value_is_noticed(tmp_path):
    path = tmp_path / "x.npz"
    save_state(path, {"a": np.ones(9), "b": np.arange(5)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"must be a whole \.npz"):
            load_state(path)
    position = whole.index(np.ones(9).tobytes()) + 3
    path.write_bytes(whole[:position] + b"\x07" + whole[position + 1 :])
    with pytest.raises(ValueError, match=r"must be a whole \.npz"):
        load_state(path)


def test_an_array_that_is_no_archive_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.ones(3))
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    with pytest.raises(ValueError, match=r"must be a whole \.npz"):
        load_state(tmp_path / "x.npz")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_state(path, {"a": np.ones(2)})
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_state(path, {"a": np.zeros(2)})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_a_written_file_has_ordinary_permissions(tmp_path):
    save_state(tmp_path / "x.npz", {"a": np.ones(1)})
    (tmp_path / "y").touch()
    assert (tmp_path / "x.npz").stat().st_mode == (tmp_path / "y").stat().st_mode


def test_other_suffixes_and_names_are_refused(tmp_path):
    for function in (lambda p: save_state(p, {}), load_state):
        with pytest.raises(ValueError, match=r"must end in \.safetensors or \.npz, got 'x\.pkl'"):
            function(tmp_path / "x.pkl")
    with pytest.raises(ValueError, match="'__metadata__' must not name an array"):
        save_state(tmp_path / "x.safetensors", {"__metadata__": np.ones(1)})
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors"):
        load_state(tmp_path / "gone.safetensors")
