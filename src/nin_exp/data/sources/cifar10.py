"""CIFAR-10: 60,000 colour photographs, 32x32, 10 classes (Krizhevsky 2009)."""

from __future__ import annotations

from dataclasses import dataclass

from nin_exp.data.download import RemoteFile
from nin_exp.data.formats.cifar_layout import CifarLayout
from nin_exp.data.named import Layout, NamedSource

_LAYOUT = CifarLayout(
    name="cifar10",
    folder="cifar-10-batches-py",
    train_files=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test_file="test_batch",
    meta_file="batches.meta",
    names_key="label_names",
    labels_key="labels",
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    archive=RemoteFile(
        "cifar-10-python.tar.gz",
        ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
        "c58f30108f718f92721af3b95e74349a",
    ),
)


@dataclass(frozen=True, kw_only=True)
class CIFAR10(NamedSource):
    """CIFAR-10; arguments as in ``DataSource``."""

    @property
    def layout(self) -> Layout:
        return _LAYOUT
