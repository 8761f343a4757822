"""Whatever a run raises, as an error with an exit code and one line."""

from __future__ import annotations

import torch

from nin_exp.errors import NinExpError, OutOfMemoryError
from nin_exp.train.compilation import compile_failure


def as_failure(error: Exception) -> NinExpError:
    """The error itself where it is one of ours; memory that ran out, or a bug, in our terms."""
    if isinstance(error, NinExpError):
        return error
    reason = str(error).splitlines()[0] if str(error) else ""
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return OutOfMemoryError(f"memory ran out ({reason or 'MemoryError'}); lower trainer.batch_size")
    return compile_failure(error) or NinExpError(f"{type(error).__name__}: {reason}")
