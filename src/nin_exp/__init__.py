"""Paired, planned experiments on image classifiers.

>>> import nin_exp
>>> config = nin_exp.compose(["dataset=digits", "head=gap"])
>>> run = nin_exp.train(["dataset=digits", "head=gap", "trainer.max_epochs=5"])  # doctest: +SKIP
>>> study = nin_exp.compare(["dataset=digits", "head=gap,fc", "seeds=6"])  # doctest: +SKIP
>>> run = nin_exp.load_run("runs/study/job")  # doctest: +SKIP

``nin_exp.compose`` and ``nin_exp.train`` are packages that can be called: the functions that they are named after.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nin_exp.api.configure import compose as compose
    from nin_exp.api.study import LoadedStudy, load_study
    from nin_exp.api.train import compare
    from nin_exp.api.train import train as train
    from nin_exp.inference.exported import OnnxModel, load_onnx
    from nin_exp.inference.run import TrainedRun, load_run

__version__ = "0.1.0"
__all__ = [
    "LoadedStudy",
    "OnnxModel",
    "TrainedRun",
    "__version__",
    "compare",
    "compose",
    "load_onnx",
    "load_run",
    "load_study",
    "train",
]

# Loaded on first use (PEP 562): `import nin_exp` is part of every start of the command line.
_LAZY = {
    "LoadedStudy": "nin_exp.api.study",
    "OnnxModel": "nin_exp.inference.exported",
    "TrainedRun": "nin_exp.inference.run",
    "compare": "nin_exp.api.train",
    "load_onnx": "nin_exp.inference.exported",
    "load_run": "nin_exp.inference.run",
    "load_study": "nin_exp.api.study",
}
# Functions whose names packages have.
_CALLED = {"compose": "nin_exp.api.configure", "train": "nin_exp.api.train"}


class _CallablePackage(ModuleType):
    """A package that is also the function it is named after."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)

    @property
    def _function(self) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(importlib.import_module(_CALLED[name]), name)


class _Root(ModuleType):
    """The package itself: makes those in ``_CALLED`` callable whenever the import system hands them over."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CALLED and isinstance(value, ModuleType):
            value.__class__ = _CallablePackage
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Root


if not TYPE_CHECKING:  # a type checker would take any name for one of the package's

    def __getattr__(name: str) -> Any:
        if name in _CALLED:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in _LAZY:
            raise AttributeError(f"module 'nin_exp' has no attribute '{name}'")
        return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_CALLED})
