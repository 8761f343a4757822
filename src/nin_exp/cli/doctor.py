"""``nin-exp doctor``: what this machine has, and what is wrong, with the remedy."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from nin_exp import __version__
from nin_exp.cli.flags import make_parser


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "note", "wrong"]
    text: str


def run(arguments: Sequence[str]) -> int:
    """Run the verb; exit code 1 when something is wrong."""
    parser = make_parser("doctor", "What this machine has, and what is wrong.")
    parser.add_argument("--runs-dir", default="runs", metavar="PATH", help="where runs would go")
    args = parser.parse(arguments)
    findings = [*_software(), *_machine(), *_folders(Path(args.runs_dir)), _wandb()]
    if args.json:
        print(json.dumps([finding.__dict__ for finding in findings], indent=1))
    else:
        for finding in findings:
            mark = {"ok": " ok  ", "note": "note ", "wrong": "WRONG"}[finding.state]
            print(f"{mark} {finding.name:<17} {finding.text}")
    return 1 if any(f.state == "wrong" for f in findings) else 0


def _software() -> list[Finding]:
    findings = [Finding("nin-exp", "ok", f"{__version__}, Python {sys.version.split()[0]} ({sys.executable})")]
    for name in ("torch", "torchvision", "pytorch-lightning", "hydra-core", "omegaconf", "wandb"):
        try:
            findings.append(Finding(name, "ok", version(name)))
        except PackageNotFoundError:
            findings.append(Finding(name, "wrong", f"not installed; pip install {name}"))
    try:
        found = version("lightning")
        findings.append(
            Finding(
                "lightning",
                "wrong",
                f"{found} is installed beside pytorch-lightning; pip uninstall lightning",
            )
        )
    except PackageNotFoundError:
        pass
    return findings


def _machine() -> list[Finding]:
    import torch

    from nin_exp.train.host import available_cores

    cores = available_cores()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    findings = [Finding("cores", "ok", f"{cores} usable, {memory:.0f} GiB of memory")]
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        findings.append(Finding("GPUs", "ok", ", ".join(names)))
    elif shutil.which("nvidia-smi") is not None:
        findings.append(
            Finding("GPUs", "wrong", "nvidia-smi is there but torch sees no GPU; the driver may be too old")
        )
    else:
        findings.append(Finding("GPUs", "note", "none; runs use the CPU (backbone.width=0.25 makes NiN small enough)"))
    return findings


def _folders(runs_dir: Path) -> list[Finding]:
    from nin_exp.data.folder import resolve_data_dir
    from nin_exp.plan.states import is_writable

    findings = []
    if is_writable(runs_dir.resolve()):
        existing = next(p for p in (runs_dir.resolve(), *runs_dir.resolve().parents) if p.exists())
        free = shutil.disk_usage(existing).free / 2**30
        state: Literal["ok", "wrong"] = "ok" if free > 1 else "wrong"
        findings.append(Finding("runs", state, f"{runs_dir.resolve()}, {free:.0f} GiB free"))
    else:
        findings.append(Finding("runs", "wrong", f"{runs_dir.resolve()} cannot be written; set runs_dir=PATH"))
    data_dir = resolve_data_dir(None)
    prepared = sorted(p.stem for p in data_dir.glob("*.npz")) if data_dir.is_dir() else []
    text = f"{data_dir}: {', '.join(prepared) or 'nothing prepared yet; digits and placed_digits need nothing'}"
    findings.append(Finding("data", "ok" if prepared else "note", text))
    return findings


def _wandb() -> Finding:
    from nin_exp.train.loggers import has_wandb_key

    if has_wandb_key():
        return Finding("W&B", "ok", "a key is there: logger=wandb logs online when the server answers")
    return Finding("W&B", "note", "no key: logger=wandb logs offline; `wandb login` makes it log online")
