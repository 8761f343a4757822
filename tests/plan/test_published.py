"""Published numbers: which jobs have one beside them, and what of their settings was changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.errors import ConfigError
from nin_exp.plan.expand import plan_comparison, plan_single
from nin_exp.records.study import Published, Study

# Test errors in percent, as the tables of arXiv 1312.4400 print them.
PAPER_ERRORS = {
    "paper/cifar10": 10.41,
    "paper/cifar10_augmented": 8.81,
    "paper/cifar100": 35.68,
    "paper/svhn": 2.35,
    "paper/mnist": 0.47,
}
TABLE_5 = {"gap": 10.41, "fc": 11.59, "fc_dropout": 10.88}


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer((shipped_config_dir(),))


def single(composer: Composer, *texts: str) -> tuple[Published, ...]:
    return plan_single(composer, texts, "nin-exp train").study.published


@pytest.mark.parametrize(("preset", "error"), PAPER_ERRORS.items())
def test_the_papers_numbers(composer: Composer, preset: str, error: float) -> None:
    (found,) = single(composer, f"experiment={preset}")
    assert found.value == pytest.approx(1 - error / 100)
    assert found.metric == "test/acc"
    assert "1312.4400" in found.source
    assert found.changed == ()


def test_one_number_an_arm(composer: Composer) -> None:
    plan = plan_comparison(composer, ["experiment=paper/table5", "seeds=2"], "nin-exp compare")
    found = {one.arm: one for one in plan.study.published}
    assert {arm: one.value for arm, one in found.items()} == {
        arm: pytest.approx(1 - error / 100) for arm, error in TABLE_5.items()
    }
    assert {one.changed for one in found.values()} == {()}
    assert {len(one.jobs) for one in found.values()} == {2}


def test_changed_settings_are_named(composer: Composer) -> None:
    (found,) = single(composer, "experiment=paper/mnist", "head=fc", "seed=3", "study=x", "trainer.threads=2")
    assert found.changed == ("head=fc",)
    (same,) = single(composer, "experiment=paper/mnist", "head=gap")
    assert same.changed == ()


def test_it_does_not_name_the_job(composer: Composer) -> None:
    ids = {
        plan_single(composer, ["experiment=paper/mnist", *texts], "c").jobs[0].job_id
        for texts in ([], ["published=null"], ["published.value=0.5"])
    }
    assert len(ids) == 1
    assert single(composer, "experiment=paper/conventional_cnn", "head=gap") == ()
    assert single(composer, "dataset=digits") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("published.value=10.4", r"published.value must be an accuracy in \[0, 1\], got 10.4; divide percents by 100"),
        ("published.value=high", "published.value must be a number, or one for each arm, got 'high'"),
        ("published.metric=acc", "published.metric must name a split"),
        ("published={value: 0.5}", "published must have the keys metric, value, source, got value"),
    ],
)
def test_what_is_no_number_is_refused(composer: Composer, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        single(composer, "experiment=paper/mnist", text)


def test_single_runs_join_their_study(composer: Composer, tmp_path: Path) -> None:
    studies = [
        plan_single(composer, ["experiment=paper/mnist", f"seed={seed}"], "nin-exp train").study for seed in (0, 1)
    ]
    for study in studies:
        study.write_merged(tmp_path)
    (found,) = Study.read(tmp_path).published
    assert found.jobs == tuple(study.jobs[0].job_id for study in studies)


def test_only_presets_name_numbers() -> None:
    for path in shipped_config_dir().rglob("*.yaml"):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(values, dict) and values.get("published") is not None:
            assert path.parent.parent.name == "experiment", path
