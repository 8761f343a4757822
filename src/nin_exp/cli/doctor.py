"""``nin-exp doctor``: what this machine has, and what is wrong, with the remedy."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from nin_exp import __version__
from nin_exp.cli.flags import make_parser
from nin_exp.cores import available_cores
from nin_exp.errors import EXIT_DONE, ConfigError

_DESCRIPTION = "What this machine has, and what is wrong, with the remedy. Exit code 2 when something is wrong."
_ALWAYS_SHOWN = ("torch", "torchvision", "pytorch-lightning", "hydra-core", "omegaconf", "wandb")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "note", "wrong"]
    text: str


def run(arguments: Sequence[str]) -> int:
    """Run the verb; exits with 2 when something is wrong."""
    parser = make_parser("doctor", _DESCRIPTION, "example:\n  nin-exp doctor --runs-dir /scratch/runs")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="where runs would go")
    args = parser.parse(arguments)
    findings = [*_software(), _cores(), _gpus(), *_folders(Path(args.runs_dir).expanduser().absolute()), _wandb()]
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            mark = {"ok": " ok  ", "note": "note ", "wrong": "WRONG"}[finding.state]
            print(f"{mark} {finding.name:<17} {finding.text}")
    return ConfigError.exit_code if any(f.state == "wrong" for f in findings) else EXIT_DONE


def _software() -> Iterator[Finding]:
    from packaging.requirements import Requirement

    yield Finding("nin-exp", "ok", f"{__version__}, Python {sys.version.split()[0]} ({sys.executable})")
    try:
        texts = requires("nin-exp") or []
    except PackageNotFoundError:  # run from a checkout that is not installed
        texts = list(_ALWAYS_SHOWN)
    for requirement in map(Requirement, texts):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            finding = _package(requirement.name, requirement.specifier.contains, str(requirement.specifier))
            if finding.state != "ok" or requirement.name in _ALWAYS_SHOWN:
                yield finding
    try:
        found = version("lightning")
    except PackageNotFoundError:
        return
    yield Finding("lightning", "wrong", f"{found} is beside pytorch-lightning; pip uninstall lightning")


def _package(name: str, is_wanted: Callable[[str], bool], wanted: str) -> Finding:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Finding(name, "wrong", f"not installed; pip install '{name}{wanted}'")
    if is_wanted(found):
        return Finding(name, "ok", found)
    return Finding(name, "wrong", f"{found}, but {wanted} is needed; pip install '{name}{wanted}'")


def _cores() -> Finding:
    usable = available_cores()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Finding("cores", "ok", f"{usable} usable, {memory:.0f} GiB of memory")


def _gpus() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        reason = str(error).splitlines()[0]
        return Finding("GPUs", "wrong", f"torch cannot be imported ({reason}); pip install --force-reinstall torch")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Finding("GPUs", "ok", ", ".join(names))
    if shutil.which("nvidia-smi") is not None:
        return Finding("GPUs", "wrong", "nvidia-smi is there but torch sees no GPU; update the driver, or torch")
    return Finding("GPUs", "note", "none; runs use the CPU (backbone.width=0.25 makes NiN small enough)")


def _folders(runs_dir: Path) -> Iterator[Finding]:
    from nin_exp.data.folder import ENVIRONMENT_VARIABLE, resolve_data_dir
    from nin_exp.plan.states import is_writable

    if not is_writable(runs_dir):
        yield Finding("runs", "wrong", f"{runs_dir} cannot be written; set runs_dir=PATH")
    else:
        existing = next(p for p in (runs_dir, *runs_dir.parents) if p.exists())
        free = shutil.disk_usage(existing).free / 2**30
        if free > 1:
            yield Finding("runs", "ok", f"{runs_dir}, {free:.0f} GiB free")
        else:
            yield Finding("runs", "wrong", f"{runs_dir} has {free:.1f} GiB free; free space, or set runs_dir=PATH")
    data_dir = resolve_data_dir(None).absolute()
    prepared = sorted(p.stem for p in data_dir.glob("*.npz"))
    if prepared:
        yield Finding("data", "ok", f"{data_dir}: {', '.join(prepared)}")
    elif is_writable(data_dir):
        yield Finding("data", "note", f"{data_dir}: nothing prepared yet; digits and placed_digits need nothing")
    else:
        yield Finding("data", "wrong", f"{data_dir} cannot be written; set {ENVIRONMENT_VARIABLE} or data_dir=PATH")


def _wandb() -> Finding:
    from nin_exp.records.wandb_server import has_key

    if has_key():
        return Finding("W&B", "ok", "a key is there: logger=wandb logs online when the server answers")
    return Finding("W&B", "note", "no key: logger=wandb logs offline; `wandb login` makes it log online")
