"""Fashion-MNIST: 70,000 articles of clothing, 28x28 grey (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747)."""

from __future__ import annotations

from dataclasses import dataclass

from nin_exp.data.formats.idx_layout import IdxLayout
from nin_exp.data.named import Layout, NamedSource

_LAYOUT = IdxLayout(
    name="fashion_mnist",
    folder="FashionMNIST",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    md5=(
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
)


@dataclass(frozen=True, kw_only=True)
class FashionMNIST(NamedSource):
    """Fashion-MNIST; arguments as in ``DataSource``."""

    @property
    def layout(self) -> Layout:
        return _LAYOUT
