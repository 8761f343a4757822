"""Class folders: which image files belong to which class and split.

Either ``ROOT/train/CLASS/…`` with ``ROOT/test`` or ``ROOT/val`` beside it, or ``ROOT/CLASS/…``, from which a test
split is cut by a hash of the file names. Nothing outside the root is ever read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nin_exp.data.images import EXTENSIONS
from nin_exp.data.splits import hashed_test_split
from nin_exp.errors import DataError, RefusedError

_VAL_NAMES = ("val", "valid", "validation")


@dataclass(frozen=True)
class FolderFiles:
    """The image files of one split, with their labels; sorted by class, then by path."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.paths)


@dataclass(frozen=True)
class FolderScan:
    """What lies in class folders; nothing has been decoded.

    Args:
        notes: what a reader of the results should know, such as files that are no images.
    """

    root: Path
    class_names: tuple[str, ...]
    train: FolderFiles
    test: FolderFiles
    notes: dict[str, Any] = field(default_factory=dict)

    def name(self, path: Path) -> str:
        """A file's path below the root."""
        return path.relative_to(self.root).as_posix()


def scan_folders(root: Path, test_fraction: float) -> FolderScan:
    """Find the files of each class and split.

    A ``val`` folder beside ``train`` and ``test`` is added to the training images: validation is always cut by
    ``val_fraction`` and ``split_seed``. Without ``test`` it is the test split, as in ImageNet.

    Args:
        test_fraction: in (0, 1); without a test folder, this part of each class becomes test.

    Raises:
        DataError: the root is no folder, holds no class folders, or a class folder is empty.
        RefusedError: a symbolic link leads out of the root.
    """
    root = root.absolute()  # not resolve(): names stay as the user wrote them
    if not root.is_dir():
        raise DataError(
            f"dataset.source must be an existing folder, got '{root}'; give the folder above the class folders"
        )
    notes: dict[str, Any] = {}
    train_root, val_root, test_root = _split_folders(root)
    classes = _class_folders(train_root, root)
    if not classes:
        raise DataError(
            f"{train_root} must hold one folder a class, got none; give dataset.source=PATH of the folder above"
        )
    names = tuple(folder.name for folder in classes)
    train = _files(classes, names, root, notes)
    if test_root is None:
        train, test = _cut_test(train, test_fraction)
        return FolderScan(root, names, train, test, notes)
    test = _files(_known_classes(test_root, names, root), names, root, notes)
    if val_root is not None:
        extra = _files(_known_classes(val_root, names, root), names, root, notes)
        train = FolderFiles(train.paths + extra.paths, train.labels + extra.labels)
        notes["val_folder"] = f"{len(extra)} images of {val_root.name}/ added to the training images"
    return FolderScan(root, names, train, test, notes)


def class_files(root: Path) -> tuple[dict[str, list[Path]], int]:
    """The image files of each class folder, sorted, and how many other files there are.

    Raises:
        DataError: the root is no folder, is split already, or a class folder is missing or empty.
        RefusedError: a symbolic link leads out of the root.
    """
    root = root.absolute()
    if not root.is_dir():
        raise DataError(f"SOURCE must be an existing folder, got '{root}'; give the folder above the class folders")
    if _split_folders(root)[0] != root:
        raise DataError(f"{root} must hold one folder a class, but is split already: it has {root / 'train'}")
    folders = _class_folders(root, root)
    if not folders:
        raise DataError(f"{root} must hold one folder a class, got none; give the folder above the class folders")
    notes: dict[str, Any] = {}
    names = tuple(folder.name for folder in folders)
    files = _files(folders, names, root, notes)
    found: dict[str, list[Path]] = {name: [] for name in names}
    for path, label in zip(files.paths, files.labels, strict=True):
        found[names[label]].append(path)
    return found, int(notes.get("files_ignored", 0))


def _split_folders(root: Path) -> tuple[Path, Path | None, Path | None]:
    """Folders of training, validation and test; the latter two None where there are none."""
    train = root / "train"
    # A class may be called "train" (beside bus and tram): then its folder holds images and not folders.
    if not train.is_dir() or not any(_is_shown(child) and child.is_dir() for child in train.iterdir()):
        return root, None, None
    val = next((root / name for name in _VAL_NAMES if (root / name).is_dir()), None)
    if (root / "test").is_dir():
        return train, val, root / "test"
    return train, None, val


def _known_classes(folder: Path, names: tuple[str, ...], root: Path) -> list[Path]:
    classes = _class_folders(folder, root)
    unknown = [c.name for c in classes if c.name not in names]
    if unknown:
        raise DataError(f"{folder} must hold classes of train only, got '{unknown[0]}'; add it to train or remove it")
    if not classes:
        raise DataError(f"{folder} must hold one folder a class, got none; fill or remove it")
    return classes


def _class_folders(folder: Path, root: Path) -> list[Path]:
    children = sorted((c for c in folder.iterdir() if _is_shown(c) and c.is_dir()), key=lambda c: c.name)
    for child in children:
        _refuse_leaving(child, root)
    return children


def _files(classes: Sequence[Path], names: tuple[str, ...], root: Path, notes: dict[str, Any]) -> FolderFiles:
    paths: list[Path] = []
    labels: list[int] = []
    for folder in classes:
        found = sorted(_image_files(folder, root, notes), key=lambda p: p.relative_to(folder).as_posix())
        if not found:
            raise DataError(f"{folder} must hold at least one image, got none; fill or remove it")
        paths += found
        labels += [names.index(folder.name)] * len(found)
    return FolderFiles(tuple(paths), tuple(labels))


def _image_files(folder: Path, root: Path, notes: dict[str, Any]) -> list[Path]:
    found = []
    for current, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in [*folders, *files]:
            path = Path(current, name)
            if path.is_symlink():
                _refuse_leaving(path, root)
        for name in files:
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in EXTENSIONS:
                found.append(Path(current, name))
            else:
                notes["files_ignored"] = notes.get("files_ignored", 0) + 1
    return found


def _refuse_leaving(path: Path, root: Path) -> None:
    try:
        target = path.resolve()
    except (OSError, RuntimeError) as error:  # links in a circle
        raise RefusedError(f"{path} must not be a link that leads to itself; remove it") from error
    if not target.is_relative_to(root.resolve()):
        raise RefusedError(f"{path} must not lead out of {root}, got a link to {target}; copy the images instead")


def _is_shown(path: Path) -> bool:
    return not path.name.startswith(".") and path.name != "__MACOSX"


def _cut_test(files: FolderFiles, test_fraction: float) -> tuple[FolderFiles, FolderFiles]:
    labels = np.array(files.labels, dtype=np.int64)
    is_test = hashed_test_split(
        [path.name.encode("utf-8", "surrogateescape") for path in files.paths], labels, test_fraction
    )
    parts = []
    for chosen in (~is_test, is_test):
        rows = np.flatnonzero(chosen)
        parts.append(FolderFiles(tuple(files.paths[i] for i in rows), tuple(files.labels[i] for i in rows)))
    if not len(parts[1]):
        raise DataError(
            f"{files.paths[0].parent.parent} must hold a class with at least 2 images, to cut a test split; add images"
        )
    return parts[0], parts[1]
