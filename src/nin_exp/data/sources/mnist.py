"""MNIST: 70,000 handwritten digits, 28x28 grey (LeCun, Bottou, Bengio, Haffner 1998)."""

from __future__ import annotations

from dataclasses import dataclass

from nin_exp.data.formats.idx_layout import IdxLayout
from nin_exp.data.named import Layout, NamedSource

_LAYOUT = IdxLayout(
    name="mnist",
    folder="MNIST",
    class_names=tuple(str(digit) for digit in range(10)),
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
    md5=(
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
)


@dataclass(frozen=True, kw_only=True)
class MNIST(NamedSource):
    """MNIST; arguments as in ``DataSource``."""

    @property
    def layout(self) -> Layout:
        return _LAYOUT
