"""Time of one training step: the NumPy engine against torch eager (NCHW, defaults), in one run.

Command: python benchmarks/reference_step.py --steps 9
         python benchmarks/reference_step.py --network lenet --steps 41
         python benchmarks/reference_step.py --network nin_2x2 --published DIR --steps 3 --warm-up 1
         python benchmarks/reference_step.py --network cnn_numpy --published DIR --steps 5 --warm-up 1
The last two have an arm that runs the code of a published NumPy implementation, in float64 as published, from a
checkout in DIR (published_operators.py says which): NiN with the pools of "numpy NIN", and the net of "cnn_numpy".
Prints the median and quartiles of both times, their ratio (the median of the ratios within a round, with a
bootstrap interval), the same ratio for a second torch process against the first (A/A: what noise alone gives),
and each process's processor time (which other programs on the machine disturb less) and peak memory. Every arm
is a process of its own that holds the same weights and batch; they take turns, in a random order each round, so
that all meet the same load. Losses must agree before times count. "numpy" keeps freed memory, as training does;
"numpy, plain" leaves the allocator as it is, as every other arm. No arm sees the variables by which a user can choose
a kernel of OpenBLAS; the kernel that it chose itself is printed.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = Path(__file__).resolve().parents[1] / "src"
BATCH = {"nin": 128, "lenet": 128, "nin_2x2": 128, "cnn_numpy": 100}
SHAPE = {"nin": (3, 32, 32), "lenet": (1, 28, 28), "nin_2x2": (3, 32, 32), "cnn_numpy": (1, 28, 28)}
NIN = [(3, 192, 5), (192, 160, 1), (160, 96, 1), (96, 192, 5), (192, 192, 1), (192, 192, 1), (192, 192, 3)]
NIN += [(192, 192, 1), (192, 10, 1)]
LEARNING_RATE = 0.01
DENSE = {"lenet": [(400, 120), (120, 84), (84, 10)], "cnn_numpy": [(588, 512), (512, 128), (128, 10)]}
THIN = {"lenet": [(1, 6, 5, 2), (6, 16, 5, 0)], "cnn_numpy": [(1, 6, 3, 1), (6, 12, 3, 1)]}
"""Channels in and out, kernel, padding."""
MOMENTUM = {"nin": 0.9, "lenet": 0.9, "nin_2x2": 0.0, "cnn_numpy": 0.0}  # the published optimizers have none


def batch(network: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images and labels, the same in every arm."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((size, *SHAPE[network]), dtype=np.float32), rng.integers(0, 10, size)


def numpy_step(network: str, size: int) -> Callable[[], float]:
    """A function that does one step with nin_exp.reference and returns the loss."""
    sys.path.insert(0, str(SOURCE))
    from nin_exp.reference.losses import CrossEntropy
    from nin_exp.reference.optimizers import SGD

    net = numpy_network(network)
    images, labels = batch(network, size)
    loss, optimizer = CrossEntropy(), SGD(net.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM[network])

    def step() -> float:
        optimizer.zero_grad()
        value = loss(net(images), labels)
        net.backward_parameters(loss.backward())
        optimizer.step()
        return value

    return step


def numpy_network(network: str) -> Any:
    """NiN for CIFAR-10 (Lin et al. 2014; widths of the author's configuration), or a LeNet with ReLU or tanh."""
    from nin_exp.reference.activations import ReLU, Tanh
    from nin_exp.reference.containers import Sequential
    from nin_exp.reference.conv import Conv2d
    from nin_exp.reference.linear import Flatten, Linear
    from nin_exp.reference.pooling import GlobalAvgPool, MaxPool2d

    rng = np.random.default_rng(1)
    layers: list[Any] = []
    if network.startswith("nin"):
        for number, (c, k, size) in enumerate(NIN):
            layers += [Conv2d(c, k, size, padding=size // 2, rng=rng), ReLU()]
            pool = MaxPool2d(3, 2, ceil_mode=True) if network == "nin" else MaxPool2d(2)
            layers += [pool] if number in (2, 5) else []
        return Sequential(*layers[:-1], GlobalAvgPool())
    activation = ReLU if network == "lenet" else Tanh
    for c, k, size, padding in THIN[network]:
        after = in_order(network, activation(), MaxPool2d(2))
        layers += [Conv2d(c, k, size, padding=padding, rng=rng), *after]
    layers.append(Flatten())
    for c, k in DENSE[network]:
        layers += [Linear(c, k, rng=rng), activation()]
    return Sequential(*layers[:-1])


def in_order(network: str, activation: Any, pool: Any) -> list[Any]:
    """LeNet's activation stands before its pool; cnn_numpy's after, where there is less to do."""
    return [activation, pool] if network == "lenet" else [pool, activation]


def published_step(network: str, size: int, folder: Path) -> Callable[[], float]:
    """The same with a published implementation, from the same weights, in float64."""
    sys.path.insert(0, str(SOURCE))
    import published_operators

    state = {name: value.astype(np.float64) for name, value in numpy_network(network).state_dict().items()}
    images, labels = batch(network, size)
    make = published_operators.numpy_nin if network == "nin_2x2" else published_operators.cnn_numpy
    return make(folder, state, images.astype(np.float64), labels, LEARNING_RATE)


def torch_step(network: str, size: int, threads: int) -> Callable[[], float]:
    """The same with torch eager, from the same weights."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    layers: list[nn.Module] = []
    if network.startswith("nin"):
        for number, (c, k, kernel) in enumerate(NIN):
            layers += [nn.Conv2d(c, k, kernel, padding=kernel // 2), nn.ReLU()]
            pool = nn.MaxPool2d(3, 2, ceil_mode=True) if network == "nin" else nn.MaxPool2d(2)
            layers += [pool] if number in (2, 5) else []
        layers = [*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    else:
        activation = nn.ReLU if network == "lenet" else nn.Tanh
        for c, k, kernel, padding in THIN[network]:
            layers += [nn.Conv2d(c, k, kernel, padding=padding), *in_order(network, activation(), nn.MaxPool2d(2))]
        layers.append(nn.Flatten())
        for c, k in DENSE[network]:
            layers += [nn.Linear(c, k), activation()]
        layers = layers[:-1]
    net = nn.Sequential(*layers)
    sys.path.insert(0, str(SOURCE))
    net.load_state_dict({k: torch.from_numpy(v) for k, v in numpy_network(network).state_dict().items()})
    images, labels = (torch.from_numpy(a) for a in batch(network, size))
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM[network])

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def serve(engine: str, network: str, size: int, threads: int, published: Path | None) -> None:
    """Do a step for each line read; answer with its time, loss and the peak memory so far."""
    if engine in ("numpy", "plain"):
        step = numpy_step(network, size)
        from nin_exp.reference.memory import keep_freed_memory
        from nin_exp.reference.parallel import set_num_threads

        set_num_threads(threads)
        if engine == "numpy":
            keep_freed_memory()
    elif engine == "published" and published is not None:
        step = published_step(network, size, published)
    else:
        step = torch_step(network, size, threads)
    for _ in sys.stdin:
        start, cpu = time.perf_counter(), time.process_time()
        loss = step()
        times = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        answer = {**times, "loss": loss, "peak": peak_memory(), "kernel": blas_kernel()}
        print(json.dumps(answer), flush=True)


@functools.cache
def blas_kernel() -> str:
    """The processor for which NumPy's OpenBLAS has chosen its kernels; empty for another library."""
    from threadpoolctl import threadpool_info

    libraries = [library for library in threadpool_info() if library["internal_api"] == "openblas"]
    return str(libraries[0].get("architecture", "")) if libraries else ""


def peak_memory() -> float:
    """Peak resident memory of this process in GB; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


class Arm:
    """A process that serves steps."""

    def __init__(self, engine: str, network: str, size: int, threads: int, published: Path | None) -> None:
        command = [sys.executable, __file__, "--serve", engine, "--network", network]
        command += ["--batch", str(size), "--threads", str(threads)]
        command += [] if published is None else ["--published", str(published)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "OPENBLAS_"))}
        environment["OPENBLAS_NUM_THREADS"] = str(threads)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.answers: list[dict[str, Any]] = []

    def step(self) -> None:
        """Have it do one step."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"an arm ended with code {self.process.wait()}")
        self.answers.append(json.loads(line))

    def stop(self) -> None:
        """Let it end."""
        self.process.communicate()

    def column(self, name: str) -> np.ndarray:
        """One value of every step."""
        return np.array([answer[name] for answer in self.answers])


def ratio(a: np.ndarray, b: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """The median of a / b, with a 95 % bootstrap interval."""
    ratios = a / b
    medians = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(np.median(ratios)), float(low), float(high)


def compare(network: str, size: int, steps: int, warm_up: int, threads: int, published: Path | None) -> None:
    """Run the arms in turns and print what was measured."""
    rng = np.random.default_rng(0)
    engines = {"torch": "torch", "torch again": "torch", "numpy": "numpy", "numpy, plain": "plain"}
    ratios = [("numpy", "torch"), ("numpy, plain", "torch"), ("torch again", "torch")]
    if published is not None:
        engines["published"] = "published"
        ratios += [("published", name) for name in ("numpy", "numpy, plain", "torch")]
    arms = {name: Arm(engine, network, size, threads, published) for name, engine in engines.items()}
    for _ in range(warm_up + steps):
        for name in rng.permutation(list(arms)):
            arms[name].step()
    for arm in arms.values():
        arm.stop()
    losses = np.array([arm.column("loss") for arm in arms.values()])
    gap = np.max(np.abs(losses / losses[0] - 1))
    if not gap < 1e-3:
        raise SystemExit(f"{network}: losses must agree to 1e-3 before times count, got {gap:.1e}")
    kernel = arms["numpy"].answers[0]["kernel"]
    print(
        f"{network}, batch {size}, float32, {threads} threads, {steps} steps; losses agree to {gap:.1e}; "
        f"OpenBLAS kernel: {kernel or 'unknown'}"
    )
    for name, arm in arms.items():
        seconds = arm.column("seconds")[warm_up:] * 1e3
        q1, q2, q3 = np.quantile(seconds, [0.25, 0.5, 0.75])
        least, cpu = seconds.min(), np.median(arm.column("cpu")[warm_up:]) * 1e3
        print(
            f"  {name:12} {q2:8.1f} ms  (quartiles {q1:.1f} to {q3:.1f}, least {least:.1f}); "
            f"processor {cpu:.1f} ms; peak {arm.column('peak').max():.2f} GB"
        )
    for over, under in ratios:
        for column, words in (("seconds", "time"), ("cpu", "processor time")):
            middle, low, high = ratio(*(arms[name].column(column)[warm_up:] for name in (over, under)), rng)
            print(f"  {over} / {under}, {words}: {middle:.2f}  (95 % interval {low:.2f} to {high:.2f})")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=9, help="timed steps an arm")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before them")
    parser.add_argument("--network", choices=[*BATCH, "all"], default="all", help="all: nin and lenet")
    parser.add_argument("--batch", type=int, help="images a step; 128 unless given")
    parser.add_argument("--threads", type=int, default=cores(), help="for both engines")
    parser.add_argument("--published", type=Path, help="checkout of the published code; nin_2x2 and cnn_numpy only")
    parser.add_argument("--serve", choices=["numpy", "plain", "torch", "published"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.published is not None and options.network not in ("nin_2x2", "cnn_numpy"):
        parser.error("--published goes with --network nin_2x2 or cnn_numpy")
    for network in ["nin", "lenet"] if options.network == "all" else [options.network]:
        size = BATCH[network] if options.batch is None else options.batch
        if options.serve is None:
            compare(network, size, options.steps, options.warm_up, options.threads, options.published)
        else:
            serve(options.serve, network, size, options.threads, options.published)


if __name__ == "__main__":
    main()
