"""What an export is made of, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nin_exp.inference.export.agreement import Agreement

Format = Literal["onnx", "torch", "safetensors", "numpy"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2", "safetensors": ".safetensors", "numpy": ".npz"}


@dataclass(frozen=True)
class Exported:
    """A file's content; ``agreement`` is None where it holds weights alone, which were read back bit by bit."""

    content: bytes
    agreement: Agreement | None
