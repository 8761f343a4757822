"""Where the numbers come from: code, versions, data, configuration; and what does not fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nin_exp.config import VOLATILE_KEYS
from nin_exp.records.record import Record
from nin_exp.records.redact import redact_text
from nin_exp.report.arms import Cell
from nin_exp.report.collect import Run, StudyResults, number
from nin_exp.report.text import shorten

LONGEST_VALUE = 200
SEED_KEYS = ("seed", "split_seed", "init_seed", "order_seed", "augment_seed")


@dataclass(frozen=True)
class Variant:
    """One of the values that the runs hold for something, and how many runs hold it."""

    value: str
    num_runs: int


@dataclass(frozen=True)
class DataSource:
    """The data of a data set's runs.

    Args:
        sizes: the records' own numbers, such as ``num_train``.
        notes: what was found when the data were read, such as files that are no images.
    """

    dataset: str
    fingerprints: tuple[Variant, ...]
    sizes: dict[str, float]
    notes: tuple[Variant, ...]


@dataclass(frozen=True)
class Provenance:
    """What a reader needs to repeat the study.

    Args:
        fixed: configuration keys that have one value in all runs.
        varied: configuration keys with several values.
    """

    git: tuple[Variant, ...]
    versions: dict[str, tuple[Variant, ...]]
    devices: tuple[Variant, ...]
    data: tuple[DataSource, ...]
    fixed: dict[str, str]
    varied: dict[str, tuple[Variant, ...]]


def find_provenance(results: StudyResults) -> Provenance:
    """Collect code, versions, data and configuration over a study's runs."""
    records = [run.record for run in results.runs if run.record is not None]
    names = sorted({name for record in records for name in record.versions})
    fixed, varied = _configuration(_configs(results.runs))
    return Provenance(
        git=_git_variants(records),
        versions={name: _variants(str(r.versions[name]) for r in records if name in r.versions) for name in names},
        devices=_variants(record.device for record in records if record.device),
        data=_data_sources(records),
        fixed=fixed,
        varied=varied,
    )


MOST_CONFIGS = 2000
"""Configurations that are read of runs that differ by more than their seeds."""


@dataclass(frozen=True)
class _Configs:
    """The configuration of one of the runs that differ by seeds alone, and the seeds of all of them."""

    config: dict[str, str]
    num_runs: int
    seeds: Counter[tuple[str, ...]]


def _configs(runs: Sequence[Run]) -> list[_Configs]:
    """Configurations with the number of runs that have them; of runs that differ by seeds alone one is read.

    Of more than ``MOST_CONFIGS`` different ones the first are read.
    """
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        record = run.record
        key = (run.job.job_id,) if record is None or not record.group_hash else (record.group_hash, record.dataset)
        groups.setdefault(key, []).append(run)
    found = []
    for members in list(groups.values())[:MOST_CONFIGS]:
        first = members[0]
        if first.config:
            found.append(_Configs(first.config, len(members), _seed_counts(members)))
    return found


def _seed_counts(members: Sequence[Run]) -> Counter[tuple[str, ...]]:
    """The seeds of runs that differ by them alone: those of the first as its configuration holds them."""
    first, *others = members
    counts: Counter[tuple[str, ...]] = Counter([tuple(first.config.get(key, "") for key in SEED_KEYS)])
    numbers: Counter[tuple[int, ...]] = Counter()
    for run in others:
        record = run.record
        if record is None:
            counts[tuple(run.config.get(key, "") for key in SEED_KEYS)] += 1
            continue
        seed, seeds = record.seed, record.seeds
        numbers[(seed, *[seeds.get(name, seed) for name in _SEED_NAMES])] += 1
    for found, num in numbers.items():
        counts[tuple(map(str, found))] += num
    return counts


_SEED_NAMES = tuple(key.removesuffix("_seed") for key in SEED_KEYS if key != "seed")


def _git_variants(records: Sequence[Record]) -> tuple[Variant, ...]:
    lines: Counter[str] = Counter()
    texts: dict[int, str] = {}  # runs of one state of the code share the mapping
    for record in records:
        if record.git:
            text = texts.get(id(record.git))
            if text is None:
                text = texts[id(record.git)] = _git_line(record.git)
            lines[text] += 1
    return _by_number(lines)


def _git_line(git: Mapping[str, Any]) -> str:
    parts = [f"{key}: {_short(value)}" for key, value in git.items() if not isinstance(value, (dict, list))]
    return "; ".join(parts)


def _short(value: Any) -> str:
    text = {True: "yes", False: "no", None: "unknown"}.get(value) if isinstance(value, (bool, type(None))) else None
    text = redact_text(str(value)) if text is None else text
    return text if len(text) <= LONGEST_VALUE else f"({len(text)} characters, in the records)"


def _variants(values: Iterable[str]) -> tuple[Variant, ...]:
    return _by_number(Counter(values))


def _by_number(counts: Counter[str]) -> tuple[Variant, ...]:
    return tuple(Variant(value, num) for value, num in counts.most_common())


def _data_sources(records: Sequence[Record]) -> tuple[DataSource, ...]:
    sources = []
    by_set: dict[str, dict[int, tuple[dict[str, Any], list[Record]]]] = {}  # runs of one data set share the mapping
    for record in records:
        by_set.setdefault(record.dataset, {}).setdefault(id(record.data), (record.data, []))[1].append(record)
    for dataset, shared in by_set.items():
        sizes: dict[str, float] = {}
        fingerprints: Counter[str] = Counter()
        notes: Counter[str] = Counter()
        for data, of_data in shared.values():
            for key in ("num_train", "num_val", "num_test", "num_classes", "chance"):
                value = number(data.get(key))
                if value is not None:
                    sizes.setdefault(key, value)
            if data.get("fingerprint"):
                fingerprints[str(data["fingerprint"])] += len(of_data)
            if isinstance(data.get("notes"), dict):
                for key, value in data["notes"].items():
                    notes[f"{key}: {_short(value)}"] += len(of_data)
        sources.append(DataSource(dataset, _by_number(fingerprints), sizes, _by_number(notes)))
    return tuple(sources)


def _configuration(
    configs: Sequence[_Configs],
) -> tuple[dict[str, str], dict[str, tuple[Variant, ...]]]:
    fixed, varied = {}, {}
    for key in dict.fromkeys(key for one in configs for key in one.config):
        if key.partition(".")[0] in VOLATILE_KEYS:
            continue
        found: Counter[str] = Counter()
        for one in configs:
            if key in SEED_KEYS and key in one.config:
                for seeds, num in one.seeds.items():
                    found[seeds[SEED_KEYS.index(key)]] += num
            else:
                found[one.config.get(key, "not set")] += one.num_runs
        values: Counter[str] = Counter()
        for value, num in found.items():
            values[redact_text(f"{key}={value}").partition("=")[2]] += num
        if len(values) == 1:
            fixed[key] = shorten(next(iter(values)), LONGEST_VALUE)
        else:
            varied[key] = tuple(Variant(shorten(v, LONGEST_VALUE), n) for v, n in values.most_common())
    return fixed, varied


def find_warnings(results: StudyResults, cells: Sequence[Cell]) -> tuple[str, ...]:
    """Say in a sentence each what makes the runs less comparable than the plan says."""
    warnings = []
    by_block: dict[str, list[Record]] = {}
    for cell in cells:
        by_block.setdefault(cell.block, []).extend(r.record for r in cell.runs if r.record is not None)
    for block, records in by_block.items():
        place = f"in {block}" if block else "in this study"
        fingerprints = {str(r.data["fingerprint"]) for r in records if r.data.get("fingerprint")}
        if len(fingerprints) > 1:
            warnings.append(f"The runs {place} used {len(fingerprints)} different versions of the data.")
        devices = {r.device for r in records if r.device}
        if len(devices) > 1:
            warnings.append(f"The runs {place} used different devices: speeds and times are not comparable.")
    for cell in cells:
        codes = {r.record.code_hash for r in cell.runs if r.record is not None and r.record.code_hash}
        if len(codes) > 1:
            place = f" in {cell.block}" if cell.block else ""
            warnings.append(f"The runs of {cell.arm}{place} were made with {len(codes)} versions of the code.")
    if results.study.comparison is not None:
        warnings.extend(_unshared_seeds(results.runs))
    return tuple(warnings)


def _unshared_seeds(runs: Sequence[Run]) -> list[str]:
    """The arms of a pair must share all four seeds: their difference is what the interval is about."""
    used: dict[tuple[str, int], set[tuple[tuple[str, int], ...]]] = {}
    known: dict[int, tuple[tuple[str, int], ...]] = {}  # runs with the same seeds share the mapping
    for run in runs:
        if run.record is not None and (own := run.record.seeds):
            seeds = known.get(id(own)) or known.setdefault(id(own), tuple(sorted((str(k), v) for k, v in own.items())))
            used.setdefault((run.job.block, run.job.seed), set()).add(seeds)
    unshared = [f"{block or 'seed'} {seed}" for (block, seed), variants in used.items() if len(variants) > 1]
    if not unshared:
        return []
    named = ", ".join(unshared[:5])
    return [f"The arms do not share their seeds in {len(unshared)} of {len(used)} pairs: {named}."]
