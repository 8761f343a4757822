"""Freed memory is kept where glibc allows it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import nin_exp.reference
from nin_exp.reference import memory

SOURCE = Path(nin_exp.reference.__file__).parents[2]
COUNT_FAULTS = """
import resource
import sys
import numpy as np
from nin_exp.reference.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(64 << 17)  # 64 MB
before = faults()
for _ in range(3):
    np.ones(64 << 17)
print(faults() - before)
"""


def page_faults(what: str) -> int:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", COUNT_FAULTS, what]
    return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
def test_a_large_array_takes_the_pages_of_the_one_before():
    kept, returned = page_faults("keep"), page_faults("return")
    assert kept < 20
    assert returned >= 3 * 30  # as few as these where a page is 2 MB


HUGE_PAGES = """
import re
from pathlib import Path
from nin_exp.reference.memory import keep_freed_memory

def size(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10
rss, addresses = size("VmRSS"), size("VmSize")
assert keep_freed_memory()
once = size("VmSize")
assert keep_freed_memory()
maps = re.split(r"^(?=[0-9a-f]+-)", Path("/proc/self/smaps").read_text(), flags=re.MULTILINE)
asked = [m for m in maps if re.search(r"^VmFlags:.* hg\\b", m, re.MULTILINE)]
megabytes = sum(int(re.search(r"Size:\\s+(\\d+)", m)[1]) >> 10 for m in asked)
print(size("VmRSS") - rss, once - addresses, size("VmSize") - once, megabytes)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage/enabled").exists(), reason="the system has no transparent huge pages"
)
def test_huge_pages_are_asked_for_and_take_no_memory():
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        [sys.executable, "-c", HUGE_PAGES], env=environment, capture_output=True, text=True, check=True
    )
    memory, addresses, again, asked = map(int, done.stdout.split())
    assert memory < 20
    assert addresses > 1500
    assert again < 20
    assert asked > 1500


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda *_: pytest.fail("called"))
    assert memory.keep_freed_memory() is False
