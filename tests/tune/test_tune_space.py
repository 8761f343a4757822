"""The space of a search: what Hydra's syntax means to Optuna, and what is refused before anything runs."""

from __future__ import annotations

import re

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.errors import ConfigError
from nin_exp.tune.plan import SearchPlan, plan_search
from nin_exp.tune.space import num_points

LR = "optimizer.lr=tag(log,interval(1e-3,1))"


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer((shipped_config_dir(),))


def search(composer: Composer, *texts: str) -> SearchPlan:
    return plan_search(composer, texts, "nin-exp tune")


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        (LR, FloatDistribution(1e-3, 1.0, log=True)),
        ("optimizer.lr=interval(0,1)", None),
        ("optimizer.lr=interval(1,2)", FloatDistribution(1.0, 2.0)),
        ("trainer.batch_size=int(interval(16,64))", IntDistribution(16, 64)),
        ("trainer.batch_size=tag(log,int(interval(16,64)))", IntDistribution(16, 64, log=True)),
        ("trainer.batch_size=range(16,65,16)", IntDistribution(16, 64, step=16)),
        ("optimizer.lr=range(0.1,0.4,0.1)", None),
        ("head=gap,fc", CategoricalDistribution(("gap", "fc"))),
        ("head=choice(gap,fc)", CategoricalDistribution(("gap", "fc"))),
        ("head=glob(gap*)", CategoricalDistribution(("gap", "gap_linear"))),
    ],
)
def test_distributions(composer: Composer, text: str, distribution: object) -> None:
    if distribution is None:
        if "interval" in text:  # 0 is no learning rate: the ends are checked as every value is
            with pytest.raises(ConfigError, match=re.escape("optimizer.lr must lie in (0, inf)")):
                search(composer, text)
            return
        (found,) = search(composer, text).space.distributions.values()
        assert isinstance(found, FloatDistribution)
        assert found.step == pytest.approx(0.1)
        return
    (found,) = search(composer, text).space.distributions.values()
    assert found == distribution


def test_lists_over_the_compared_key_are_arms(composer: Composer) -> None:
    plan = search(composer, "head=gap,fc", "compare.by=head", LR, "tune.trials=7")
    assert list(plan.arms) == ["gap", "fc"]
    assert plan.search.space == (LR,)
    assert plan.trials_per_arm == 7
    without = search(composer, "head=gap,fc", LR)
    assert list(without.arms) == [""]
    assert list(without.space.distributions) == ["head", "optimizer.lr"]


def test_jobs_do_not_read_the_test_split(composer: Composer) -> None:
    plan = search(composer, LR, "seeds=2")
    jobs = plan.jobs("", [("optimizer.lr", "0.1")])
    assert [job.seed for job in jobs] == [0, 1]
    assert {job.config["evaluation"]["level"] for job in jobs} == {"validation"}
    assert jobs[0].job_id != jobs[1].job_id
    assert jobs[0].job_id == plan.jobs("", [("optimizer.lr", "0.10")])[0].job_id


def test_every_choice_and_both_ends_are_probed(composer: Composer) -> None:
    plan = search(composer, "head=gap,fc", "compare.by=head", "optimizer=sgd,adam", LR)
    found = {
        (j.config["choices"]["head"], j.config["choices"]["optimizer"], j.config["optimizer"]["lr"])
        for j in plan.probes
    }
    ends = {("sgd", 0.001), ("sgd", 1.0), ("adam", 0.001)}
    assert found == {(head, *end) for head in ("gap", "fc") for end in ends}


def test_more_trials_go_on_in_the_same_study(composer: Composer) -> None:
    assert search(composer, LR, "tune.trials=3").study.name == search(composer, LR, "tune.trials=9").study.name
    assert search(composer, LR, "tune.sampler=random").study.name != search(composer, LR).study.name


def test_a_grid_has_as_many_trials_as_points(composer: Composer) -> None:
    plan = search(
        composer, "head=gap,fc,mlp", "trainer.batch_size=range(32,129,32)", "tune.sampler=grid", "tune.trials=99"
    )
    assert num_points(plan.space.grid()) == plan.trials_per_arm == 12


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["head=gap"], "tune needs a space to search"),
        (["head=gap,fc", "compare.by=head"], "tune needs a space to search"),
        ([LR, "compare.by=head"], "compare.by=head must name a key with a list of arms"),
        (["optimizer.lr=interval(1,1)"], "must have two different ends"),
        (["optimizer.lr=tag(log,interval(0,1))"], "above 0 for tag(log"),
        (["optimizer.lr=interval(-1,1)"], "optimizer.lr must lie in (0, inf), got -1.0"),
        (["optimizer.lrr=interval(0,1)"], "Did you mean 'optimizer.lr'?"),
        (
            [LR, "tune.objectives=[test/acc]"],
            "must not be of the test split, got test/acc; use val/acc",
        ),
        ([LR, "tune.objectives=[val/ac]"], "Did you mean 'val/acc'?"),
        ([LR, "tune.objectives=[]"], "tune.objectives must list different metrics"),
        ([LR, "evaluation.level=basic"], "evaluation.level must not be set for tune"),
        ([LR, "tune.sampler=grid"], "tune.sampler=grid needs listed values"),
        ([LR, "tune.sampler=anneal"], "tune.sampler must be one of"),
        ([LR, "tune.pruner=median", "tune.objectives=[val/acc,params_total]"], "tune.pruner must be none with several"),
        ([LR, "tune.pruner=asha", "tune.objectives=[val/ece]"], "needs an objective that each epoch measures"),
        ([LR, "tune.pruner=wilcoxon"], "compares trials seed by seed; give several"),
        ([LR, "sweep.exclude=[[head=gap]]"], "a search takes neither"),
    ],
)
def test_wrong_searches(composer: Composer, texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        search(composer, *texts)
