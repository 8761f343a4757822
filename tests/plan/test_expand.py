"""Plans: what the command line says becomes jobs, arms, blocks and paired seeds."""

from __future__ import annotations

import pytest

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.errors import ConfigError
from nin_exp.plan.expand import Plan, plan_comparison, plan_grid, plan_single


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer((shipped_config_dir(),))


def compare(composer: Composer, *texts: str) -> Plan:
    return plan_comparison(composer, texts, "nin-exp compare")


def test_arms_blocks_seeds(composer: Composer) -> None:
    plan = compare(composer, "head=gap,fc,fc_dropout", "dataset=digits,mnist", "seeds=4")
    assert len(plan.jobs) == 3 * 2 * 4
    comparison = plan.study.comparison
    assert comparison is not None
    assert comparison.by == ("head",)
    assert comparison.arms == ("gap", "fc", "fc_dropout")
    assert comparison.blocks == ("digits", "mnist")
    assert comparison.seeds == (0, 1, 2, 3)
    assert comparison.baseline == "gap"
    # The arms of a pair stand together, so that verdicts form early.
    assert [(j.block, j.seed, j.arm) for j in plan.jobs[:4]] == [
        ("digits", 0, "gap"), ("digits", 0, "fc"), ("digits", 0, "fc_dropout"), ("digits", 1, "gap"),
    ]  # fmt: skip


def test_the_arms_of_a_pair_share_every_seed(composer: Composer) -> None:
    plan = compare(composer, "head=gap,fc", "seeds=3")
    for first, second in zip(plan.jobs[::2], plan.jobs[1::2], strict=True):
        names = ("seed", "split_seed", "init_seed", "order_seed", "augment_seed")
        assert [first.config[n] for n in names] == [second.config[n] for n in names]
        assert first.config["head"] != second.config["head"]
        assert first.config["backbone"] == second.config["backbone"]


def test_the_only_list_is_compared(composer: Composer) -> None:
    plan = compare(composer, "optimizer=sgd,adam", "seeds=2")
    assert plan.study.comparison is not None
    assert plan.study.comparison.by == ("optimizer",)
    assert plan.study.comparison.blocks == ("digits",)


def test_several_keys_make_an_arm(composer: Composer) -> None:
    plan = compare(
        composer, "head=gap,fc", "optimizer.lr=0.1,0.01", "dataset=digits,mnist", "compare.by=[head,optimizer.lr]",
        "compare.baseline='fc, optimizer.lr=0.01'", "seeds=1",
    )  # fmt: skip
    assert plan.study.comparison is not None
    assert plan.study.comparison.arms[0] == "gap, optimizer.lr=0.1"
    assert plan.study.comparison.baseline == "fc, optimizer.lr=0.01"
    assert len(plan.jobs) == 8


@pytest.mark.parametrize("by", ["compare.by=optimizer", "compare.by=[optimizer]"])
def test_by_may_be_named_both_ways(composer: Composer, by: str) -> None:
    plan = compare(composer, "head=gap,fc", "optimizer=sgd,adam", by, "seeds=1")
    assert plan.study.comparison is not None
    assert plan.study.comparison.arms == ("sgd", "adam")
    assert plan.study.comparison.blocks == ("gap", "fc")


def test_default_number_of_seeds_can_reach_significance(composer: Composer) -> None:
    plan = compare(composer, "head=gap,fc")
    assert plan.study.comparison is not None
    assert len(plan.study.comparison.seeds) == 6  # 2 / 2**6 < 0.05


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["dataset=digits"], "compare needs a list to compare"),
        (["dataset=digits,mnist", "optimizer=sgd,adam"], "compare.by=head must name a key with a list"),
        (["head=gap,fc", "compare.by=heed"], "Did you mean 'head'?"),
        (["head=gap,fc", "compare.baseline=mlp"], "compare.baseline must be an arm, got 'mlp'"),
        (["head=gap,fc", "seeds=[0,0]"], "seeds must differ"),
        (["head=gap,fc", "optimizer.lr=0.1,-1"], "optimizer.lr must lie in"),
        (["head=gap,fc", "seed=a,b"], "seed"),
    ],
)
def test_wrong_comparisons(composer: Composer, texts: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        compare(composer, *texts)


def test_more_seeds_go_on_in_the_same_study(composer: Composer) -> None:
    few = compare(composer, "head=gap,fc", "seeds=2")
    more = compare(composer, "head=gap,fc", "seeds=5")
    assert few.study.name == more.study.name
    assert {j.job_id for j in few.jobs} < {j.job_id for j in more.jobs}
    assert compare(composer, "head=gap,mlp", "seeds=2").study.name != few.study.name


def test_what_does_not_change_a_result_does_not_change_a_job(composer: Composer) -> None:
    one = plan_single(composer, [], "").jobs[0].job_id
    same = ["study=x", "runs_dir=y", "data_dir=z", "executor.workers=3", "logger=wandb", "trainer.threads=1"]
    assert plan_single(composer, same, "").jobs[0].job_id == one
    assert plan_single(composer, ["dataset.source=README.md"], "").jobs[0].job_id == one
    for other in (["seed=1"], ["optimizer.lr=0.2"], ["head=fc"], ["order_seed=4"], ["trainer.max_epochs=2"]):
        assert plan_single(composer, other, "").jobs[0].job_id != one


def test_the_source_is_what_arrays_are(composer: Composer) -> None:
    ids = {plan_single(composer, ["dataset=arrays", f"dataset.source={s}"], "").jobs[0].job_id for s in ("a", "b")}
    assert len(ids) == 2


def test_grids(composer: Composer) -> None:
    plan = plan_grid(composer, ["head=gap,fc", "optimizer.lr=range(1,3)", "seeds=2"], "")
    assert len(plan.jobs) == 2 * 2 * 2
    assert plan.study.comparison is None
    assert [j.seed for j in plan.jobs[:2]] == [0, 1]
    assert len(plan_grid(composer, ["head=glob(gap*)"], "").jobs) == 2
    assert len(plan_grid(composer, ["head=choice(gap,fc)"], "").jobs) == 2
    with pytest.raises(ConfigError, match="matches no option"):
        plan_grid(composer, ["head=glob(x*)"], "")


def test_the_preset_sweeps_and_the_command_line_replaces_it(composer: Composer) -> None:
    plan = compare(composer, "experiment=quickstart", "seeds=1")
    assert plan.study.comparison is not None
    assert plan.study.comparison.arms == ("gap", "fc")
    other = compare(composer, "experiment=quickstart", "dataset=digits", "head=gap,mlp", "seeds=1")
    assert other.study.comparison is not None
    assert other.study.comparison.arms == ("gap", "mlp")
    assert other.study.comparison.blocks == ("digits",)


def test_a_hundred_jobs_are_planned_quickly_enough_to_be_asked_for(composer: Composer) -> None:
    """Composes once for each choice of groups: ten compositions, a hundred jobs."""
    plan = compare(composer, "head=gap,fc", "dataset=digits,mnist,fashion_mnist,cifar10,svhn", "seeds=10")
    assert len(plan.jobs) == 100
    assert len({j.job_id for j in plan.jobs}) == 100


def test_jobs_keep_what_they_share_once(composer: Composer) -> None:
    """Memory for each of thousands of jobs: their seeds, and not all of their configuration."""
    jobs = plan_comparison(composer, ["head=gap,fc", "seeds=3"], "").jobs
    assert len({id(job.config["backbone"]) for job in jobs}) == 1
    assert len({id(job.config["head"]) for job in jobs}) == 2
    assert len({job.job_id for job in jobs}) == 6
