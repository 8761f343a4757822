"""Threads share the work and change no bit of the result; the package stands on NumPy alone."""

from __future__ import annotations

import ast
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import nin_exp.reference
from nin_exp.reference import parallel
from nin_exp.reference.activations import ReLU
from nin_exp.reference.containers import Sequential
from nin_exp.reference.conv import Conv2d
from nin_exp.reference.norm import BatchNorm2d
from nin_exp.reference.parallel import available_cores, get_num_threads, in_parts, set_num_threads
from nin_exp.reference.pooling import AvgPool2d, MaxPool2d

PACKAGE = Path(nin_exp.reference.__file__).parent


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    before = get_num_threads()
    yield
    set_num_threads(before)


def one_step(num_threads: int) -> list[np.ndarray]:
    set_num_threads(num_threads)
    rng = np.random.default_rng(0)
    network = Sequential(
        Conv2d(3, 16, 5, padding=2, rng=rng),
        BatchNorm2d(16),
        ReLU(),
        MaxPool2d(3, 2, ceil_mode=True),
        Conv2d(16, 24, 3, padding=1, rng=rng),
        AvgPool2d(2),
        Conv2d(24, 8, 1, rng=rng),
    )
    x = rng.standard_normal((37, 3, 32, 32)).astype(np.float32)
    y = network(x)
    dx = network.backward(rng.standard_normal(y.shape).astype(np.float32))
    return [y, dx, *[p.grad for p in network.parameters()], *network.state_dict().values()]


def test_results_do_not_depend_on_the_number_of_threads():
    results = [one_step(n) for n in (1, 2, 3)]
    for other in results[1:]:
        for ours, theirs in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_parts_cover_the_batch_in_order():
    for num_threads in (1, 2, 5):
        set_num_threads(num_threads)
        for count in (0, 1, 7, 128):
            parts = in_parts(lambda part: list(range(part.start, part.stop)), count, 1 << 20, max_parts=8)
            assert [i for part in parts for i in part] == list(range(count))
            assert len(parts) == {0: 1, 1: 1, 7: 4, 128: 8}[count]


def test_small_work_stays_in_one_part_and_in_this_thread():
    set_num_threads(4)
    assert in_parts(lambda part: (part, threading.get_ident()), 100, 10) == [(slice(0, 100), threading.get_ident())]


def test_several_threads_take_part():
    set_num_threads(2)
    barrier = threading.Barrier(2, timeout=20)  # passed only when two threads are inside at once

    def wait(part: slice) -> int:
        barrier.wait()
        return threading.get_ident()

    assert len(set(in_parts(wait, 2, 1 << 20))) == 2


def test_an_error_in_any_part_is_raised_after_all_threads_are_done():
    set_num_threads(3)
    running = []

    def fail(part: slice) -> None:
        running.append(part)
        time.sleep(0.01)
        running.remove(part)
        if part.start == 5:
            raise FloatingPointError(f"part {part.start}")

    with pytest.raises(FloatingPointError, match="part 5"):
        in_parts(fail, 8, 1 << 20)
    assert running == []


def test_blas_has_its_threads_back_afterwards():
    library = parallel._openblas()
    if library is None:
        pytest.skip("this NumPy has another BLAS than OpenBLAS")
    getter, setter = library
    before = getter()
    setter(2)
    try:
        inside = in_parts(lambda part: getter(), 4, 1 << 20)
        assert set(inside) == {1}
        assert getter() == 2
        with pytest.raises(ZeroDivisionError):
            in_parts(lambda part: 1 // 0, 4, 1 << 20)
        assert getter() == 2
    finally:
        setter(before)


def test_number_of_threads():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
    with pytest.raises(ValueError, match="num_threads must be at least 1, got 0"):
        set_num_threads(0)


def forked_step(queue: multiprocessing.Queue) -> None:
    queue.put([float(value.sum()) for value in one_step(2)])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_threads_of_its_own():
    expected = [float(value.sum()) for value in one_step(2)]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=forked_step, args=(queue,))
    child.start()
    try:
        assert queue.get(timeout=60) == expected
    finally:
        child.join(10)
        child.kill()


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    return names


def test_only_numpy_and_the_standard_library_are_imported():
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 15
    for file in files:
        for name in imported(file):
            if not name.startswith("nin_exp.reference."):
                assert name.split(".")[0] in {*sys.stdlib_module_names, "numpy"}, f"{file.name} imports {name}"
            assert name not in {"pickle", "shelve", "marshal"}


def test_importing_everything_loads_no_other_package():
    modules = [f"nin_exp.reference.{file.stem}" for file in PACKAGE.glob("*.py") if file.stem != "__init__"]
    code = (
        f"import sys, {', '.join(modules)}\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parents[1])}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(process.stdout))
    assert {"nin_exp", "numpy"} <= loaded
    assert {"torch", "scipy", "pytorch_lightning", "hydra"} & loaded == set()
