"""What a dry run says of the power of a comparison, from a stated deviation or from pairs that are done."""

from __future__ import annotations

from pathlib import Path

import pytest

from nin_exp.cli.plan_table import print_plan
from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.errors import ConfigError
from nin_exp.executors.outcome import write_ending
from nin_exp.plan.expand import Plan, plan_comparison
from nin_exp.plan.forecast import Forecast, forecast
from nin_exp.plan.states import JobState
from nin_exp.records.record import Record
from nin_exp.stats.planning import FurtherPairs, detectable_effect


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer((shipped_config_dir(),))


def planned(composer: Composer, *texts: str) -> tuple[Plan, list[JobState]]:
    plan = plan_comparison(composer, ["head=gap,fc", "dataset=digits,placed_digits", *texts], "nin-exp compare")
    return plan, [JobState(job, "planned") for job in plan.jobs]


def shown(plan: Plan, states: list[JobState], outlook: Forecast, capsys: pytest.CaptureFixture[str]) -> str:
    print_plan(plan, states, outlook, 2, as_json=False)
    return capsys.readouterr().out


def test_a_stated_deviation_plans_before_any_run(composer: Composer, capsys: pytest.CaptureFixture[str]) -> None:
    plan, states = planned(composer, "seeds=8", "compare.expected_sd=0.004", "compare.alpha=0.1")
    found = forecast(plan, states, 2)
    assert (found.spread, found.is_stated) == (0.004, True)
    assert found.effect == detectable_effect(8, 0.004, 2, alpha=0.1)
    # statsmodels' TTestPower: one-sided 0.025, margin of half a deviation
    power = pytest.importorskip("statsmodels.stats.power").TTestPower()
    wanted = power.solve_power(effect_size=0.5, alpha=0.025, power=0.8, alternative="larger")
    assert found.seeds_for_twice == FurtherPairs(int(-(-wanted // 1)), is_bound=False)
    text = shown(plan, states, found, capsys)
    assert "points (deviation of a pair's difference, stated: 0.4 points)" in text
    assert "34 if they are twice the region of 0.2 points apart" in text


def test_without_any_spread_it_says_how_to_state_one(composer: Composer, capsys: pytest.CaptureFixture[str]) -> None:
    plan, states = planned(composer, "seeds=5")
    text = shown(plan, states, forecast(plan, states, 2), capsys)
    assert "unknown until some pairs are done; or state their deviation with compare.expected_sd" in text
    assert "smallest reachable after Holm: 0.12 - too few pairs for p < 0.05, take more seeds" in text


def test_pairs_that_are_done_count_more_than_what_was_stated(composer: Composer, tmp_path: Path) -> None:
    plan, states = planned(composer, "seeds=3", "compare.expected_sd=0.1", f"runs_dir={tmp_path}", "study=s")
    gains = iter((0.01, 0.02, 0.03) * 2)
    done = []
    for state in states:
        score = 0.9 + (next(gains) if state.job.arm == "fc" else 0.0)
        write_ending(state.job, "done", 0, error=None, metrics={"test/acc": score})
        done.append(JobState(state.job, "done", Record.read(state.job.run_dir)))
    found = forecast(plan, done, 2)
    assert found.spread == pytest.approx(0.01)
    assert not found.is_stated


def test_a_deviation_is_above_zero(composer: Composer) -> None:
    with pytest.raises(ConfigError, match=r"compare.expected_sd must lie in \(0, inf\), got 0"):
        planned(composer, "compare.expected_sd=0")
