from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nin_exp.records.record import Record
from nin_exp.records.study import Study
from nin_exp.report.analysis import Analysis, analyse, summary_lines
from nin_exp.report.certainty import how_sure
from nin_exp.report.collect import load_study
from nin_exp.report.sentences import listed, question, where

Writer = Callable[..., Path]


def fixed(scores: dict[str, list[float]]) -> Callable[[Record], Record]:
    """Give each arm these scores by seed."""

    def edit(record: Record) -> Record:
        return replace(record, metrics={**record.metrics, "test/acc": scores[record.arm][record.seed]})

    return edit


def build(writer: Writer, folder: Path, **settings: object) -> Analysis:
    return analyse(load_study(writer(folder, **settings)))


WORSE = {
    "gap": [0.900, 0.905, 0.910, 0.902, 0.908, 0.904, 0.906, 0.901],
    "fc": [0.888, 0.892, 0.899, 0.891, 0.894, 0.893, 0.895, 0.888],
}


def test_numbers_are_scipys(study_writer: Writer, tmp_path: Path) -> None:
    analysis = build(study_writer, tmp_path / "s", blocks=("mnist",), edit=fixed(WORSE))
    (contrast,) = analysis.contrasts
    effect, test = contrast.outcome.effect, contrast.outcome.test
    assert effect is not None
    assert test is not None
    expected = scipy_stats.ttest_rel(WORSE["fc"], WORSE["gap"])
    interval = expected.confidence_interval(0.95)
    assert effect.interval is not None
    assert (effect.interval.low, effect.interval.high) == pytest.approx((interval.low, interval.high))
    assert effect.mean == pytest.approx(np.mean(WORSE["fc"]) - np.mean(WORSE["gap"]))
    assert test.p == contrast.holm_p == 2 / 2**8
    cell = analysis.cell("gap", "mnist")
    assert cell is not None
    assert cell.summary is not None
    assert (cell.summary.mean, cell.summary.sd) == pytest.approx((np.mean(WORSE["gap"]), np.std(WORSE["gap"], ddof=1)))


def test_the_sentence(study_writer: Writer, tmp_path: Path) -> None:
    analysis = build(study_writer, tmp_path / "s", blocks=("mnist",), edit=fixed(WORSE))
    # mean of -12 -13 -11 -11 -14 -11 -11 -13 is -12.0 tenths of a point; t interval by hand: sd 1.195, half 0.999
    assert summary_lines(analysis) == [
        "On mnist, fc is worse than gap by 1.20 points "
        "(95 % interval: -1.30 to -1.10; 8 paired seeds; exact p = 0.008)."
    ]
    assert analysis.comparison is not None
    assert question(analysis.comparison) == "Does fc differ from gap (baseline) in test accuracy?"
    (best,) = analysis.best
    assert (best.arm, best.is_supported) == ("gap", True)


def test_widened_over_all_contrasts(study_writer: Writer, tmp_path: Path) -> None:
    analysis = build(study_writer, tmp_path / "s", arms=("gap", "fc", "fc_dropout"), blocks=("mnist", "cifar10"))
    effects = [c.outcome.effect for c in analysis.contrasts]
    assert [e.n_contrasts for e in effects if e is not None] == [4] * 4
    first = effects[0]
    assert first is not None
    assert first.widened is not None
    assert first.widened.confidence == pytest.approx(1 - 0.05 / 4)
    assert "95 % interval for all contrasts together" in summary_lines(analysis)[0]
    assert len(analysis.all_pairs) == 6


def test_same_and_undecided(study_writer: Writer, tmp_path: Path) -> None:
    base = WORSE["gap"]
    shift = [0.0005, -0.0004, 0.0003, -0.0006, 0.0002, -0.0001, 0.0004, -0.0003]
    wide = [0.01, -0.012, 0.004, -0.003, 0.006, -0.008, 0.002, 0.005]
    scores = {"gap": base, "fc": list(np.add(base, shift)), "gmp_linear": list(np.add(base, wide))}
    analysis = build(study_writer, tmp_path / "s", arms=tuple(scores), blocks=("mnist",), edit=fixed(scores))
    same, undecided = summary_lines(analysis)[:2]
    assert same.startswith("On mnist, fc and gap are the same in practice: 0.00 points apart, with the interval inside")
    assert undecided.startswith("On mnist, it is undecided whether gmp_linear differs from gap:")
    assert "further seeds" in undecided or "more seeds would probably decide" in undecided
    assert [best.is_supported for best in analysis.best] == [False]


def test_clear_of_zero_but_not_of_the_region(study_writer: Writer, tmp_path: Path) -> None:
    base = WORSE["gap"]
    scores = {"gap": base, "fc": list(np.subtract(base, [0.002, 0.003, 0.0015, 0.0025, 0.002, 0.003, 0.0025, 0.001]))}
    (line,) = summary_lines(build(study_writer, tmp_path / "s", blocks=("mnist",), edit=fixed(scores)))
    assert "fc is 0.22 points below gap, but it is undecided whether by more than 0.2 points" in line


def test_one_seed_has_no_interval(study_writer: Writer, tmp_path: Path) -> None:
    analysis = build(study_writer, tmp_path / "s", blocks=("mnist",), seeds=1)
    line, reach = summary_lines(analysis)
    assert "1 paired seed: no interval" in line
    assert "At least 5 more seeds are needed." in line
    assert reach == "With 1 pair the exact test cannot go below p = 1; it takes 6 pairs to reach 0.05."
    cell = analysis.cell("gap", "mnist")
    assert cell is not None
    assert cell.summary is not None
    assert cell.summary.sd is None


def test_few_seeds_say_what_they_cannot_show(study_writer: Writer, tmp_path: Path) -> None:
    analysis = build(study_writer, tmp_path / "s", blocks=("mnist",), seeds=5)
    assert "cannot go below p = 0.063; it takes 6 pairs to reach 0.05" in summary_lines(analysis)[-1]


def test_diverged_failed_missing_and_flagged(study_writer: Writer, tmp_path: Path) -> None:
    def edit(record: Record) -> Record | None:
        if record.arm == "fc":
            match record.seed:
                case 0:
                    return replace(record, status="diverged", exit_code=7, metrics={})
                case 1:
                    return replace(record, status="failed", exit_code=8, error="boom")
                case 2:
                    return None
                case 3:
                    return replace(record, flags=("dead_head",))
        return record

    analysis = build(study_writer, tmp_path / "s", blocks=("mnist",), seeds=12, edit=edit)
    (contrast,) = analysis.contrasts
    assert [contrast.count(s) for s in ("complete", "diverged", "incomplete")] == [9, 1, 2]
    assert contrast.outcome.effect is not None
    assert contrast.outcome.effect.n == 9
    assert contrast.outcome.verdict.label == "worse"
    second = contrast.with_diverged
    assert second is not None
    assert second.effect is not None
    assert second.effect.n == 10
    gap = analysis.cell("gap", "mnist")
    assert gap is not None
    differences = [p.arm - p.baseline for p in contrast.complete if p.arm is not None and p.baseline is not None]
    assert second.effect.mean == pytest.approx(np.mean([*differences, 0.1135 - gap.scores[0]]))
    lines = summary_lines(analysis)
    assert "1 of the runs of fc is flagged dead_head." in lines[0]
    assert "2 of 12 planned pairs are not complete." in lines[0]
    assert lines[1].startswith("1 diverged pair is left out; with diverged runs at chance (11.35 %), ")


def test_at_chance_there_is_no_verdict(study_writer: Writer, tmp_path: Path) -> None:
    scores = {"gap": WORSE["gap"], "fc": [0.1135, 0.098, 0.1135, 0.1028, 0.1135, 0.101, 0.1135, 0.0982]}
    analysis = build(study_writer, tmp_path / "s", blocks=("mnist",), edit=fixed(scores))
    (contrast,) = analysis.contrasts
    assert contrast.outcome.verdict.label == "none"
    (line,) = summary_lines(analysis)
    assert line.startswith("On mnist, no verdict on fc against gap: fc is not above chance, 11.35 % (")
    assert [best.is_supported for best in analysis.best] == [False]


def test_identical_arms(study_writer: Writer, tmp_path: Path) -> None:
    scores = {"gap": WORSE["gap"], "fc": WORSE["gap"]}
    analysis = build(study_writer, tmp_path / "s", blocks=("mnist",), edit=fixed(scores))
    (line,) = summary_lines(analysis)
    assert "are the same in practice" in line
    assert "do they really differ?" in line


def test_nothing_has_run(study_writer: Writer, tmp_path: Path) -> None:
    analysis = build(study_writer, tmp_path / "s", seeds=2, edit=lambda record: None)
    assert summary_lines(analysis)[0] == "On mnist, no verdict on fc against gap: no pair of runs is complete."
    assert analysis.comparison is not None
    assert how_sure(analysis.contrasts, analysis.comparison) == [
        "No pair of runs is complete yet: the report fills as runs finish."
    ]


def test_half_done_studies_promise_no_more(study_writer: Writer, tmp_path: Path) -> None:
    """Contrasts that have yet to run count in the widening and as p = 1 in Holm's adjustment."""
    analysis = build(study_writer, tmp_path / "s", edit=lambda r: r if r.block == "mnist" else None)
    mnist, cifar = analysis.contrasts
    assert mnist.holm_p == 2 * 2 / 2**8
    assert cifar.holm_p is None
    assert mnist.outcome.effect is not None
    assert mnist.outcome.effect.n_contrasts == 2


def test_an_arm_that_the_plan_leaves_out_of_a_block_makes_no_contrast(study_writer: Writer, tmp_path: Path) -> None:
    """Neither does a block without the baseline; what cannot be compared widens nothing."""
    study_dir = study_writer(tmp_path / "s", arms=("gap", "fc", "mlp"), blocks=("mnist", "svhn", "cifar10"))
    study = Study.read(study_dir)
    left_out = {("mlp", "mnist"), ("gap", "svhn")}
    jobs = tuple(job for job in study.jobs if (job.arm, job.block) not in left_out)
    replace(study, jobs=jobs).write(study_dir)
    analysis = analyse(load_study(study_dir))
    assert [(c.arm, c.block) for c in analysis.contrasts] == [("fc", "mnist"), ("fc", "cifar10"), ("mlp", "cifar10")]
    effect = analysis.contrasts[0].outcome.effect
    assert effect is not None
    assert effect.n_contrasts == 3


def test_best_of_three_needs_more_than_the_largest_mean(study_writer: Writer, tmp_path: Path) -> None:
    """Two arms that both beat the baseline: the larger mean alone does not make one of them the best."""
    base = np.array(WORSE["gap"])
    noise = np.array([1, -1, 2, -2, 1, -1, 2, -2]) * 5e-4
    scores = {"gap": list(base), "fc": list(base + 0.010 + noise), "gmp_linear": list(base + 0.0105 - noise)}
    analysis = build(study_writer, tmp_path / "s", arms=tuple(scores), blocks=("mnist",), edit=fixed(scores))
    assert [c.outcome.verdict.label for c in analysis.contrasts] == ["better", "better"]
    assert [(best.arm, best.is_supported) for best in analysis.best] == [("gmp_linear", False)]
    scores["gmp_linear"] = list(base + 0.03 - noise)
    analysis = build(study_writer, tmp_path / "t", arms=tuple(scores), blocks=("mnist",), edit=fixed(scores))
    assert [(best.arm, best.is_supported) for best in analysis.best] == [("gmp_linear", True)]


def test_warnings(study_writer: Writer, tmp_path: Path) -> None:
    def edit(record: Record) -> Record:
        if record.arm == "fc" and record.seed == 1:
            data = {**record.data, "fingerprint": "sha256:other"}
            seeds = {**record.seeds, "init": 99}
            return replace(record, data=data, seeds=seeds, device="cuda:0", code_hash="changed")
        return record

    warnings = " ".join(build(study_writer, tmp_path / "s", blocks=("mnist",), seeds=3, edit=edit).warnings)
    assert "in mnist used 2 different versions of the data" in warnings
    assert "in mnist used different devices" in warnings
    assert "The runs of fc in mnist were made with 2 versions of the code." in warnings
    assert "The arms do not share their seeds in 1 of 3 pairs: mnist 1." in warnings
    assert build(study_writer, tmp_path / "clean", blocks=("mnist",), seeds=3).warnings == ()


def test_configuration_held_fixed_and_varied(study_writer: Writer, tmp_path: Path) -> None:
    provenance = build(study_writer, tmp_path / "s", blocks=("mnist",), seeds=2).provenance
    assert provenance.fixed["optimizer.lr"] == "0.1"
    assert "runs_dir" not in provenance.fixed  # does not change results
    assert {v.value: v.num_runs for v in provenance.varied["head._target_"]} == {
        "nin_exp.heads.gap": 2,
        "nin_exp.heads.fc": 2,
    }


def test_plain_grid_and_single_run(study_writer: Writer, tmp_path: Path) -> None:
    grid = build(study_writer, tmp_path / "grid", compare=False, seeds=2)
    assert summary_lines(grid) == []
    assert grid.arms == ("head=gap", "head=fc")
    assert grid.blocks == ("mnist", "cifar10")
    assert grid.metric is not None
    assert grid.metric.key == "test/acc"
    single = build(study_writer, tmp_path / "one", compare=False, seeds=1, arms=("gap",), blocks=("mnist",))
    assert (single.arms, single.blocks) == (("gap",), ("mnist",))


def test_control_characters_do_not_reach_the_terminal(study_writer: Writer, tmp_path: Path) -> None:
    arms = ("gap", "fc\x1b[2J\n")
    lines = summary_lines(build(study_writer, tmp_path / "s", arms=arms, blocks=("mnist",), seeds=6))
    assert all("\x1b" not in line and "\n" not in line for line in lines)
    assert "fc\\x1b[2J\\n" in lines[0]


def test_words() -> None:
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert [where(block) for block in ("", "mnist", "mnist, optimizer=adam", "optimizer=adam")] == [
        "",
        "On mnist, ",
        "On mnist with optimizer=adam, ",
        "With optimizer=adam, ",
    ]


def test_ordinary_flags_and_notes_of_the_data(study_writer: Writer, tmp_path: Path) -> None:
    def edit(record: Record) -> Record:
        return replace(record, flags=("stopped_early",), data={**record.data, "notes": {"unreadable": 2}}, git={})

    analysis = build(study_writer, tmp_path / "s", blocks=("mnist",), seeds=2, edit=edit)
    assert "flagged" not in summary_lines(analysis)[0]
    cell = analysis.cell("fc", "mnist")
    assert cell is not None
    assert cell.flags == {"stopped_early": 2}
    assert [note.value for note in analysis.provenance.data[0].notes] == ["unreadable: 2"]
    assert analysis.provenance.git == ()
