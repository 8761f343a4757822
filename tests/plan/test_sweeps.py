"""What a plan goes over: Hydra's sweep syntax, named sweeps, keys that advance together, and what is left out."""

from __future__ import annotations

import re

import pytest

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.errors import ConfigError
from nin_exp.plan.expand import Plan, plan_comparison, plan_grid, plan_single
from nin_exp.plan.forecast import forecast
from nin_exp.plan.select import job_label, select_jobs
from nin_exp.plan.states import JobState


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer((shipped_config_dir(),))


def grid(composer: Composer, *texts: str) -> Plan:
    return plan_grid(composer, texts, "nin-exp train -m")


def compare(composer: Composer, *texts: str) -> Plan:
    return plan_comparison(composer, texts, "nin-exp compare")


def heads(plan: Plan) -> list[str]:
    return [job.config["choices"]["head"] for job in plan.jobs]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("optimizer.lr=0.1,0.2", [0.1, 0.2]),
        ("optimizer.lr=choice(0.1,0.2)", [0.1, 0.2]),
        ("optimizer.lr=sort(0.2,0.1)", [0.1, 0.2]),
        ("optimizer.lr=range(1,4)", [1.0, 2.0, 3.0]),
        ("optimizer.lr=range(1,6,step=2)", [1.0, 3.0, 5.0]),
        ("optimizer.lr=range(0.5,2,0.5)", [0.5, 1.0, 1.5]),
    ],
)
def test_values_in_every_form(composer: Composer, text: str, values: list[float]) -> None:
    assert [job.config["optimizer"]["lr"] for job in grid(composer, text).jobs] == values


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("head=glob(gap*)", ["gap", "gap_linear"]),
        ("head=glob([gap*,fc],exclude=*_linear)", ["fc", "gap"]),
        ("head=glob(*,exclude=[g*,f*])", ["mlp"]),
    ],
)
def test_globs_choose_options(composer: Composer, text: str, options: list[str]) -> None:
    assert heads(grid(composer, text)) == options


def test_several_groups_make_every_combination(composer: Composer) -> None:
    plan = grid(composer, "head=gap,fc", "optimizer=sgd,adam", "schedule=constant,cosine")
    found = {tuple(job.config["choices"][g] for g in ("head", "optimizer", "schedule")) for job in plan.jobs}
    assert len(found) == len(plan.jobs) == 8


def test_an_interval_belongs_to_tune(composer: Composer) -> None:
    with pytest.raises(ConfigError, match="belongs to `nin-exp tune`"):
        grid(composer, "optimizer.lr=interval(0,1)")


def test_a_named_sweep(composer: Composer) -> None:
    plan = compare(composer, "sweep=pooling", "seeds=1")
    assert plan.study.comparison is not None
    assert plan.study.comparison.arms == ("gap", "fc", "fc_dropout")
    assert plan.study.comparison.blocks == ("digits", "placed_digits")
    narrowed = compare(composer, "sweep=pooling", "dataset=digits", "seeds=1")
    assert narrowed.study.comparison is not None
    assert narrowed.study.comparison.blocks == ("digits",)
    with pytest.raises(ConfigError, match="sweep=pooling is a list of runs"):
        plan_single(composer, ["sweep=pooling"], "")
    with pytest.raises(ConfigError, match="Did you mean 'pooling'"):
        grid(composer, "sweep=poling")


def test_zipped_keys_advance_together(composer: Composer) -> None:
    plan = grid(
        composer, "optimizer=sgd,adam", "optimizer.lr=0.1,0.001", "sweep.zip=[[optimizer,optimizer.lr]]", "head=gap,fc"
    )
    found = [(j.config["choices"]["optimizer"], j.config["optimizer"]["lr"]) for j in plan.jobs]
    assert len(found) == 4
    assert set(found) == {("sgd", 0.1), ("adam", 0.001)}


def test_zipped_keys_are_one_arm(composer: Composer) -> None:
    plan = compare(composer, "sweep=optimizers", "seeds=2")
    comparison = plan.study.comparison
    assert comparison is not None
    assert comparison.by == ("optimizer", "optimizer.lr")
    assert comparison.arms[0] == "sgd, optimizer.lr=0.05"
    assert len(plan.jobs) == 3 * 2


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["head=gap,fc", "optimizer.lr=1,2,3", "sweep.zip=[[head,optimizer.lr]]"], "head has 2, optimizer.lr has 3"),
        (["head=gap,fc", "sweep.zip=[[head,optimiser]]"], "sweep.zip names optimiser, which has no list"),
        (["head=gap,fc", "seeds=0,1", "sweep.zip=[[head,seeds]]"], "must not name seeds"),
        (["head=gap,fc", "optimizer.lr=1,2", "sweep.zip=[[head,optimizer.lr],[head]]"], "must name head once"),
        (["head=gap,fc", "sweep.zip=[head]"], "sweep.zip[0] must be a list"),
        (["head=gap,fc", "sweep.exclude=[[head=mlp]]"], "sweep.exclude: [head=mlp] fits no job"),
        (["head=gap,fc", "sweep.exclude=[[head]]"], "must hold lists of key=value, got 'head'"),
        (["head=gap,fc", "sweep.exclude=[[seed=1]]"], "must not name seed"),
        (["head=gap,fc", "sweep.exclude=[[head=gap,optimizer.lrr=1]]"], "sweep.exclude names optimizer.lrr"),
        (["head=gap,fc", "sweep.exclude=[[head=gap],[head=fc]]"], "leaves out every job"),
    ],
)
def test_wrong_sweeps(composer: Composer, texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        grid(composer, *texts)


def test_an_excluded_combination_is_left_out(composer: Composer) -> None:
    plan = grid(composer, "head=gap,mlp", "dataset=digits,mnist", "sweep.exclude=[[head=mlp,dataset=mnist]]")
    found = [(j.config["choices"]["head"], j.config["choices"]["dataset"]) for j in plan.jobs]
    assert found == [("gap", "digits"), ("gap", "mnist"), ("mlp", "digits")]


def test_an_exclusion_may_name_what_is_not_listed(composer: Composer) -> None:
    """The backbone and its width are those of the composed job."""
    plan = grid(composer, "head=gap,fc", "backbone=nin,nin_bn", "sweep.exclude=[[head=fc,backbone.batch_norm=true]]")
    found = [(j.config["choices"]["head"], j.config["choices"]["backbone"]) for j in plan.jobs]
    assert found == [("gap", "nin"), ("gap", "nin_bn"), ("fc", "nin")]
    given = grid(
        composer, "head=gap,fc", "optimizer.lr=0.10", "sweep.exclude=[[head=fc,optimizer.lr=0.1,schedule=cosine]]"
    )
    assert heads(given) == ["gap"]


def test_nothing_in_an_exclusion_is_evaluated(composer: Composer) -> None:
    with pytest.raises(ConfigError, match="cannot be read: HydraException while evaluating"):
        grid(composer, "head=gap,fc", "sweep.exclude=[['head=__import__(1)']]")


def test_an_excluded_arm_is_said_to_leave_its_block_unpaired(composer: Composer) -> None:
    texts = ["head=gap,fc,mlp", "dataset=digits,placed_digits", "seeds=6"]
    one = compare(composer, *texts, "sweep.exclude=[[head=mlp,dataset=digits]]")
    assert one.notes == ("sweep.exclude leaves out mlp on digits: no contrast there",)
    base = compare(composer, *texts, "sweep.exclude=[[head=gap,dataset=digits]]", "compare.baseline=gap")
    assert base.notes == ("sweep.exclude leaves out the baseline gap on digits: nothing is paired there",)
    states = [JobState(job, "planned") for job in one.jobs]
    assert forecast(one, states, 1).num_contrasts == 3
    assert forecast(base, [JobState(job, "planned") for job in base.jobs], 1).num_contrasts == 2


def test_seeds_stay_innermost_and_paired(composer: Composer) -> None:
    plan = compare(composer, "sweep=pooling", "seeds=3", "sweep.exclude=[[head=fc,dataset=digits]]")
    seeds: dict[tuple[str, str], list[int]] = {}
    for job in plan.jobs:
        seeds.setdefault((job.arm, job.block), []).append(job.seed)
    assert set(map(tuple, seeds.values())) == {(0, 1, 2)}


@pytest.mark.parametrize(
    ("pattern", "number"),
    [("gap", 4), ("seed 1", 4), ("seed=1", 4), ("head=fc", 4), ("digits", 4), ("gap, *, seed 0", 2), ("*", 8)],
)
def test_jobs_are_selected_by_name(composer: Composer, pattern: str, number: int) -> None:
    plan = compare(composer, "head=gap,fc", "dataset=digits,mnist", "seeds=2")
    assert len(select_jobs(plan.jobs, [pattern])) == number
    assert job_label(plan.jobs[0]) == "gap, digits, seed 0"
    assert select_jobs(plan.jobs, [plan.jobs[5].job_id]) == [plan.jobs[5]]
    with pytest.raises(ConfigError, match="fits none of the 8 jobs"):
        select_jobs(plan.jobs, [pattern, "mlp"])
