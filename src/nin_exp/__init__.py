"""Paired, planned experiments on image classifiers.

>>> import nin_exp
>>> run = nin_exp.load_run("runs/study/job")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nin_exp.inference.run import TrainedRun, load_run
    from nin_exp.report.collect import load_study

__version__ = "0.1.0"
__all__ = ["TrainedRun", "__version__", "load_run", "load_study"]

# Loaded on first use (PEP 562): `import nin_exp` is part of every start of the command line.
_LAZY = {
    "TrainedRun": "nin_exp.inference.run",
    "load_run": "nin_exp.inference.run",
    "load_study": "nin_exp.report.collect",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'nin_exp' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
