"""Seeds that are added until the verdict: which, when it stops, what a killed command keeps, what a report says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nin_exp.cli.until import UntilDecided
from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.errors import ConfigError
from nin_exp.executors.outcome import Outcome, write_ending
from nin_exp.plan.growth import Growth, plan_until_decided, read_study, refuse_looked_at
from nin_exp.plan.jobs import Plan
from nin_exp.records.job import Job
from nin_exp.records.record import Record
from nin_exp.records.study import Comparison, Study
from nin_exp.report.analysis import Analysis, analyse, summary_lines
from nin_exp.report.collect import load_study
from nin_exp.report.document import results_document
from nin_exp.report.latex import latex_tables
from nin_exp.report.page import render_page
from nin_exp.stats.sequential import decide

Score = Callable[[Job], float | None]


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer((shipped_config_dir(),))


@pytest.fixture(autouse=True)
def _unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def growth_of(composer: Composer, folder: Path, *texts: str) -> Growth:
    growth = plan_until_decided(composer, [f"runs_dir={folder}", "study=s", *texts], "nin-exp compare")
    known = read_study(folder / "s")
    if known is not None:
        growth.resume(known)
    return growth


def write_score(job: Job, score: float | None) -> Outcome:
    """The end of a job; None: it failed."""
    write_ending(job, "failed", 1, error="made to fail", metrics={} if score is None else {"test/acc": score})
    if score is None:
        return Outcome(job, "failed", 1)
    made = Record.read(job.run_dir)
    replace(made, status="done", exit_code=0, error=None, data={"chance": 0.1, "num_test": 10_000}).write(job.run_dir)
    return Outcome(job, "done", 0)


def feed_of(growth: Growth, workers: int | None = 1, most: int | None = None) -> tuple[UntilDecided, list[str]]:
    said: list[str] = []
    feed = UntilDecided(
        growth,
        lambda jobs: [job for job in jobs if not (job.run_dir / "record.json").is_file()],
        workers,
        most,
        on_start=lambda job: None,
        on_outcome=lambda outcome: None,
        on_tick=lambda: None,
        on_growth=lambda jobs: None,
        say=said.append,
    )
    return feed, said


def run_all(feed: UntilDecided, score: Score, workers: int = 1) -> list[Job]:
    """What an executor does, with so many jobs at once; they end in reverse order."""
    ran: list[Job] = []
    running: list[Job] = []
    while True:
        while len(running) < workers and (job := feed.next_job()) is not None:
            feed.on_start(job)
            running.append(job)
        if not running:
            return ran
        job = running.pop()
        ran.append(job)
        feed.on_outcome(write_score(job, score(job)))


def effect(gain: float, noise: float = 0.004) -> Score:
    """Scores whose paired differences have this mean and about this deviation, the same for the same job."""

    def score(job: Job) -> float:
        spread = np.random.default_rng([job.seed, *job.block.encode(), *job.arm.encode()]).normal(0, noise)
        return float(0.9 + (gain if job.arm == "fc" else 0.0) + spread)

    return score


def comparison_of(folder: Path) -> Comparison:
    found = Study.read(folder / "s").comparison
    assert found is not None
    return found


def differences(folder: Path, seeds: tuple[int, ...], block: str = "digits") -> list[float]:
    scores = {(r.job.arm, r.job.block, r.job.seed): r.score("test/acc") for r in load_study(folder / "s").runs}
    return [scores["fc", block, s] - scores["gap", block, s] for s in seeds]  # type: ignore[operator]


def report(folder: Path) -> Analysis:
    return analyse(load_study(folder / "s"))


def test_a_clear_difference_stops_at_the_first_look(composer: Composer, tmp_path: Path) -> None:
    growth = growth_of(composer, tmp_path, "head=gap,fc")
    ran = run_all(feed_of(growth)[0], effect(-0.05))
    assert len(ran) == 2 * 6
    (looks,) = comparison_of(tmp_path).looks
    assert (looks.counts, sorted(looks.seeds), looks.max_pairs) == ((6,), [0, 1, 2, 3, 4, 5], 20)
    (contrast,) = report(tmp_path).contrasts
    assert contrast.outcome.verdict.label == "worse"


def test_no_difference_runs_to_the_end_one_pair_a_look(composer: Composer, tmp_path: Path) -> None:
    growth = growth_of(composer, tmp_path, "head=gap,fc", "compare.max_seeds=9", "compare.rope=0")
    ran = run_all(feed_of(growth)[0], effect(0.0))
    assert len(ran) == 2 * 9
    (looks,) = comparison_of(tmp_path).looks
    assert looks.counts == (6, 7, 8, 9)
    (line, *_) = summary_lines(report(tmp_path))
    assert "undecided" in line
    assert "It ends undecided: 9 pairs were the most it could get." in line


def test_the_report_shows_the_decision_of_the_looks(composer: Composer, tmp_path: Path) -> None:
    growth = growth_of(composer, tmp_path, "head=gap,fc", "compare.max_seeds=12")
    run_all(feed_of(growth)[0], effect(0.006, noise=0.006))
    (looks,) = comparison_of(tmp_path).looks
    assert len(looks.counts) > 1
    expected = decide(
        differences(tmp_path, looks.seeds), looks.counts[:-1], 12, alpha=0.05, rope=comparison_of(tmp_path).rope
    )
    found = report(tmp_path)
    (contrast,) = found.contrasts
    effect_shown = contrast.outcome.effect
    assert effect_shown is not None
    assert contrast.outcome.verdict.label == expected.label
    assert effect_shown.widened == expected.interval
    assert contrast.outcome.test is None
    assert contrast.holm_p is None
    assert contrast.bootstrap is None
    page, tex = render_page(found), latex_tables(found)
    assert "at all looks together" in page
    assert "Jennison and Turnbull 1989" in page
    assert "sign-flip" not in page
    assert "repeated confidence intervals" in tex
    (document,) = results_document(found)["contrasts"]
    assert document["monitored"]["counts"] == list(looks.counts)
    assert document["test"] is None
    json.dumps(document, default=float)


def test_only_undecided_blocks_grow(composer: Composer, tmp_path: Path) -> None:
    texts = ("head=gap,fc", "dataset=digits,placed_digits", "compare.max_seeds=10", "compare.rope=0")
    growth = growth_of(composer, tmp_path, *texts)
    clear, none = effect(-0.05), effect(0.0)
    run_all(feed_of(growth)[0], lambda job: (clear if job.block == "digits" else none)(job), workers=4)
    counts = {looks.block: looks.counts for looks in comparison_of(tmp_path).looks}
    assert counts["digits"] == (6,)
    assert counts["placed_digits"][-1] == 10
    by_block = [job.block for job in Study.read(tmp_path / "s").jobs]
    assert (by_block.count("digits"), by_block.count("placed_digits")) == (12, 20)
    for contrast in report(tmp_path).contrasts:  # alpha is shared out over both contrasts
        widened = contrast.outcome.effect.widened  # type: ignore[union-attr]
        assert widened is not None
        assert widened.confidence == pytest.approx(1 - 0.05 / 2)


def test_a_decided_contrast_is_not_looked_at_again(composer: Composer, tmp_path: Path) -> None:
    growth = growth_of(composer, tmp_path, "head=gap,fc,mlp", "compare.max_seeds=8", "compare.rope=0")
    run_all(feed_of(growth)[0], effect(-0.05))  # mlp is as good as gap
    looks = {one.arm: one.counts for one in comparison_of(tmp_path).looks}
    assert looks == {"fc": (6,), "mlp": (6, 7, 8)}
    line = next(line for line in summary_lines(report(tmp_path)) if line.startswith("On digits, fc"))
    assert "6 paired seeds after 1 look" in line
    assert "2 pairs completed after the verdict are not looked at." in line


@pytest.mark.parametrize("killed_after", [3, 12, 13, 15])
def test_a_killed_command_goes_on_with_its_looks(composer: Composer, tmp_path: Path, killed_after: int) -> None:
    texts = ("head=gap,fc", "compare.max_seeds=9", "compare.rope=0")
    score = effect(0.001)
    run_all(feed_of(growth_of(composer, tmp_path / "whole", *texts))[0], score)
    feed, _ = feed_of(growth_of(composer, tmp_path / "killed", *texts))
    for _ in range(killed_after):
        job = feed.next_job()
        assert job is not None
        feed.on_outcome(write_score(job, score(job)))
    for _ in range(3):  # looking at the report spends nothing
        before = comparison_of(tmp_path / "killed").looks
        report(tmp_path / "killed")
        assert comparison_of(tmp_path / "killed").looks == before
    run_all(feed_of(growth_of(composer, tmp_path / "killed", *texts))[0], score)
    whole, killed = comparison_of(tmp_path / "whole"), comparison_of(tmp_path / "killed")
    assert killed.looks == whole.looks
    assert summary_lines(report(tmp_path / "killed")) == summary_lines(report(tmp_path / "whole"))


def test_repeating_a_finished_command_takes_no_look(composer: Composer, tmp_path: Path) -> None:
    texts = ("head=gap,fc", "compare.max_seeds=8", "compare.rope=0")
    run_all(feed_of(growth_of(composer, tmp_path, *texts))[0], effect(0.0))
    before = comparison_of(tmp_path)
    feed, said = feed_of(growth_of(composer, tmp_path, *texts))
    assert run_all(feed, effect(0.0)) == []
    assert comparison_of(tmp_path) == before
    assert said == []


def test_a_report_in_the_middle_shows_the_last_look_only(composer: Composer, tmp_path: Path) -> None:
    texts = ("head=gap,fc", "compare.max_seeds=9", "compare.rope=0")
    feed, _ = feed_of(growth_of(composer, tmp_path, *texts))
    score = effect(0.001)
    for number in range(12 + 2):
        if number == 11:
            (contrast,) = report(tmp_path).contrasts
            assert contrast.outcome.effect is None
            assert "no look was taken" in summary_lines(report(tmp_path))[0]
        job = feed.next_job()
        assert job is not None
        feed.on_outcome(write_score(job, score(job)))
    (contrast,) = report(tmp_path).contrasts  # seven pairs are complete, the seventh is not looked at yet
    assert contrast.outcome.effect is not None
    assert contrast.outcome.effect.n == 6
    assert contrast.count("later") == 1
    assert "The same command adds seeds, up to 9 pairs." in summary_lines(report(tmp_path))[0]


def test_an_earlier_report_counts_as_a_look(composer: Composer, tmp_path: Path) -> None:
    """Somebody who has seen six pairs and wants more has looked."""
    growth = growth_of(composer, tmp_path, "head=gap,fc", "compare.rope=0", "compare.max_seeds=8")
    fixed = growth.plan()
    for job in fixed.jobs:
        write_score(job, effect(0.0)(job))
    assert fixed.study.comparison is not None
    replace(fixed.study, comparison=replace(fixed.study.comparison, looks=())).write(fixed.study_dir)
    again = growth_of(composer, tmp_path, "head=gap,fc", "compare.rope=0", "compare.max_seeds=8", "seeds=8")
    run_all(feed_of(again)[0], effect(0.0))
    (looks,) = comparison_of(tmp_path).looks
    assert looks.counts == (6, 8)


def test_failing_jobs_end_a_block_and_the_next_command_goes_on(composer: Composer, tmp_path: Path) -> None:
    texts = ("head=gap,fc", "compare.max_seeds=12", "compare.rope=0")
    feed, said = feed_of(growth_of(composer, tmp_path, *texts))
    good = effect(0.0)
    ran = run_all(feed, lambda job: good(job) if job.seed < 7 else None)
    assert len(ran) == 2 * 8
    assert any("gave no complete pair" in line for line in said)
    assert comparison_of(tmp_path).looks[0].counts == (6, 7)


def test_a_limited_number_of_jobs(composer: Composer, tmp_path: Path) -> None:
    feed, _ = feed_of(growth_of(composer, tmp_path, "head=gap,fc"), most=5)
    assert len(run_all(feed, effect(-0.05))) == 5
    assert feed.is_limited
    feed, _ = feed_of(growth_of(composer, tmp_path, "head=gap,fc"))
    assert len(run_all(feed, effect(-0.05))) == 7


@pytest.mark.parametrize(("workers", "step"), [(1, 1), (2, 1), (8, 4), (None, 4)])
def test_workers_are_kept_busy(composer: Composer, tmp_path: Path, workers: int | None, step: int) -> None:
    growth = growth_of(composer, tmp_path, "head=gap,fc", "compare.rope=0", "compare.max_seeds=10")
    run_all(feed_of(growth, workers)[0], effect(0.0), workers=workers or 3)
    counts = comparison_of(tmp_path).looks[0].counts
    assert counts == tuple(range(6, 11, step))


def test_seeds_start_at_six_and_avoid_those_that_were_given(composer: Composer, tmp_path: Path) -> None:
    growth = growth_of(composer, tmp_path, "head=gap,fc", "seeds=[7,1]", "compare.max_seeds=9")
    assert growth.seeds == {"digits": [7, 1, 0, 2, 3, 4]}
    assert growth.extend("digits", 9)
    assert sorted(growth.seeds["digits"]) == list(range(9))
    assert growth.extend("digits", 1) == []
    with pytest.raises(ConfigError, match=r"compare.max_seeds must be at least the 9 seeds asked for, got 6"):
        growth_of(composer, tmp_path, "head=gap,fc", "seeds=9", "compare.max_seeds=6")
    with pytest.raises(ConfigError, match=r"compare.max_seeds must lie in \[6, inf\), got 5"):
        growth_of(composer, tmp_path, "head=gap,fc", "compare.max_seeds=5")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["compare.max_seeds=30"], "compare.max_seeds was 20 when .* was first looked at, got 30"),
        (["compare.rope=0.01"], r"compare.rope was 0.002 when .* was first looked at, got 0.01"),
        (["dataset=digits,placed_digits"], "compare.blocks was digits when .* got digits, placed_digits"),
        (["compare.baseline=fc"], "compare.baseline was gap"),
    ],
)
def test_the_question_may_not_change_after_a_look(
    composer: Composer, tmp_path: Path, texts: list[str], message: str
) -> None:
    run_all(feed_of(growth_of(composer, tmp_path, "head=gap,fc"))[0], effect(-0.05))
    with pytest.raises(ConfigError, match=message):
        growth_of(composer, tmp_path, "head=gap,fc", *texts)


def test_a_fixed_plan_does_not_forget_the_looks(composer: Composer, tmp_path: Path) -> None:
    growth = growth_of(composer, tmp_path, "head=gap,fc")
    fixed: Plan = growth.whole
    refuse_looked_at(fixed)
    run_all(feed_of(growth)[0], effect(-0.05))
    with pytest.raises(ConfigError, match="has been looked at; go on with --until-decided"):
        refuse_looked_at(fixed)


TINY = [
    "dataset=digits", "backbone=nin_bn", "backbone.width=0.1", "trainer.max_epochs=1", "trainer.batch_size=128",
    "evaluation.panel=0", "evaluation.level=validation", "compare.metric=val/acc", "study=s", "head=gap,fc",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_real_jobs_stop_when_decided_and_go_on_after_a_kill(nin_exp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    arguments = ("compare", *TINY, "--until-decided", "compare.max_seeds=7", "compare.rope=0.5")
    plan = nin_exp(*arguments, "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert "up to 7 pairs each" in plan.stdout
    first = nin_exp(*arguments, "--limit", "3")
    assert first.returncode == 0, first.stderr
    assert len(list(tmp_path.glob("runs/s/*/record.json"))) == 3
    done = nin_exp(*arguments)
    assert done.returncode == 0, done.stderr
    (looks,) = comparison_of(tmp_path / "runs").looks
    assert looks.counts[0] == 6
    records = list(tmp_path.glob("runs/s/*/record.json"))
    assert len(records) == 2 * looks.counts[-1]
    assert "for all looks together" in done.stdout
    assert (tmp_path / "runs/s/report/index.html").is_file()
    refused = nin_exp("compare", *TINY, "compare.max_seeds=7", "compare.rope=0.5")
    assert refused.returncode == 2
    assert "--until-decided" in refused.stderr
