"""Downloads from a server on the loopback interface that misbehaves in each way servers do."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

from nin_exp.data import download
from nin_exp.data.download import RemoteFile, extract, fetch, only_one
from nin_exp.errors import DataError, IntegrityError, RefusedError, StorageError

CONTENT = bytes(range(256)) * 2000
DIGEST = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """``plan`` holds what each request meets, the last entry all further ones; ``ranges`` what they asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan = ["whole"]
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        plan = self.server.plan
        step = plan.pop(0) if len(plan) > 1 else plan[0]
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if step.isdigit():
            self.send_error(int(step))
            return
        body = b"x" * len(CONTENT) if step == "wrong" else CONTENT
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and step != "no ranges" else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start + (7 if step == "wrong length" else 0)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        part = body[start : start + (len(body) - start) // 2] if step in ("half", "stall") else body[start:]
        self.wfile.write(part)
        self.wfile.flush()
        if step == "stall":
            time.sleep(1.0)


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def remote(*urls: str, digest: str = DIGEST) -> RemoteFile:
    return RemoteFile("file.bin", urls, digest)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_file_is_fetched_once(tmp_path, server):
    for _ in range(2):
        assert fetch(remote(server.url), tmp_path).read_bytes() == CONTENT
    assert len(server.ranges) == 1
    assert names(tmp_path) == ["file.bin"]


def test_a_broken_transfer_is_continued_where_it_stopped(tmp_path, server):
    server.plan = ["half", "half", "whole"]
    assert fetch(remote(server.url), tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-", f"bytes={len(CONTENT) * 3 // 4}-"]


def test_a_later_call_continues_an_earlier_one(tmp_path, server):
    server.plan = ["half"] * 3 + ["whole"]
    with pytest.raises(DataError, match=r"file\.bin could not be fetched \(.*broke off after \d+ of \d+ bytes"):
        fetch(remote(server.url), tmp_path)
    assert names(tmp_path) == ["file.bin.part"]
    assert fetch(remote(server.url), tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == ["file.bin"]
    assert server.ranges[-1] is not None


def test_a_server_that_ignores_ranges(tmp_path, server):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    server.plan = ["no ranges"]
    assert fetch(remote(server.url), tmp_path).read_bytes() == CONTENT


def test_a_complete_part_is_taken(tmp_path, server):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert fetch(remote(server.url), tmp_path).read_bytes() == CONTENT


def test_a_wrong_part_is_thrown_away(tmp_path, server):
    (tmp_path / "file.bin.part").write_bytes(b"?" * 1000)
    assert fetch(remote(server.url), tmp_path).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-", None]


def test_wrong_content_never_gets_the_name(tmp_path, server):
    server.plan = ["wrong"]
    with pytest.raises(DataError, match=r"file\.bin could not be fetched \(.*wrong md5\)"):
        fetch(remote(server.url), tmp_path)
    assert names(tmp_path) == []


def test_the_next_mirror_is_tried(tmp_path, server):
    server.plan = ["500", "whole"]
    assert fetch(remote(server.url + "1", server.url + "2"), tmp_path).read_bytes() == CONTENT


def test_a_wrong_length_with_the_right_checksum_is_taken(tmp_path, server):
    server.plan = ["wrong length"]
    assert fetch(remote(server.url), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("step", ["500", "404"])
def test_server_errors(tmp_path, server, step):
    server.plan = [step]
    with pytest.raises(DataError, match=f"HTTP {step}") as caught:
        fetch(remote(server.url), tmp_path)
    assert "\n" not in str(caught.value)
    assert "file.bin" not in names(tmp_path)


def test_a_stalled_server(tmp_path, server, monkeypatch):
    monkeypatch.setattr(download, "STALL_SECONDS", 0.2)
    server.plan = ["stall"]
    with pytest.raises(DataError, match="broke off: timed out"):
        fetch(remote(server.url), tmp_path)
    assert names(tmp_path) == ["file.bin.part"]
    server.plan = ["whole"]
    assert fetch(remote(server.url), tmp_path).read_bytes() == CONTENT


def test_no_server(tmp_path):
    with pytest.raises(DataError, match="Connection refused"):
        fetch(remote("http://127.0.0.1:9/file"), tmp_path)


def test_a_server_without_end(tmp_path, server, monkeypatch):
    monkeypatch.setattr(download, "_MAX_BYTES", 1000)
    with pytest.raises(RefusedError, match="sends without end"):
        fetch(remote(server.url), tmp_path)


def test_a_full_disk(tmp_path, server, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "_copy", full)
    with pytest.raises(StorageError, match=r"file\.bin cannot be written: No space left on device"):
        fetch(remote(server.url), tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"), only_one(tmp_path / "file" / "below", "mnist"):
        pass


FETCH_UNDER_LOCK = """
import sys
from pathlib import Path
from nin_exp.data.download import RemoteFile, fetch, only_one
url, digest, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
with only_one(folder, "set"):
    fetch(RemoteFile("file.bin", (url,), digest), folder)
"""


def test_two_processes_fetch_once(tmp_path, server):
    command = [sys.executable, "-c", FETCH_UNDER_LOCK, server.url, DIGEST, str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(server.ranges) == 1
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def write_tar(path: Path, members: list[tarfile.TarInfo | tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_a_folder_is_taken_out_of_an_archive(tmp_path):
    archive = write_tar(tmp_path / "a.tgz", [("set/a/1.txt", b"one"), ("set/2.txt", b"two"), ("other/3.txt", b"no")])
    extract(archive, "set", tmp_path / "target", 100)
    assert (tmp_path / "target/a/1.txt").read_bytes() == b"one"
    assert names(tmp_path) == ["a.tgz", "target"]
    assert names(tmp_path / "target") == ["2.txt", "a"]


def test_missing_files_are_added_to_a_folder_and_others_stay(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target/mine.txt").write_text("mine")
    extract(write_tar(tmp_path / "a.tgz", [("set/1.txt", b"one")]), "set", tmp_path / "target", 100)
    assert names(tmp_path / "target") == ["1.txt", "mine.txt"]


HOSTILE = {
    "dots": [("set/../../escaped", b"x")],
    "absolute": [("/nin_exp_escaped_absolute", b"x")],
    "symbolic link": [link("set/link", "/etc")],
    "write through a link": [link("set/link", ".."), ("set/link/escaped", b"x")],
    "hard link": [link("set/link", "/etc/passwd", tarfile.LNKTYPE)],
    "device": [link("set/null", "", tarfile.CHRTYPE)],
    "pipe": [link("set/pipe", "", tarfile.FIFOTYPE)],
    "long chain of links": [link("set/" + "a/" * i + "l", "x" * 200) for i in range(16)],
    "bomb": [("set/zeros", b"\0" * 1_000_001)],
}


@pytest.mark.parametrize("members", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_archives(tmp_path, members):
    folder = tmp_path / "data"
    folder.mkdir()
    archive = write_tar(folder / "a.tgz", [("set/good.txt", b"good"), *members])
    with pytest.raises(RefusedError, match=r"must hold plain files only|must unpack to at most 1000000 bytes"):
        extract(archive, "set", folder / "target", 1_000_000)
    assert names(tmp_path) == ["data"]
    assert names(folder) == ["a.tgz"]
    assert not os.path.lexists("/nin_exp_escaped_absolute")


def test_a_damaged_archive(tmp_path):
    whole = write_tar(tmp_path / "a.tgz", [("set/1.bin", os.urandom(50_000))]).read_bytes()
    (tmp_path / "a.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError, match=r"a\.tgz is damaged: .*; delete it"):
        extract(tmp_path / "a.tgz", "set", tmp_path / "target", 1_000_000)
    assert names(tmp_path) == ["a.tgz"]
