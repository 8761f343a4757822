"""Whatever is typed behind a verb: a configuration, or an error of ours."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.compose.overrides import parse_each
from nin_exp.config import ExperimentConfig
from nin_exp.errors import NinExpError

COMPOSER = Composer((shipped_config_dir(),))
KEYS = [
    *("head", "dataset", "experiment", "logger", "executor", "head.relu", "dataset.source", "optimizer.lr"),
    *("seed", "seeds", "study", "runs_dir", "trainer", "trainer.max_epochs", "trainer.threads", "trainer.precision"),
    *("compare", "compare.by", "compare.metric", "published", "sweep.zip", "tune.objectives", "backbone.width"),
    *("head._target_", "dataset.image_size", "choices", "logger.wandb", "checkpoint.keep", "nope", "head.nope"),
]
SYNTAX = [
    "",
    "null",
    "???",
    "${seed}",
    "${nope",
    "[",
    "{a: 1}",
    "[[],[1]]",
    "a,b",
    "range(3)",
    "[range(3)]",
    "interval(0,1)",
    "'",
    "\\",
]
VALUES = st.one_of(
    st.sampled_from(SYNTAX),
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.lists(st.sampled_from(SYNTAX), max_size=3).map(lambda parts: f"[{','.join(parts)}]"),
)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_a_setting_or_a_problem(text: str) -> None:
    found, problems = parse_each([text], COMPOSER.groups)
    assert len(found) + len(problems) == 1
    assert all(problem.strip() for problem in problems)


def outcome(texts: list[str]) -> ExperimentConfig | str:
    """What comes of overrides; an error that is not ours is raised."""
    try:
        return COMPOSER.compose_first(COMPOSER.settings(texts))
    except NinExpError as error:
        return str(error)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KEYS), VALUES), min_size=1, max_size=3))
def test_any_values_give_a_configuration_or_an_error_of_ours(pairs: list[tuple[str, str]]) -> None:
    assert outcome([f"{key}={value}" for key, value in pairs])


@pytest.mark.parametrize("key", KEYS)
def test_every_key_with_every_odd_value(key: str) -> None:
    assert all(outcome([f"{key}={value}"]) for value in SYNTAX)
