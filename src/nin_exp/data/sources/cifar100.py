"""CIFAR-100: 60,000 colour photographs, 32x32, with its 100 fine classes (Krizhevsky 2009)."""

from __future__ import annotations

from dataclasses import dataclass

from nin_exp.data.download import RemoteFile
from nin_exp.data.formats.cifar_layout import CifarLayout
from nin_exp.data.named import Layout, NamedSource

_LAYOUT = CifarLayout(
    name="cifar100",
    folder="cifar-100-python",
    train_files=("train",),
    test_file="test",
    meta_file="meta",
    names_key="fine_label_names",
    labels_key="fine_labels",
    archive=RemoteFile(
        "cifar-100-python.tar.gz",
        ("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",),
        "eb9058c3a382ffc7106e4002c42a8d85",
    ),
)


@dataclass(frozen=True, kw_only=True)
class CIFAR100(NamedSource):
    """CIFAR-100; arguments as in ``DataSource``."""

    @property
    def layout(self) -> Layout:
        return _LAYOUT
