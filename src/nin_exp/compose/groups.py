"""Where configuration files lie, and which options each group offers. No Hydra: completion must start fast."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import nin_exp
from nin_exp.errors import ConfigError, nearest


def shipped_config_dir() -> Path:
    """The ``conf`` folder: inside an installed package, or at the top of a checkout."""
    package = Path(nin_exp.__file__).resolve().parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent.parent / "conf"


NOT_GROUPS = ("wandb",)
"""Folders of ``conf`` with files for other programs."""


PRESET_GROUPS = ("experiment", "debug")
"""Groups of which nothing need be chosen; their options set keys of the whole configuration."""

JOINED_GROUPS = ("logger", *PRESET_GROUPS)
"""Groups of which several options can be chosen at once: ``logger=[wandb,tensorboard]``."""


@lru_cache(maxsize=8)
def list_groups(config_dirs: tuple[Path, ...]) -> dict[str, tuple[str, ...]]:
    """Map each group to its options, such as ``{"head": ("fc", "gap"), "experiment": ("paper/cifar10",)}``."""
    options: dict[str, set[str]] = {}
    for root in config_dirs:
        for group in sorted(p for p in root.iterdir() if _is_group(p)):
            found = {f.relative_to(group).with_suffix("").as_posix() for f in group.rglob("*.yaml")}
            options.setdefault(group.name, set()).update(found)
    return {group: tuple(sorted(names)) for group, names in options.items()}


def _is_group(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith((".", "_")) and folder.name not in NOT_GROUPS


def resolve_config_dirs(extra: str | None) -> tuple[Path, ...]:
    """The shipped folder, and a user's own in front of it.

    Raises:
        ConfigError: the user's folder is missing.
    """
    shipped = shipped_config_dir()
    if extra is None:
        return (shipped,)
    folder = Path(extra).expanduser().resolve()
    if not extra or not folder.is_dir():
        raise ConfigError(f"--config-dir must be an existing folder, got '{extra}'")
    return (shipped, folder)


def check_choice(group: str, value: object, groups: dict[str, tuple[str, ...]]) -> str | None:
    """What is wrong with choosing this option (of some groups: these options), or None."""
    if isinstance(value, list) and group not in JOINED_GROUPS:
        listed = ",".join(map(str, value))
        return f"{group} takes one option, got [{listed}]; a list of runs has no brackets: {group}={listed}"
    for option in value if isinstance(value, list) else [value]:
        name = "null" if option is None else str(option)
        if name not in groups[group] and not (option is None and group in PRESET_GROUPS):
            return f"{group}={name} is not an option of {group}.{nearest(name, groups[group])}"
    return None
