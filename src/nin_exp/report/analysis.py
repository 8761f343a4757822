"""From a study's runs to everything a report says, as plain values.

``analyse`` computes; ``summary_lines`` says it in sentences. What is shown where is up to the sections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from nin_exp.records.study import Comparison, Study
from nin_exp.report.across import Across, compare_across
from nin_exp.report.arms import Cell, describe_cell, group_of
from nin_exp.report.calibration import Calibration, summarise_calibration
from nin_exp.report.certainty import exact_reach
from nin_exp.report.collect import Run, StudyResults
from nin_exp.report.contrasts import Contrast, find_contrasts
from nin_exp.report.evaluation import Robustness, summarise_robustness
from nin_exp.report.examples import StudyExamples, find_examples
from nin_exp.report.metric import Metric
from nin_exp.report.provenance import SEED_KEYS, Provenance, find_provenance, find_warnings
from nin_exp.report.ranking import Best, PairOfArms, compare_all, find_best
from nin_exp.report.sentences import outcome_sentence, second_verdict
from nin_exp.report.text import plain_text
from nin_exp.report.tuning import Tuning, describe_search

CONFIDENCE = 0.95
"""Of intervals over test examples where no comparison names an alpha."""

PREFERRED_METRICS = ("test/acc", "val/acc", "test/loss", "val/loss")
"""Shown where no comparison names a metric: the first that a finished run has."""


@dataclass(frozen=True)
class Analysis:
    """What a report says about a study.

    Args:
        metric: of the comparison; without one, the first of ``PREFERRED_METRICS`` that a run has, or None.
        arms, blocks: in the order of the plan.
        cells: one an arm and block that the plan holds.
        contrasts, best, all_pairs: empty without a comparison; ``all_pairs`` also with fewer than three arms.
        across: all blocks together; None without a comparison over two or more.
        tuning: of a search; None for other studies.
        warnings: sentences on what makes the runs less comparable than planned.
    """

    study: Study
    metric: Metric | None
    runs: tuple[Run, ...]
    arms: tuple[str, ...]
    blocks: tuple[str, ...]
    cells: tuple[Cell, ...]
    contrasts: tuple[Contrast, ...]
    best: tuple[Best, ...]
    all_pairs: tuple[PairOfArms, ...]
    across: Across | None
    warnings: tuple[str, ...]
    provenance: Provenance
    tuning: Tuning | None = None

    @property
    def comparison(self) -> Comparison | None:
        """What the study compares; None for plain grids and single runs."""
        return self.study.comparison

    @property
    def states(self) -> dict[str, int]:
        """How many runs are in each state."""
        return dict(Counter(run.state for run in self.runs))

    @cached_property
    def _places(self) -> dict[tuple[str, str], Cell]:
        return {(cell.arm, cell.block): cell for cell in self.cells}

    @cached_property
    def by_example(self) -> StudyExamples:
        """The runs' predictions, read when first asked for: verdicts on a terminal do not wait for them."""
        confidence = CONFIDENCE if self.comparison is None else 1 - self.comparison.alpha
        return find_examples(self.cells, self.contrasts, self._split, confidence)

    @cached_property
    def calibration(self) -> tuple[Calibration, ...]:
        """Of each cell that has any, on the split of the metric."""
        return summarise_calibration(self.cells, self._split)

    @cached_property
    def robustness(self) -> tuple[Robustness, ...]:
        """Of each cell whose runs were evaluated in full, read when first asked for."""
        found = (summarise_robustness(cell.arm, cell.block, cell.runs) for cell in self.cells)
        return tuple(measured for measured in found if measured is not None)

    @property
    def _split(self) -> str:
        return self.metric.split if self.metric is not None and self.metric.is_accuracy else "test"

    def cell(self, arm: str, block: str) -> Cell | None:
        """The runs of an arm in a block; None where the plan holds none."""
        return self._places.get((arm, block))

    def cells_of(self, block: str) -> list[Cell]:
        """The cells of a block, in the order of the arms."""
        return self._by_block.get(block, [])

    @cached_property
    def _by_block(self) -> dict[str, list[Cell]]:
        blocks: dict[str, list[Cell]] = {}
        for cell in self.cells:
            blocks.setdefault(cell.block, []).append(cell)
        return blocks


def analyse(results: StudyResults) -> Analysis:
    """Compute all tables and contrasts of a study. The same runs always give the same numbers."""
    study, comparison = results.study, results.study.comparison
    metric = _metric(results)
    groups = _grouped(results)
    arms, blocks = _order(comparison, list(groups))
    key = None if metric is None else metric.key
    cells = tuple(
        describe_cell(arm, block, groups[arm, block], key) for block in blocks for arm in arms if (arm, block) in groups
    )
    contrasts: tuple[Contrast, ...] = ()
    best: tuple[Best, ...] = ()
    all_pairs: tuple[PairOfArms, ...] = ()
    across: Across | None = None
    if comparison is not None:
        by_place = {(run.job.arm, run.job.block, run.job.seed): run for run in results.runs}
        contrasts = find_contrasts(comparison, by_place)
        best = find_best(cells, contrasts, comparison.rope, comparison.baseline)
        all_pairs = compare_all(cells, comparison.alpha) if len(comparison.arms) > 2 else ()
        across = compare_across(comparison, contrasts, cells)
    return Analysis(
        study=study,
        metric=metric,
        runs=results.runs,
        arms=arms,
        blocks=blocks,
        cells=cells,
        contrasts=contrasts,
        best=best,
        all_pairs=all_pairs,
        across=across,
        warnings=find_warnings(results, cells),
        provenance=find_provenance(results),
        tuning=None if results.search is None else describe_search(results.search, results.runs),
    )


def _metric(results: StudyResults) -> Metric | None:
    if results.study.comparison is not None:
        return Metric(results.study.comparison.metric)
    done = [run for run in results.runs if run.state == "done"]
    for key in PREFERRED_METRICS:
        if any(run.score(key) is not None for run in done):
            return Metric(key)
    return None


def _grouped(results: StudyResults) -> dict[tuple[str, str], list[Run]]:
    """Runs by arm and block; outside comparisons, by the choices that vary and the data set."""
    choices = [run.job.choices for run in results.runs]
    varied = [
        key
        for key in dict.fromkeys(key for chosen in choices for key in chosen)
        if key not in (*SEED_KEYS, "dataset") and len({chosen.get(key) for chosen in choices}) > 1
    ]
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in results.runs:
        in_comparison = results.study.comparison is not None
        place = (run.job.arm, run.job.block) if in_comparison else group_of(run, varied)
        groups.setdefault(place, []).append(run)
    return groups


def _order(comparison: Comparison | None, places: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    arms, blocks = ((), ()) if comparison is None else (comparison.arms, comparison.blocks)
    return (
        tuple(dict.fromkeys((*arms, *(arm for arm, _ in places)))),
        tuple(dict.fromkeys((*blocks, *(block for _, block in places)))),
    )


def summary_lines(analysis: Analysis) -> list[str]:
    """The verdicts for a terminal, a line a contrast; empty without a comparison.

    Control characters in names are shown, not obeyed.
    """
    comparison = analysis.comparison
    if comparison is None:
        return []
    lines = []
    for contrast in analysis.contrasts:
        lines.append(outcome_sentence(contrast, comparison).text)
        lines.append(second_verdict(contrast, comparison) or "")
    lines.append(exact_reach(analysis.contrasts, comparison))
    return [plain_text(line) for line in lines if line]
