"""What a search was about, as ``tune.json`` holds it beside ``study.json``; its trials are the runs of the study."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from nin_exp.errors import IntegrityError
from nin_exp.records.files import write_json

SEARCH_FILE = "tune.json"
SEARCH_SCHEMA_VERSION = 1
Assignment = tuple[str, str]


@dataclass(frozen=True)
class Search:
    """A search.

    Args:
        by: the keys whose values are the arms; empty for one search over everything.
        arms: label to settings; each arm was searched with the same budget.
        fixed: settings that all trials share, without ``evaluation.level``.
        space: what was searched, as typed.
        seeds: every trial was run with each of them.
        objectives: the first one decides.
    """

    by: tuple[str, ...]
    arms: dict[str, tuple[Assignment, ...]]
    fixed: tuple[Assignment, ...]
    space: tuple[str, ...]
    seeds: tuple[int, ...]
    objectives: tuple[str, ...]
    schema_version: int = SEARCH_SCHEMA_VERSION

    def write(self, study_dir: Path) -> None:
        """Write ``tune.json`` atomically."""
        write_json(study_dir / SEARCH_FILE, asdict(self))

    @staticmethod
    def read(study_dir: Path) -> Search:
        """Read ``tune.json``.

        Raises:
            FileNotFoundError: the study is no search.
            IntegrityError: the file is damaged or of a newer schema.
        """
        path = study_dir / SEARCH_FILE
        text = path.read_text(encoding="utf-8")
        try:
            values = json.loads(text)
            if values["schema_version"] > SEARCH_SCHEMA_VERSION:
                raise IntegrityError(f"{path} was made by a newer nin-exp (schema {values['schema_version']}); update")
            lists = {name: tuple(values[name]) for name in ("by", "space", "seeds", "objectives")}
            arms = {arm: _assignments(pairs) for arm, pairs in values["arms"].items()}
            return Search(**{**values, **lists, "arms": arms, "fixed": _assignments(values["fixed"])})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(f"{path} must be a search, but cannot be read; run its command again") from error


def _assignments(pairs: list[list[str]]) -> tuple[Assignment, ...]:
    return tuple((str(key), str(value)) for key, value in pairs)
