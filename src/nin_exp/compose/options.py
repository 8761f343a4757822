"""The one place that calls Hydra's compose: the chosen option of every group, put together."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from nin_exp.compose.bounded_yaml import read_bounded
from nin_exp.errors import ConfigError


def compose_options(config_dirs: tuple[Path, ...], overrides: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
    """Compose ``config.yaml`` with options chosen, such as ``head=fc``; takes about 0.1 s.

    Args:
        config_dirs: the shipped folder first, then those of a user, which go behind it.

    Returns:
        The configuration, in which no key can be added, and the option chosen in each group.

    Raises:
        ConfigError: a file is no YAML, or cannot be composed with the others.
    """
    shipped, *own = config_dirs
    for folder in own:
        _check_sizes(folder)
    places = [QuotedString(f"file://{folder}", Quote.single).with_quotes() for folder in own]
    search_path = [f"hydra.searchpath=[{','.join(places)}]"] if own else []
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(shipped)):
            config = compose("config", overrides=[*overrides, *search_path], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, YAMLError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{_culprit(own, overrides)} cannot be composed: {reason}") from error
    choices = {group: str(option) for group, option in config.hydra.runtime.choices.items() if option is not None}
    with open_dict(config):
        del config["hydra"]
    OmegaConf.set_struct(config, True)
    return config, choices


@lru_cache(maxsize=8)
def _check_sizes(folder: Path) -> None:
    for path in sorted(folder.glob("*/**/*.yaml")):
        with contextlib.suppress(OSError, UnicodeDecodeError):  # told where the file is chosen
            read_bounded(path)


def _culprit(own: Sequence[Path], overrides: Sequence[str]) -> str:
    """The chosen files of a user, for errors that name none; those shipped are tested."""
    chosen = [override.replace("=", "/", 1) for override in overrides]
    files = [path for folder in own for name in chosen if (path := folder / f"{name}.yaml").is_file()]
    return ", ".join(map(str, files)) or f"the configuration with {', '.join(overrides) or 'its defaults'}"
