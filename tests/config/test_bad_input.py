"""Wrong configuration: one line, the rule, the value, the remedy, exit code 2 (5 for what is refused)."""

from __future__ import annotations

import pytest

from nin_exp.cli.main import main

CASES = [
    (["optimizer.lr=-1"], 2, "optimizer.lr must lie in (0, inf), got -1"),
    (["optimizer.lr=0"], 2, "optimizer.lr must lie in (0, inf), got 0"),
    (["optimizer.lr=nan"], 2, "optimizer.lr must lie in (0, inf), got nan"),
    (["optimizer.lr=1e400"], 2, "optimizer.lr must lie in (0, inf), got inf"),
    (["optimizer.lr=fast"], 2, "optimizer.lr must be a number, got 'fast'"),
    (["trainer.max_epochs=-1"], 2, "trainer.max_epochs must lie in [0, inf), got -1"),
    (["trainer.max_epochs=1.5"], 2, "trainer.max_epochs must be an integer, got 1.5"),
    (["trainer.batch_size=0"], 2, "trainer.batch_size must lie in [1, inf), got 0"),
    (["trainer.select=worst"], 2, "trainer.select must be one of best, last, got 'worst'"),
    (["seed=-1"], 2, "seed must lie in [0, inf), got -1"),
    (["seed=one"], 2, "seed must be an integer, got 'one'"),
    (["optimizer.lrr=1"], 2, "optimizer.lrr is unknown in optimizer. Did you mean 'optimizer.lr'?"),
    (["+optimizer.lrr=1"], 2, "Did you mean 'optimizer.lr'?"),
    (["++trainer.max_epoch=1"], 2, "Did you mean 'trainer.max_epochs'?"),
    (["hed=gap"], 2, "hed is unknown. Did you mean 'head'?"),
    (["head=gapp"], 2, "head=gapp is not an option of head. Did you mean 'gap'?"),
    (["dataset=minst"], 2, "Did you mean 'mnist'?"),
    (["backbone=resnet999"], 2, "backbone=resnet999 is not an option of backbone."),
    (["head=gap,fc"], 2, "head=gap,fc is a list of runs; add -m"),
    (["head"], 2, "'head' must have the form key=value"),
    (["~head"], 2, "every key is needed"),
    (["hydra.run.dir=x"], 2, "study= and runs_dir= say where runs go"),
    (["study=../x"], 2, "study must be a plain folder name"),
    (["study="], 2, "study must be"),
    (["engine=numpyy"], 2, "engine must be one of"),
    (["seeds=0"], 2, "seeds must"),
    (["seeds=[1,1]"], 2, "seeds must differ"),
    (["trainer=cpu", "trainer.precision=16-mixed"], 2, "needs a GPU"),
    (["trainer.accumulate=0"], 2, "trainer.accumulate must lie in [1, inf), got 0"),
    (["trainer.batch_size=4", "trainer.accumulate=5"], 2, "trainer.accumulate must be at most trainer.batch_size (4)"),
    (["trainer.ema_decay=1"], 2, "trainer.ema_decay must lie in (0, 1), got 1"),
    (["trainer.limit_batches=1", "trainer.overfit_batches=1"], 2, "set one of them"),
    (["evaluation.level=some"], 2, "evaluation.level must be one of validation, basic, full, got 'some'"),
    (["head._target_=os.system"], 5, "head._target_ must lie in nin_exp, got 'os.system'"),
    (["head._target_=torch.load"], 5, "got 'torch.load'"),
    (["head._target_=nin_exp.heads.gap.Gapp"], 2, "does not define"),
    (["optimizer.lr=interval(0,1)"], 2, "it belongs to `nin-exp tune`"),
    (["--dryrun"], 2, "--dryrun is not a flag of `nin-exp train`. Did you mean '--dry-run'?"),
    (["--config-dir", "/nowhere/at/all"], 2, "--config-dir must be an existing folder"),
    (["dataset.source=/nowhere/at/all.npz"], 3, "dataset.source must be an existing file or folder"),
]


@pytest.mark.usefixtures("in_tmp")
@pytest.mark.parametrize(("arguments", "code", "message"), CASES, ids=[" ".join(c[0]) for c in CASES])
def test_one_line_and_the_right_exit_code(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    assert main(["train", *arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("nin-exp: error: ")
    assert error.count("\n") == 1
    assert message in error


def test_nothing_is_written(in_tmp, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    for arguments, _, _ in CASES:
        main(["train", *arguments])
    assert list(in_tmp.iterdir()) == []


def test_all_problems_in_one_message(in_tmp, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert main(["train", "optimizer.lr=-1", "trainer.max_epochs=-3", "seed=x"]) == 2
    error = capsys.readouterr().err
    assert all(key in error for key in ("optimizer.lr must", "trainer.max_epochs must", "seed must"))


@pytest.mark.parametrize("verb", ["trian", "tran", "cmpare", "--hlp"])
def test_unknown_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb]) == 2
    assert "is not a verb of nin-exp." in capsys.readouterr().err
