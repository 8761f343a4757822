"""Look for what spoils results: copies across splits, contradicting labels, empty classes, unreadable files."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nin_exp.contracts.data import DataSource, ImageArrays, LoadedData
from nin_exp.data.decode import DecodedFolders, FolderSource, assemble_folders
from nin_exp.data.location import Locatable
from nin_exp.errors import NinExpError

Severity = Literal["error", "warning", "info"]
_LEAK_ERROR_SHARE = 0.01
_IMBALANCE_INFO, _IMBALANCE_WARNING = 1.5, 10.0
_SHOWN = 3


@dataclass(frozen=True)
class Finding:
    """One thing about a data set.

    Args:
        severity: ``error`` (results would be wrong or training impossible), ``warning``, ``info``.
        code: a fixed word for programs, such as ``duplicate_across_splits``.
        message: one line, with some examples.
        images: all images it is about: file names below the root, or ``train[7]``; copies joined by `` = ``.
    """

    severity: Severity
    code: str
    message: str
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    split: str
    name: str
    label: int


def check_source(source: DataSource, data_dir: Path) -> list[Finding]:
    """Read a data set that is here already, and check it; every problem is a finding, none is raised."""
    try:
        if isinstance(source, Locatable) and not source.locate(data_dir).is_here:
            return [
                Finding(
                    "error",
                    "not_here",
                    f"not in {data_dir}; fetch it with nin-exp data prepare, or give dataset.source=PATH",
                )
            ]
        folders = source.decode(data_dir) if isinstance(source, FolderSource) else None
        if folders is None:
            return check_loaded(source.load(data_dir))
        return _unreadable(folders) + _check_folders(folders)
    except NinExpError as error:
        return [Finding("error", "cannot_be_read", str(error))]


def check_loaded(loaded: LoadedData, names: tuple[Sequence[str], Sequence[str]] | None = None) -> list[Finding]:
    """Check a data set in memory; the most severe findings first.

    Args:
        names: what to call the training and the test images; None calls them ``train[0]`` and so on.
    """
    if names is None:
        names = ([f"train[{i}]" for i in range(len(loaded.train))], [f"test[{i}]" for i in range(len(loaded.test))])
    findings = _copies(loaded, names) + _classes(loaded) + _blank(loaded, names)
    if "images_of_official" in loaded.notes:
        counts = ", ".join(f"{split} {count}" for split, count in loaded.notes["images_of_official"].items())
        findings.append(
            Finding("info", "incomplete", f"not the complete data set: {counts}; published numbers are of the whole")
        )
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted(findings, key=lambda finding: order[finding.severity])


def _check_folders(folders: DecodedFolders) -> list[Finding]:
    loaded = assemble_folders(folders, "skip")
    train, test = ([folders.scan.name(path) for path in split.kept.paths] for split in (folders.train, folders.test))
    return check_loaded(loaded, (train, test))


def _unreadable(folders: DecodedFolders) -> list[Finding]:
    bad = [f"{folders.scan.name(path)} ({reason})" for path, reason in folders.unreadable]
    if not bad:
        return []
    message = (
        f"{len(bad)} files cannot be read: {', '.join(bad)}; mend or remove them, or train with dataset.unreadable=skip"
    )
    return [Finding("error", "unreadable", message, tuple(bad))]


def _copies(loaded: LoadedData, names: tuple[Sequence[str], Sequence[str]]) -> list[Finding]:
    """Images with exactly the same pixels."""
    groups: dict[bytes, list[_Row]] = defaultdict(list)
    for split, data, called in (("train", loaded.train, names[0]), ("test", loaded.test, names[1])):
        for image, label, name in zip(data.images, data.labels.tolist(), called, strict=True):
            groups[hashlib.blake2b(image.tobytes(), digest_size=16).digest()].append(_Row(split, name, label))
    copies = [rows for rows in groups.values() if len(rows) > 1]
    findings = []
    across = [rows for rows in copies if {row.split for row in rows} == {"train", "test"}]
    if across:
        leaked = sum(row.split == "test" for rows in across for row in rows)
        severity: Severity = "error" if leaked > _LEAK_ERROR_SHARE * len(loaded.test) else "warning"
        text = f"{leaked} of {len(loaded.test)} test images stand among the training images too"
        findings.append(_finding(severity, "duplicate_across_splits", text, across))
    for split in ("train", "test"):
        within = [same for rows in copies if len(same := [row for row in rows if row.split == split]) > 1]
        if within:
            extra = sum(len(rows) - 1 for rows in within)
            text = f"{extra} {split} images are copies of another one"
            if split == "train":
                text += " (validation is cut from them, and may hold the copy of an image that is trained on)"
            findings.append(_finding("warning", f"duplicate_in_{split}", text, within))
    contradicting = [rows for rows in copies if len({row.label for row in rows}) > 1]
    if contradicting:
        text = f"{len(contradicting)} images stand under more than one class"
        findings.append(_finding("warning", "contradicting_labels", text, contradicting))
    return findings


def _finding(severity: Severity, code: str, text: str, groups: list[list[_Row]]) -> Finding:
    images = tuple(" = ".join(row.name for row in rows) for rows in groups)
    return Finding(severity, code, f"{text}: {_examples(images)}", images)


def _classes(loaded: LoadedData) -> list[Finding]:
    findings = []
    for split, data in (("train", loaded.train), ("test", loaded.test)):
        counts = np.bincount(data.labels, minlength=len(loaded.class_names))
        empty = tuple(name for name, count in zip(loaded.class_names, counts, strict=True) if count == 0)
        if empty:
            severity: Severity = "error" if split == "train" else "warning"
            text = f"{len(empty)} classes have no {split} image: {_examples([repr(name) for name in empty])}"
            findings.append(Finding(severity, f"empty_class_in_{split}", text))
        single = tuple(name for name, count in zip(loaded.class_names, counts, strict=True) if count == 1)
        if single and split == "train":
            text = f"{len(single)} classes have one train image, and none for validation: "
            findings.append(Finding("warning", "single_image_class", text + _examples([repr(n) for n in single])))
        ratio = counts.max() / counts[counts > 0].min()
        if ratio >= _IMBALANCE_INFO:
            most, least = (
                loaded.class_names[int(i)]
                for i in (counts.argmax(), np.where(counts > 0, counts, counts.max()).argmin())
            )
            text = (
                f"{split} images are unevenly spread: "
                f"{counts.max()} of {most!r}, {counts[counts > 0].min()} of {least!r}; "
                f"always naming the most frequent class is right in {counts.max() / counts.sum():.1%}"
            )
            findings.append(
                Finding("warning" if ratio >= _IMBALANCE_WARNING else "info", f"imbalance_in_{split}", text)
            )
    return findings


def _blank(loaded: LoadedData, names: tuple[Sequence[str], Sequence[str]]) -> list[Finding]:
    blank = [
        name
        for data, called in zip((loaded.train, loaded.test), names, strict=True)
        for name, is_blank in zip(called, _is_blank(data), strict=True)
        if is_blank
    ]
    if not blank:
        return []
    return [
        Finding("warning", "blank_image", f"{len(blank)} images have one colour only: {_examples(blank)}", tuple(blank))
    ]


def _is_blank(data: ImageArrays) -> list[bool]:
    pixels = data.images.reshape(len(data), -1, data.images.shape[3])
    return [bool((image == image[0]).all()) for image in pixels]


def _examples(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
