"""The names of jobs: a hash of the configuration, and a hash of the source that gave its result."""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from nin_exp.compose.signature import read_signature, source_file
from nin_exp.config import OPEN_GROUPS, VOLATILE_KEYS, VOLATILE_TRAINER_KEYS, ExperimentConfig

# What the classes of a configuration may be made of. The command line or the report may change freely.
_HASHED_PACKAGES = tuple(
    f"nin_exp.{p}" for p in ("data", "backbones", "heads", "optim", "layers", "module", "numpy_engine", "reference")
)


def identity(config: ExperimentConfig, allowed_packages: tuple[str, ...] = ("nin_exp",)) -> dict[str, Any]:
    """The part of a configuration that decides a run's result."""
    values = {k: v for k, v in asdict(config).items() if k not in VOLATILE_KEYS}
    values["trainer"] = {k: v for k, v in values["trainer"].items() if k not in VOLATILE_TRAINER_KEYS}
    dataset = dict(values["dataset"])
    if "source" in dataset and not is_its_source(dataset["_target_"], allowed_packages):
        del dataset["source"]  # a local copy of a data set that has a name
    elif dataset.get("source") is not None:
        dataset["source"] = str(Path(dataset["source"]).expanduser().resolve())
    values["dataset"] = dataset
    return values


def is_its_source(target: str, allowed_packages: tuple[str, ...] = ("nin_exp",)) -> bool:
    """Whether a data set is nothing but the path it is read from: its ``source`` may not be None."""
    return read_signature(target, allowed_packages).get("source") is str


def config_hash(config: ExperimentConfig, allowed_packages: tuple[str, ...] = ("nin_exp",)) -> str:
    """SHA-256 over the identity, as canonical JSON."""
    text = json.dumps(identity(config, allowed_packages), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def group_hash(config: ExperimentConfig, allowed_packages: tuple[str, ...] = ("nin_exp",)) -> str:
    """The configuration's hash without its seeds: runs that share it differ by chance alone."""
    values = {k: v for k, v in identity(config, allowed_packages).items() if k != "seed" and not k.endswith("_seed")}
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def job_id(config: ExperimentConfig, allowed_packages: tuple[str, ...] = ("nin_exp",)) -> str:
    """The name of a job's run directory: 12 hexadecimal digits of the configuration's hash."""
    return config_hash(config, allowed_packages)[:12]


def code_hash(config: ExperimentConfig, allowed_packages: tuple[str, ...] = ("nin_exp",)) -> str:
    """A hash of the source of the classes that a configuration uses, and of what they import from the project.

    Comments, docstrings and formatting do not count.
    """
    targets = {getattr(config, group)["_target_"].rpartition(".")[0] for group in OPEN_GROUPS}
    trains = "nin_exp.numpy_engine.classifier" if config.engine == "numpy" else "nin_exp.module.classifier"
    return _closure_hash(tuple(sorted(targets | {trains})), allowed_packages)


@lru_cache(maxsize=256)
def _closure_hash(modules: tuple[str, ...], allowed_packages: tuple[str, ...]) -> str:
    pending, seen = list(modules), {}
    while pending:
        module = pending.pop()
        if module in seen:
            continue
        tree = ast.parse(source_file(module, allowed_packages).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_HASHED_PACKAGES):
                pending.append(str(node.module))
            _drop_docstring(node)
        seen[module] = ast.dump(tree)
    digest = hashlib.sha256()
    for module in sorted(seen):
        digest.update(f"{module}\0{seen[module]}\0".encode())
    return digest.hexdigest()[:16]


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            node.body = node.body[1:]
