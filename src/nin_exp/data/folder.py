"""Where data sets lie between runs."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

ENVIRONMENT_VARIABLE = "NIN_EXP_DATA"


def resolve_data_dir(configured: str | None) -> Path:
    """The data folder: as configured, else ``$NIN_EXP_DATA``, else a cache folder of the user. It may not exist yet."""
    if configured is not None:
        return Path(configured).expanduser()
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(named).expanduser() if named else user_cache_path("nin_exp") / "data"
