"""Settings of the process that trains: threads, allocator, denormals. Made before torch first computes."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator

import torch

from nin_exp.reference.memory import keep_freed_memory


def settle(threads: int) -> None:
    """Fix the number of threads, keep freed memory, and flush denormal numbers to zero.

    Each changes bits or time, so a job that goes on uses the same.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    # Decayed weights of dead units become denormal, on which a convolution can be 50 times slower.
    torch.set_flush_denormal(True)


def settle_gpu(*, tf32: bool, cudnn_benchmark: bool) -> None:
    """Fix what float32 means to products and convolutions on a GPU, and whether kernels are chosen by timing them.

    torch's own default is TF32 for convolutions and not for products.
    """
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = cudnn_benchmark


@contextlib.contextmanager
def deterministic_algorithms(*, enabled: bool) -> Iterator[None]:
    """Refuse kernels that do not give the same bits each time, and choose none by timing; undone at the end."""
    if not enabled:
        yield
        return
    cudnn, workspace = torch.backends.cudnn, "CUBLAS_WORKSPACE_CONFIG"
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    was_benchmark, was_deterministic = cudnn.benchmark, cudnn.deterministic
    previous = os.environ.get(workspace)
    os.environ[workspace] = ":4096:8"  # read by cuBLAS when a process first uses it
    torch.use_deterministic_algorithms(True, warn_only=False)
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        cudnn.benchmark, cudnn.deterministic = was_benchmark, was_deterministic
        if previous is None:
            del os.environ[workspace]
        else:
            os.environ[workspace] = previous


def pick_device(accelerator: str) -> str:
    """``cuda`` or ``cpu`` for trainer.accelerator.

    Raises:
        ConfigError: a GPU was asked for and none is visible.
    """
    from nin_exp.errors import ConfigError

    if accelerator == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if accelerator == "gpu":
        raise ConfigError("trainer.accelerator=gpu needs a GPU, and none is visible; use trainer=cpu or trainer=auto")
    return "cpu"


def peak_memory_bytes(device: str) -> int:
    """The most memory used so far: of the GPU for GPU runs, else of this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
