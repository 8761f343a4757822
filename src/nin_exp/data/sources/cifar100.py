"""CIFAR-100: 60,000 colour photographs, 32x32, with its 100 fine classes or its 20 coarse ones (Krizhevsky 2009)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from nin_exp.contracts.data import LoadedData
from nin_exp.data.download import RemoteFile
from nin_exp.data.formats.cifar_layout import CifarLayout
from nin_exp.data.location import Location
from nin_exp.data.named import Layout, NamedSource
from nin_exp.errors import DataError

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


# Which fine classes make each coarse one, as its author lists them (https://www.cs.toronto.edu/~kriz/cifar.html).
COARSE = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}


@dataclass(frozen=True, kw_only=True)
class CIFAR100(NamedSource):
    """CIFAR-100; further arguments as in ``DataSource``.

    Args:
        labels: the 100 ``fine`` classes, or the 20 ``coarse`` ones that hold 5 of them each.
    """

    labels: Literal["fine", "coarse"]

    @property
    def layout(self) -> Layout:
        return _LAYOUT

    def locate(self, data_dir: Path) -> Location:
        """Where the data would come from now (see ``Locatable``)."""
        found = super().locate(data_dir)
        return found if self.labels == "fine" else replace(found, num_classes=len(COARSE))

    def load(self, data_dir: Path) -> LoadedData:
        """Read it; the copies of the data hold the fine labels, from which the coarse ones follow.

        Raises:
            DataError: a class of the copy is none of CIFAR-100, with ``labels=coarse``.
        """
        loaded = super().load(data_dir)
        return loaded if self.labels == "fine" else coarse_labels(loaded)

    def stored(self) -> NamedSource:
        """What is written into the data folder: with the fine labels, which serve for both."""
        return replace(self, labels="fine")


def coarse_labels(loaded: LoadedData) -> LoadedData:
    """The same images under the coarse classes.

    Raises:
        DataError: a class is none of CIFAR-100.
    """
    number = {fine: coarse for coarse, names in enumerate(COARSE.values()) for fine in names}
    unknown = [name for name in loaded.class_names if name not in number]
    if unknown:
        raise DataError(
            f"dataset.labels=coarse needs the class names of CIFAR-100, got '{unknown[0]}'; give them, or labels=fine"
        )
    table = np.array([number[name] for name in loaded.class_names], dtype=np.int64)
    train, test = (replace(split, labels=table[split.labels]) for split in (loaded.train, loaded.test))
    return replace(loaded, train=train, test=test, class_names=tuple(COARSE))
