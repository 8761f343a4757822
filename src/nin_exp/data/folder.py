"""Where data sets lie between runs."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

from nin_exp.errors import ConfigError

ENVIRONMENT_VARIABLE = "NIN_EXP_DATA"


def resolve_data_dir(configured: str | None) -> Path:
    """The data folder: as configured, else ``$NIN_EXP_DATA``, else a cache folder of the user. It may not exist yet.

    Raises:
        ConfigError: there is none of these.
    """
    named = configured if configured is not None else os.environ.get(ENVIRONMENT_VARIABLE)
    try:
        return Path(named).expanduser() if named else user_cache_path("nin_exp") / "data"
    except RuntimeError as error:
        raise ConfigError(
            f"data_dir must be a folder's path, got {named or 'none'} without a home for it; "
            f"set data_dir=PATH or {ENVIRONMENT_VARIABLE}"
        ) from error
