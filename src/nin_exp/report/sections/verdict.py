"""The top of the page: the question, the verdicts, the picture, and how sure they are."""

from __future__ import annotations

from collections import Counter

from nin_exp.report.analysis import Analysis
from nin_exp.report.certainty import how_sure
from nin_exp.report.figures.differences import differences_figure
from nin_exp.report.headline import design_line, meanings, short_answers
from nin_exp.report.metric import Metric
from nin_exp.report.section import Section
from nin_exp.report.sentences import outcome_sentence, question, second_verdict
from nin_exp.stats.verdict import Label

LABELS: tuple[Label, ...] = ("better", "same", "worse", "undecided", "none")
BADGES = {"better": "Better", "same": "Same", "worse": "Worse", "undecided": "Undecided", "none": "No verdict"}


def section(analysis: Analysis) -> Section | None:
    """The verdicts; None without a comparison."""
    comparison = analysis.comparison
    if comparison is None:
        return None
    counts = Counter(contrast.outcome.verdict.label for contrast in analysis.contrasts)
    verdicts = []
    for contrast in analysis.contrasts:
        label = contrast.outcome.verdict.label
        sentence = outcome_sentence(contrast, comparison)
        second = second_verdict(contrast, comparison)
        verdicts.append(
            {
                "label": label,
                "badge": BADGES[label],
                "statement": f"{sentence.statement}.",
                "evidence": sentence.evidence,
                "remarks": [*sentence.remarks, *([second] if second else [])],
            }
        )
    figure = differences_figure(analysis.contrasts, comparison)
    return Section(
        key="verdict",
        title="Verdict",
        values={
            "question": question(comparison),
            "design": design_line(comparison),
            "meanings": meanings(comparison),
            "answers": short_answers(analysis.contrasts, comparison),
            "verdicts": verdicts,
            "tally": [(BADGES[label], label, counts[label]) for label in LABELS if counts[label]],
            "how_sure": how_sure(analysis.contrasts, comparison),
            "threshold": Metric(comparison.metric).threshold(comparison.rope),
            "figure": figure,
        },
        figures=() if figure is None else (figure,),
    )
