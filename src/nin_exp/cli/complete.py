"""What a shell asks while a line is being typed. Reads YAML files only: no Hydra, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from nin_exp.compose.groups import list_groups, shipped_config_dir

_RUN_VERBS = ("train", "compare", "tune", "summary")
_USES_OF_A_STUDY = ("report", "best", "cancel", "ls")
_USES_OF_RUNS = ("show", "diff")
_USES_OF_A_RUN = ("evaluate", "predict", "explain", "export")
_OF_A_RUN = ("--runs-dir", "--weights", "--device", "--allow-package", "--json", "--debug")
_VALUES = {
    "--split": ("test", "train", "val"),
    "--format": ("numpy", "onnx", "safetensors", "torch"),
    "--weights": ("best", "last", "selected"),
    "--device": ("auto", "cpu", "cuda"),
}
_TRAINING = (
    "--dry-run",
    "--cfg",
    "--resolve",
    "--fail-fast",
    "--max-failures",
    "--limit",
    "--config-dir",
    "--allow-package",
    "--json",
    "--debug",
)
_PLAN = (*_TRAINING, "--stale", "--retry-failed", "--only")
_OF_A_STUDY = ("--runs-dir", "--json", "--debug")
_FLAGS = {
    "train": ("--multirun", "--from", "--verify", "--runs-dir", *_PLAN),
    "compare": ("--tuned", "--until-decided", "--runs-dir", *_PLAN),
    "tune": _TRAINING,
    "report": ("--out", "--tables", "--wandb", *_OF_A_STUDY),
    "best": ("--metric", "--select-on-test", *_OF_A_STUDY),
    "diff": ("--all", *_OF_A_STUDY),
    "cancel": _OF_A_STUDY,
    "ls": _OF_A_STUDY,
    "show": _OF_A_STUDY,
    "summary": ("--input", "--classes", "--json"),
    "evaluate": ("--split", "--dataset", "--again", *_OF_A_RUN, "--config-dir"),
    "predict": ("--top", "--csv", "--save", *_OF_A_RUN),
    "explain": ("--out", "--class", "--limit", "--format", *_OF_A_RUN),
    "export": ("--format", "--output", "--images", *(flag for flag in _OF_A_RUN if flag != "--device")),
}


def run(arguments: Sequence[str]) -> int:
    """Print a candidate a line for the line typed so far; exit code 0 whatever it is."""
    for candidate in candidates(arguments[0] if arguments else ""):
        print(candidate)
    return 0


def candidates(line: str) -> list[str]:
    """Completions of the last word of a command line that starts with ``nin-exp``.

    >>> candidates("nin-exp com")
    ['compare', 'completion']
    """
    words = line.split()
    word = "" if not line or line[-1].isspace() else words.pop()
    if len(words) <= 1:
        from nin_exp.cli.main import VERBS

        return sorted(v for v in VERBS if v.startswith(word))
    verb = words[1]
    if verb == "completion":
        return [s for s in ("bash", "fish", "zsh") if s.startswith(word)]
    if verb == "data":
        return [s for s in ("check", "list", "prepare") if s.startswith(word)]
    if word.startswith("-") and verb in _FLAGS:
        return sorted(f for f in _FLAGS[verb] if f.startswith(word))
    if words[-1] == "--from" or verb in _USES_OF_RUNS:
        return sorted({*_runs(word), *_paths(word)})
    if words[-1] == "--tuned" or verb in _USES_OF_A_STUDY:
        return sorted({*_studies(word), *_paths(word)})
    if verb in _USES_OF_A_RUN:
        return _of_a_run(verb, words[2:], word)
    if verb not in _RUN_VERBS:
        return []
    root = shipped_config_dir()
    groups = list_groups((root,))
    key, equals, value = word.partition("=")
    if equals and key in groups:
        done, comma, last = value.rpartition(",")
        return [f"{key}={done}{comma}{o}" for o in groups[key] if o.startswith(last)]
    chosen = dict(w.split("=", 1) for w in words[2:] if "=" in w)
    keys = {*(f"{g}=" for g in groups), *(f"{k}=" for k in _keys(root, groups, chosen))}
    return sorted(k for k in keys if k.startswith(word))


def _of_a_run(verb: str, words: list[str], word: str) -> list[str]:
    """Runs first, then what the verb uses: files for pictures, data for ``evaluate``."""
    if words and words[-1] in _VALUES:
        is_picture = verb == "explain" and words[-1] == "--format"
        return [v for v in (("both", "png", "svg") if is_picture else _VALUES[words[-1]]) if v.startswith(word)]
    if words and words[-1] in ("--csv", "--save", "--out", "--output", "--images", "--runs-dir", "--config-dir"):
        return _paths(word)
    if not any(not w.startswith("-") and "=" not in w for w in words):
        return sorted({*_runs(word), *_paths(word)})
    if verb != "evaluate":
        return _paths(word)
    key, equals, value = word.partition("=")
    if equals:
        return [
            f"{key}={option}"
            for option in list_groups((shipped_config_dir(),)).get(key, ())
            if option.startswith(value)
        ]
    return [k for k in ("data_dir=", "dataset.source=", "dataset=") if k.startswith(word)]


def _studies(word: str) -> list[str]:
    """Studies below ``runs`` that start so."""
    return sorted(p.parent.name for p in Path("runs").glob("*/study.json") if p.parent.name.startswith(word))


def _runs(word: str) -> list[str]:
    """Job ids below ``runs`` that start so."""
    found = Path("runs").glob("*/*/record.json")
    return sorted(path.parent.name for path in found if path.parent.name.startswith(word)) if word else []


def _paths(word: str) -> list[str]:
    """Files and folders that start so; hidden ones only when asked for."""
    folder, slash, start = word.rpartition("/")
    root = Path(f"{folder}/" if slash else ".").expanduser()
    try:
        children = sorted(root.iterdir())
    except OSError:
        return []
    shown = [c for c in children if c.name.startswith(start) and (start or not c.name.startswith("."))]
    return [f"{folder}{slash}{child.name}{'/' if child.is_dir() else ''}" for child in shown]


def _keys(root: Path, groups: dict[str, tuple[str, ...]], chosen: dict[str, str]) -> Iterator[str]:
    """Keys of the root file and of the chosen (or default) option of each group."""
    top = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
    defaults = {k: v for entry in top.pop("defaults") if isinstance(entry, dict) for k, v in entry.items()}
    yield from _flatten(top)
    for group in groups:
        option = chosen.get(group, defaults.get(group))
        for name in str(option).split(","):
            path = root / group / f"{name}.yaml"
            if group not in ("experiment", "debug") and path.is_file():
                yield from _flatten(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, f"{group}.")


def _flatten(values: dict[str, object], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if name in ("_target_", "_partial_", "defaults"):
            continue
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
