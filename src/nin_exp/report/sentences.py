"""Verdicts in sentences that someone who has never seen the project understands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nin_exp.records.study import Comparison
from nin_exp.report.contrasts import Contrast, Outcome
from nin_exp.report.metric import Metric, p_equation, percent
from nin_exp.report.outcome import Monitored
from nin_exp.stats.intervals import Interval
from nin_exp.stats.paired import PairedEffect
from nin_exp.stats.verdict import Note


@dataclass(frozen=True)
class Sentence:
    """A verdict: the statement, the numbers behind it, and what a reader must know besides."""

    statement: str
    evidence: str
    remarks: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it as running text."""
        evidence = f" ({self.evidence})" if self.evidence else ""
        return " ".join([f"{self.statement}{evidence}.", *self.remarks])


def question(comparison: Comparison) -> str:
    """What the comparison asks, such as "Does fc differ from gap (baseline) in test accuracy?"."""
    others = [arm for arm in comparison.arms if arm != comparison.baseline]
    verb = "Does" if len(others) == 1 else "Do"
    label = Metric(comparison.metric).label
    return f"{verb} {listed(others) or 'no other arm'} differ from {comparison.baseline} (baseline) in {label}?"


def listed(names: Sequence[str]) -> str:
    """Join names: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def where(block: str) -> str:
    """Start a sentence with the block, such as "On mnist with optimizer=adam, "."""
    first, _, rest = block.partition(", ")
    if not first:
        return ""
    if "=" in first:
        return f"With {block}, "
    return f"On {first} with {rest}, " if rest else f"On {first}, "


def interval_text(interval: Interval, metric: Metric, decimals: int) -> str:
    """Write an interval's ends, such as "-1.6 to -0.8"."""
    return f"{metric.difference(interval.low, decimals)} to {metric.difference(interval.high, decimals)}"


def outcome_sentence(contrast: Contrast, comparison: Comparison) -> Sentence:
    """The verdict of a contrast, from its complete pairs."""
    outcome, metric = contrast.outcome, Metric(comparison.metric)
    statement = _statement(contrast, outcome, comparison)
    text = f"{where(contrast.block)}{statement}"
    if statement == text and not statement.startswith(contrast.arm):  # a name keeps its case
        text = f"{text[:1].upper()}{text[1:]}"
    remarks = [
        *_more_seeds(outcome, metric.threshold(comparison.rope)),
        *_more_looks(contrast),
        *(_remark(note) for note in outcome.verdict.notes),
    ]
    remarks += [f"{num} of the runs of {arm} {_are(num)} flagged {flag}." for arm, flag, num in contrast.flagged]
    limited = contrast.count("limited")
    if limited:
        seen = "its runs saw" if limited == 1 else "their runs saw"
        remarks.append(f"{limited} {'pair is' if limited == 1 else 'pairs are'} left out: {seen} a few batches only.")
    missing = contrast.count("incomplete")
    if missing and outcome.effect is not None:
        remarks.append(f"{missing} of {len(contrast.pairs)} planned pairs {_are(missing)} not complete.")
    return Sentence(text, _evidence(outcome, metric, contrast.holm_p), tuple(r for r in remarks if r))


def second_verdict(contrast: Contrast, comparison: Comparison) -> str | None:
    """The verdict with diverged runs at chance; None when no pair diverged."""
    diverged = contrast.count("diverged")
    if not diverged:
        return None
    subject = f"{diverged} diverged {'pair is' if diverged == 1 else 'pairs are'} left out"
    if contrast.with_diverged is None or contrast.chance is None:
        return f"{subject}; chance is unknown, so there is no verdict that includes {_them(diverged)}."
    metric = Metric(comparison.metric)
    statement = _statement(contrast, contrast.with_diverged, comparison)
    evidence = _evidence(contrast.with_diverged, metric)
    tail = f" ({evidence})" if evidence else ""
    return f"{subject}; with diverged runs at chance ({metric.score(contrast.chance)} %), {statement}{tail}."


def _statement(contrast: Contrast, outcome: Outcome, comparison: Comparison) -> str:
    metric, effect, label = Metric(comparison.metric), outcome.effect, outcome.verdict.label
    arm, baseline = contrast.arm, contrast.baseline
    if effect is None:
        if outcome.monitored is not None and contrast.count("later"):
            return f"no verdict on {arm} against {baseline} yet: no look was taken"
        has_limited = contrast.count("limited") > 0
        return f"no verdict on {arm} against {baseline}: no pair of {'whole ' if has_limited else ''}runs is complete"
    size = metric.amount(effect.mean, _decimals(outcome, metric))
    if label == "none":
        guessing = [
            name
            for note, name in (("arm_at_chance", arm), ("baseline_at_chance", baseline))
            if note in outcome.verdict.notes
        ]
        verb = _are(len(guessing))
        chance = "" if contrast.chance is None else f", {metric.score(contrast.chance)} %"
        return f"no verdict on {arm} against {baseline}: {listed(guessing)} {verb} not above chance{chance}"
    if label in ("better", "worse"):
        return f"{arm} is {label} than {baseline} by {size}"
    if label == "same":
        apart = f"{size} apart, with the interval inside ±{metric.threshold(comparison.rope)}"
        return f"{arm} and {baseline} are the same in practice: {apart}"
    direction = "above" if effect.mean > 0 else "below"
    if effect.widened is not None and effect.widened.low * effect.widened.high > 0 and effect.widened.width > 0:
        threshold = metric.threshold(comparison.rope)
        return f"{arm} is {size} {direction} {baseline}, but it is undecided whether by more than {threshold}"
    seen = f"{arm} is {size} {direction} {baseline} so far" if effect.mean else "no difference so far"
    return f"it is undecided whether {arm} differs from {baseline}: {seen}"


def _evidence(outcome: Outcome, metric: Metric, holm_p: float | None = None) -> str:
    """The numbers behind a verdict; of several contrasts p is the adjusted one, where it is known."""
    effect = outcome.effect
    if effect is None:
        return ""
    pairs = f"{effect.n} paired seed{'s' if effect.n > 1 else ''}"
    if effect.widened is None:
        return f"{pairs}: no interval"
    if outcome.monitored is not None:
        return _monitored_evidence(outcome.monitored, effect, metric, _decimals(outcome, metric))
    assert outcome.test is not None  # a fixed number of pairs has both
    scope = " for all contrasts together" if effect.n_contrasts > 1 else ""
    confidence = 1 - (1 - effect.widened.confidence) * effect.n_contrasts
    ends = interval_text(effect.widened, metric, _decimals(outcome, metric))
    exact = "exact" if outcome.test.is_exact else "Monte Carlo permutation"
    p = p_equation(outcome.test.p)
    if effect.n_contrasts > 1 and holm_p is not None:
        p = f"{p_equation(holm_p)} after Holm"
    return f"{percent(confidence)} interval{scope}: {ends}; {pairs}; {exact} {p}"


def _monitored_evidence(monitored: Monitored, effect: PairedEffect, metric: Metric, decimals: int) -> str:
    assert effect.widened is not None
    confidence = percent(1 - (1 - effect.widened.confidence) * effect.n_contrasts)
    scope = "looks and contrasts" if effect.n_contrasts > 1 else "looks"
    ends = interval_text(effect.widened, metric, decimals)
    looks = f"{len(monitored.counts)} look{'s' if len(monitored.counts) > 1 else ''}"
    return f"{confidence} interval for all {scope} together: {ends}; {effect.n} paired seeds after {looks}"


def _more_looks(contrast: Contrast) -> list[str]:
    """What becomes of a contrast that gets seeds until it is decided."""
    monitored, later = contrast.outcome.monitored, contrast.count("later")
    if monitored is None:
        return []
    lines = []
    if monitored.decision is not None and contrast.outcome.verdict.label == "undecided":
        lines.append(
            f"It ends undecided: {monitored.max_pairs} pairs were the most it could get."
            if contrast.outcome.is_final
            else f"The same command adds seeds, up to {monitored.max_pairs} pairs."
        )
    if later:
        when = "after the verdict" if contrast.outcome.is_final else "since"
        lines.append(f"{later} pair{'s' if later > 1 else ''} completed {when} {_are(later)} not looked at.")
    return lines


def _decimals(outcome: Outcome, metric: Metric) -> int:
    effect = outcome.effect
    if effect is None or effect.widened is None:
        return 2
    return metric.decimals(effect.widened.width)


def _more_seeds(outcome: Outcome, threshold: str) -> list[str]:
    further = outcome.verdict.further
    if further is None:
        return []
    if further.is_bound:
        reason = f"for their spread the mean lies too near ±{threshold}"
        return [f"It would take more than {further.pairs} further seeds to decide: {reason}."]
    seeds = f"{further.pairs} more seed{'s' if further.pairs > 1 else ''}"
    if is_lower_limit(outcome):
        return [f"At least {seeds} {_are(further.pairs)} needed."]
    return [f"About {seeds} would probably decide."]


def is_lower_limit(outcome: Outcome) -> bool:
    """Whether the verdict's further seeds are the fewest that could decide: no spread was seen to go by."""
    return bool({"one_pair", "no_spread", "identical"} & set(outcome.verdict.notes))


def _remark(note: Note) -> str:
    """What a note means for this contrast; empty for those that hold for the study (see ``certainty``)."""
    remarks: dict[Note, str] = {
        "identical": "Both arms gave the same result in every pair: do they really differ?",
        "no_spread": "The difference is the same in every pair, so the interval has no width.",
    }
    return remarks.get(note, "")


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _them(number: int) -> str:
    return "it" if number == 1 else "them"
