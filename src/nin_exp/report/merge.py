"""Several studies as one, for a report over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nin_exp.errors import ConfigError
from nin_exp.records.study import Comparison, join_published
from nin_exp.report.collect import Run, StudyResults

MUST_AGREE = ("by", "baseline", "metric", "rope", "alpha")


def merge_studies(studies: Sequence[StudyResults]) -> StudyResults:
    """Join studies that ask the same question; a job that several of them hold counts once.

    Args:
        studies: at least one; the first names the result.

    Raises:
        ConfigError: they compare different things.
    """
    if not studies:
        raise ConfigError("a report needs at least one study, got none; give a folder such as runs/<study>")
    comparison = studies[0].study.comparison
    for other in studies[1:]:
        comparison = _joined(comparison, other.study.comparison, studies[0].study.name, other.study.name)
    runs: dict[str, Run] = {}
    for study in studies:
        for run in study.runs:
            known = runs.get(run.job.job_id)
            if known is None or (known.state != "done" and run.state == "done"):
                runs[run.job.job_id] = run
    merged = replace(
        studies[0].study,
        name=" + ".join(dict.fromkeys(results.study.name for results in studies)),
        command="\n".join(dict.fromkeys(results.study.command for results in studies)),
        jobs=tuple(run.job for run in runs.values()),
        comparison=comparison,
        published=join_published(one for results in studies for one in results.study.published),
    )
    return StudyResults(merged, tuple(runs.values()))


def _joined(first: Comparison | None, second: Comparison | None, name: str, other: str) -> Comparison | None:
    if first is None or second is None:
        if first is second:
            return None
        raise ConfigError(f"studies of one report must all be comparisons, or none: '{name}' and '{other}' differ")
    for key in MUST_AGREE:
        ours, theirs = getattr(first, key), getattr(second, key)
        if ours != theirs:
            raise ConfigError(
                f"studies of one report must share compare.{key}, got {ours} in '{name}' and {theirs} in '{other}'; "
                "report them one by one"
            )
    twice = {(o.arm, o.block) for o in first.looks} & {(o.arm, o.block) for o in second.looks}
    if twice:
        arm, block = sorted(twice)[0]
        raise ConfigError(
            f"studies of one report must not both have looked at a contrast, got {arm} on {block} in '{name}' and "
            f"'{other}'; report them one by one"
        )
    return replace(
        first,
        looks=(*first.looks, *second.looks),
        arms=tuple(dict.fromkeys((*first.arms, *second.arms))),
        blocks=tuple(dict.fromkeys((*first.blocks, *second.blocks))),
        seeds=tuple(sorted({*first.seeds, *second.seeds})),
    )
