"""What torch.compile needs of a machine, and what to say where it is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil

from nin_exp.errors import ConfigError

_COMPILERS = ("g++", "clang++", "c++", "cl")


def require_compiler(device: str) -> None:
    """Refuse trainer.compile where it cannot work.

    Raises:
        ConfigError: there is no C++ compiler (for CPUs), or no Triton (for GPUs).
    """
    if device == "cuda":
        if importlib.util.find_spec("triton") is None:
            raise ConfigError(
                "trainer.compile=true needs the package triton on GPUs, and it is not installed; "
                "install it, or set trainer.compile=false"
            )
        return
    named = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ([named] if named else _COMPILERS)):
        raise ConfigError(
            f"trainer.compile=true needs a C++ compiler, and {named or 'none of ' + ' '.join(_COMPILERS)} is not on "
            "the PATH; install one (or set CXX), or set trainer.compile=false"
        )


def compile_failure(error: Exception) -> ConfigError | None:
    """The one line for an error of torch.compile's own; None for any other error."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    if not any(type(e).__module__.startswith(("torch._inductor", "torch._dynamo")) for e in causes):
        return None
    reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return ConfigError(f"trainer.compile=true failed here ({reason[:160]}); set trainer.compile=false")
