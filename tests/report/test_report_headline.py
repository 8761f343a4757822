"""The first lines: what was run, what the arms are, and the short answer."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nin_exp.records.study import Comparison
from nin_exp.report.analysis import Analysis, analyse
from nin_exp.report.collect import load_study
from nin_exp.report.headline import design_line, meanings, short_answers

Writer = Callable[..., Path]


def found(study_dir: Path) -> tuple[Analysis, Comparison]:
    analysis = analyse(load_study(study_dir))
    assert analysis.comparison is not None
    return analysis, analysis.comparison


def test_short_answers_name_the_blocks_of_each_verdict(study_writer: Writer, tmp_path: Path) -> None:
    gains = {"fc": -0.02, "fc_dropout": 0.0}
    study = study_writer(tmp_path / "s", arms=("gap", "fc", "fc_dropout"), gains=gains, noise=0.0004)
    analysis, comparison = found(study)
    assert short_answers(analysis.contrasts, comparison) == [
        "fc against gap: worse on mnist and cifar10.",
        "fc_dropout against gap: the same in practice on mnist and cifar10.",
    ]


def test_two_contrasts_speak_for_themselves(study_writer: Writer, tmp_path: Path) -> None:
    analysis, comparison = found(study_writer(tmp_path / "s"))
    assert short_answers(analysis.contrasts, comparison) == []


def test_many_blocks_are_counted(study_writer: Writer, tmp_path: Path) -> None:
    blocks = tuple(f"data{number}" for number in range(8))
    analysis, comparison = found(study_writer(tmp_path / "s", blocks=blocks, gains={"fc": -0.03}))
    assert short_answers(analysis.contrasts, comparison) == ["fc against gap: worse on 8 of 8 blocks."]
    assert "on each of 8 data sets or settings" in design_line(comparison)


@pytest.mark.parametrize(
    ("blocks", "seeds", "start"),
    [
        (("mnist", "svhn"), 8, "Each arm is trained with 8 seeds on each of mnist and svhn, and compared with gap"),
        (("mnist",), 1, "Each arm is trained with 1 seed on mnist, and compared with gap"),
        (("",), 2, "Each arm is trained with 2 seeds, and compared with gap"),
    ],
)
def test_design(blocks: tuple[str, ...], seeds: int, start: str) -> None:
    comparison = Comparison(("head",), ("gap", "fc"), blocks, tuple(range(seeds)), "gap", "test/acc", 0.002, 0.05)
    assert design_line(comparison).startswith(start)


def test_arms_are_explained_by_their_own_files() -> None:
    def of(by: str, *arms: str) -> list[tuple[str, str]]:
        return meanings(Comparison((by,), arms, ("mnist",), (0,), arms[0], "test/acc", 0.002, 0.05))

    assert of("head", "gap", "mine", "../../../etc/passwd") == [("gap", "Global average pooling over class maps")]
    assert of("optimizer", "sgd", "adam")[0] == ("sgd", "SGD with Nesterov momentum")
    assert of("optimizer.lr", "0.1", "0.2") == []
