"""Optuna's study of one arm: opened or gone on with, and whose its unfinished trials are."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from nin_exp.errors import ConfigError, StorageError
from nin_exp.records.objective import Direction
from nin_exp.records.processes import ProcessId, this_process
from nin_exp.records.redact import redact_text

DATABASE_FILE = "optuna.db"
_OWNER = "owner"
BEAT_SECONDS = 60
"""How often a search says in the database that it lives."""
_DEAD_SECONDS = 15 * 60  # after its last word, for a search on another machine; clocks may differ by less
_SECONDS_TO_WAIT = 30  # for a database that another process has locked


def storage_url(setting: str | None, study_dir: Path) -> str:
    """The database of ``tune.storage``; by default a file in the study's folder."""
    return setting if setting is not None else f"sqlite:///{study_dir.resolve() / DATABASE_FILE}"


@contextlib.contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn what a database raises into one line that names it."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error
        reason = str(getattr(cause, "orig", None) or cause).splitlines()[0]
        raise StorageError(
            f"tune.storage {redact_text(url)} cannot be used: {redact_text(reason)}; free it, or name another"
        ) from error


def open_storage(url: str) -> RDBStorage:
    """Connect to the database.

    Raises:
        ConfigError: the URL is none, or its driver is not installed.
        StorageError: it does not answer.
    """
    # Optuna says on every start what it has found; the search says so itself.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    arguments: dict[str, Any] = {"connect_args": {"timeout": _SECONDS_TO_WAIT}} if url.startswith("sqlite") else {}
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    try:
        with storage_errors(url):
            return RDBStorage(url, engine_kwargs=arguments)
    except (ImportError, ValueError, StorageError) as error:
        if isinstance(error, StorageError) and "parse" not in str(error) and "load plugin" not in str(error):
            raise
        raise ConfigError(
            f"tune.storage must be a database URL such as sqlite:///tune.db, got '{redact_text(url)}' "
            f"({redact_text(str(error).splitlines()[0])}); is its driver installed?"
        ) from error


def open_study(storage: RDBStorage, name: str, directions: Sequence[Direction]) -> optuna.Study:
    """The study of that name, made when it is missing.

    Raises:
        ConfigError: it exists with other objectives.
    """
    study = optuna.create_study(storage=storage, study_name=name, directions=list(directions), load_if_exists=True)
    found = [direction.name.lower() for direction in study.directions]
    if found != list(directions):
        raise ConfigError(
            f"the search '{name}' has objectives to {', '.join(found)}, not to {', '.join(directions)}; "
            "choose another study="
        )
    return study


def claim(trial: Trial) -> None:
    """Note that this process works at a trial."""
    trial.set_user_attr(_OWNER, json.dumps(asdict(this_process())))


def beat(study: optuna.Study) -> None:
    """Note that this process still works at a study: other machines cannot look."""
    study.set_user_attr(_beat_key(this_process()), time.time())


def abandoned(study: optuna.Study) -> list[FrozenTrial]:
    """Trials under way whose process has gone: they are to be gone on with."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    beats = study.user_attrs
    return [trial for trial in running if not _has_owner(trial, beats)]


def _has_owner(trial: FrozenTrial, beats: Mapping[str, Any]) -> bool:
    text = trial.user_attrs.get(_OWNER)
    if text is None:
        return False
    owner = ProcessId(**json.loads(text))
    if owner.is_here:
        return owner.is_alive
    last = beats.get(_beat_key(owner))
    return last is not None and abs(time.time() - last) < _DEAD_SECONDS


def _beat_key(process: ProcessId) -> str:
    return f"alive/{process.host}/{process.pid}/{process.started}"
