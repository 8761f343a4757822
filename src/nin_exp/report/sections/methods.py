"""How the numbers were made, in words that can go into a paper."""

from __future__ import annotations

import math

from nin_exp.records.study import Comparison
from nin_exp.report.analysis import Analysis
from nin_exp.report.metric import Metric, count, percent
from nin_exp.report.section import Section
from nin_exp.report.sentences import listed
from nin_exp.stats.chance import GUESSING_ERROR
from nin_exp.stats.planning import POWER
from nin_exp.stats.sequential import FIRST_LOOK, SPENDING_POWER
from nin_exp.stats.sign_flip import MAX_EXACT_PAIRS

CHANCE_RULE = (
    " No verdict is given where an arm's mean is no higher than what guessing at the rate of the most frequent class "
    f"exceeds with probability {GUESSING_ERROR:g} (binomial). Diverged runs have no score: their pairs are counted, "
    "and the verdict is given a second time with them at chance."
)


def section(analysis: Analysis) -> Section:
    """Design, data and statistics of the study."""
    paragraphs = [_design(analysis), _data(analysis), _selection(analysis)]
    if analysis.comparison is not None:
        paragraphs += [_statistics(analysis.comparison, len(analysis.contrasts)), _limits(analysis)]
    return Section("methods", "Methods", {"paragraphs": [text for text in paragraphs if text]})


def _design(analysis: Analysis) -> str:
    comparison, fixed = analysis.comparison, analysis.provenance.fixed
    runs = f"{len(analysis.runs)} planned run{'' if len(analysis.runs) == 1 else 's'}"
    held = f" {len(fixed)} configuration keys have one value in all runs; they are listed below." if fixed else ""
    if comparison is None:
        return f"The study holds {runs}.{held}"
    others = [arm for arm in comparison.arms if arm != comparison.baseline]
    seeds = ", ".join(map(str, comparison.seeds))
    return (
        f"{listed(comparison.by)}: {listed(others)} against {comparison.baseline} (baseline), on "
        f"{listed(comparison.blocks)}, with seeds {seeds}: {runs}. Arms are paired by seed: both runs of a pair share "
        f"the seeds of split, initialisation, data order and augmentation.{held}"
    )


def _data(analysis: Analysis) -> str:
    lines = []
    for source in analysis.provenance.data:
        sizes = source.sizes
        parts = [
            f"{count(sizes[key])} {name} examples"
            for key, name in (("num_train", "training"), ("num_val", "validation"), ("num_test", "test"))
            if key in sizes
        ]
        if "num_classes" in sizes:
            parts.append(f"{count(sizes['num_classes'])} classes")
        if "chance" in sizes:
            parts.append(f"the most frequent one {100 * sizes['chance']:.4g} % of the test split")
        if parts:
            lines.append(f"{source.dataset}: {', '.join(parts)}.")
    return " ".join(lines)


def _selection(analysis: Analysis) -> str:
    select = analysis.provenance.fixed.get("trainer.select")
    epoch = {
        "best": "Of each run the epoch with the best validation accuracy is evaluated.",
        "last": "Of each run the last epoch is evaluated.",
    }.get(select or "", "")
    return f"{epoch} The test split is read once, after that choice, and every example of it counts.".strip()


def _statistics(comparison: Comparison, n_contrasts: int) -> str:
    metric = Metric(comparison.metric)
    threshold, confidence = metric.threshold(comparison.rope), percent(1 - comparison.alpha)
    widened = (
        f"widened over the {n_contrasts} contrasts (Bonferroni), so that all hold together with {confidence}"
        if n_contrasts > 1
        else f"at {confidence}"
    )
    chance_rule = CHANCE_RULE if metric.is_accuracy else ""
    if comparison.looks:
        return _monitored_statistics(comparison, metric, n_contrasts) + chance_rule
    return (
        f"A verdict compares the paired t interval of the difference in {metric.label}, {widened}, with ±{threshold}, "
        "the region of practical equivalence: better above it, worse below, same inside, else undecided. The p-values "
        f"are of the two-sided sign-flip permutation test, exact up to {MAX_EXACT_PAIRS} differing pairs, adjusted by "
        f"Holm's method. Further seeds are those at which the interval would decide with probability {POWER:g}, were "
        f"the observed mean and standard deviation the true ones.{chance_rule}"
    )


def _monitored_statistics(comparison: Comparison, metric: Metric, n_contrasts: int) -> str:
    """Of a study whose seeds were added until the verdicts."""
    threshold, most = metric.threshold(comparison.rope), max(one.max_pairs for one in comparison.looks)
    share = f"{comparison.alpha:g}" + (f" / {n_contrasts} (Bonferroni)" if n_contrasts > 1 else "")
    return (
        f"Seeds were added until each contrast was decided, or had {most} pairs. A verdict compares the repeated "
        f"confidence interval (Jennison and Turnbull 1989) of the difference in {metric.label} with ±{threshold}, the "
        "region of practical equivalence: better above it, worse below, same inside, else undecided. Each contrast "
        f"spends an error of {share} along (n / {most})^{SPENDING_POWER:g} (Lan and DeMets 1983), so that all "
        f"intervals of all looks hold together; the boundary is simulated for the t statistic. No look before "
        f"{FIRST_LOOK} pairs decides. P-values of a fixed number of seeds are not given."
    )


def _limits(analysis: Analysis) -> str:
    """The error that all runs share: they are tested on the same examples."""
    metric = analysis.metric
    if metric is None or not metric.is_accuracy:
        return ""
    sizes = {source.dataset: source.sizes.get(f"num_{metric.split}") for source in analysis.provenance.data}
    by_set: dict[str, list[float]] = {}
    for cell in analysis.cells:
        for dataset in {r.record.dataset for r in cell.runs if r.record is not None}:
            if cell.summary is not None:
                by_set.setdefault(dataset, []).append(cell.summary.mean)
    errors = []
    for dataset, size in sizes.items():
        means = by_set.get(dataset, [])
        if size and means:
            p = sorted(means)[len(means) // 2]
            errors.append(f"{100 * math.sqrt(max(0.0, p * (1 - p)) / size):.2g} points on {dataset}")
    if not errors:
        return ""
    return (
        "The intervals speak about new seeds on the same examples, not about new examples. A single accuracy also "
        f"carries the sampling error of its {metric.split} split, a standard error of about {listed(errors)}, which "
        "the runs share."
    )
