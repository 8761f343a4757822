"""The error of whole comparisons that get seeds until they are decided, as ``compare --until-decided`` takes its looks.

``tests/stats/test_sequential.py`` simulates the boundary of one contrast; here are the books as well: several contrasts
that share a baseline, blocks that grow for the sake of one of them, looks that are written down and read again.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from nin_exp.records.record import Record
from nin_exp.records.study import Comparison, ContrastLooks, PlannedJob
from nin_exp.report.collect import Run
from nin_exp.report.contrasts import Contrast
from nin_exp.report.looks import Place, contrasts_of, look_again

ARMS, BLOCKS = ("gap", "fc", "mlp"), ("mnist", "svhn")
FIRST, MOST, ALPHA, ROPE, NOISE = 6, 12, 0.05, 0.004, 0.004
DATA = {"chance": 0.1, "num_test": 10_000}


def run_of(arm: str, block: str, seed: int, score: float) -> Run:
    record = object.__new__(Record)  # a constructor's checks would take most of the simulation
    record.__dict__.update(metrics={"test/acc": score}, flags=(), data=DATA, status="done")
    return Run(PlannedJob(f"{arm}{block}{seed}", arm, block, seed), Path(), "done", record)


def comparison_of(looks: dict[Place, ContrastLooks]) -> Comparison:
    seeds = tuple(range(MOST))
    return Comparison(("head",), ARMS, BLOCKS, seeds, "gap", "test/acc", ROPE, ALPHA, tuple(looks.values()))


def until_decided(rng: np.random.Generator, gain: float, step: int) -> dict[Place, Contrast]:
    """Give seeds to every block with an undecided contrast; both arms are better than the baseline by ``gain``."""
    looks = {(arm, block): ContrastLooks(arm, block, MOST) for block in BLOCKS for arm in ARMS[1:]}
    runs: list[Run] = []
    num = dict.fromkeys(BLOCKS, 0)
    growing = set(BLOCKS)
    contrasts: dict[Place, Contrast] = {}
    while growing:
        for block in growing:
            new = range(num[block], min(MOST, num[block] + step) if num[block] else FIRST)
            num[block] = new.stop
            for seed in new:
                scores = rng.normal(0.9, NOISE, len(ARMS)) + np.array([0.0, gain, gain])
                runs += [run_of(arm, block, seed, float(s)) for arm, s in zip(ARMS, scores, strict=True)]
        comparison = comparison_of(looks)
        looks |= look_again(comparison, contrasts_of(comparison, runs), growing)
        contrasts = contrasts_of(comparison_of(looks), runs)
        growing = {c.block for c in contrasts.values() if not c.outcome.is_final}
    return contrasts


def pairs_seen(contrasts: dict[Place, Contrast]) -> list[int]:
    return [c.outcome.monitored.counts[-1] for c in contrasts.values() if c.outcome.monitored is not None]


def test_a_clear_effect_ends_at_the_first_look() -> None:
    contrasts = until_decided(np.random.default_rng(0), gain=0.05, step=1)
    assert {c.outcome.verdict.label for c in contrasts.values()} == {"better"}
    assert pairs_seen(contrasts) == [FIRST] * 4


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 3])
def test_family_wise_error_of_whole_comparisons(step: int) -> None:
    """All four true differences lie on the edge of the region: "better" is wrong, and so are "same" and "worse"."""
    rng, studies = np.random.default_rng(2024 + step), 1000
    wrong = sum(
        any(c.outcome.verdict.label != "undecided" for c in until_decided(rng, ROPE, step).values())
        for _ in range(studies)
    )
    print(f"step {step}: {wrong / studies:.1%} of {studies} comparisons hold a wrong verdict, {ALPHA:.0%} are allowed")
    assert wrong / studies <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / studies)


@pytest.mark.slow
def test_seeds_saved_by_whole_comparisons() -> None:
    """Two standard deviations beyond the region: under three quarters of the pairs of a fixed plan."""
    rng = np.random.default_rng(5)
    found = [until_decided(rng, ROPE + 2 * math.sqrt(2) * NOISE, step=1) for _ in range(100)]
    decided = [c.outcome.verdict.label for contrasts in found for c in contrasts.values()]
    mean = float(np.mean([pairs for contrasts in found for pairs in pairs_seen(contrasts)]))
    print(f"{mean:.1f} of {MOST} pairs until the verdict")
    assert decided.count("better") / len(decided) > 0.99
    assert mean < 0.75 * MOST
