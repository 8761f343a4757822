"""Wrong configuration: one line, the rule, the value, the remedy, exit code 2 (5 for what is refused)."""

from __future__ import annotations

import json
from pathlib import Path

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
    ([""], 2, "'' must have the form key=value"),
    (["=gap"], 2, "'=gap' must have the form key=value"),
    (["optimizer..lr=1"], 2, "'optimizer..lr' is not a key."),
    (["+ hed=1"], 2, "'+ hed' is not a key. Did you mean 'head'?"),
    (["head@backbone=gap"], 2, "puts an option in another place, and each has its own; write head="),
    (["~head"], 2, "every key is needed"),
    (["~hed"], 2, "set it to another value. Did you mean 'head'?"),
    (["head="], 2, "head= is not an option of head. Known: fc, fc_dropout,"),
    (["head=null"], 2, "head=null is not an option of head. Known: fc, fc_dropout,"),
    (["head=[gap,fc]"], 2, "head takes one option, got [gap,fc]; a list of runs has no brackets: head=gap,fc"),
    (["head=gap,"], 2, "head=gap, is not an option of head. Did you mean 'gap'?"),
    (["head=гап"], 2, "head=гап is not an option of head."),
    (["head=$(id);`id`"], 2, "head=$(id);`id` is not an option of head."),
    (["logger=[wandb,tensorbord]"], 2, "logger=tensorbord is not an option of logger. Did you mean 'tensorboard'?"),
    (["logger=wandb,tensorboard"], 2, "several at once: logger=[wandb,tensorboard]"),
    (["+zzzzzz=1"], 2, "zzzzzz is unknown. `nin-exp train --cfg job` shows all keys."),
    (["hydra.run.dir=x"], 2, "study= and runs_dir= say where runs go"),
    (["study=../x"], 2, "study must be a plain folder name"),
    (["study="], 2, "study must be"),
    (["engine=numpyy"], 2, "engine must be one of"),
    (["seeds=0"], 2, "seeds must lie in [1, 10000], got 0"),
    (["seeds=-1"], 2, "seeds must lie in [1, 10000], got -1"),
    (["seeds=1e9"], 2, "seeds must be an integer or a list or null, got 1000000000.0"),
    (["seeds=1000000000"], 2, "seeds must lie in [1, 10000], got 1000000000"),
    (["seeds=3"], 2, "seeds=3 is for several runs; add -m for a grid, or set seed=N for one run"),
    (["runs_dir="], 2, "runs_dir must be a folder's path, got ''"),
    (["trainer.batch_size=99999999999999999999"], 2, "trainer.batch_size must fit into 64 bits"),
    (["trainer.threads=100000"], 2, "trainer.threads must lie in [1, 1024], got 100000"),
    (["compare.metric=test/nll"], 2, "compare.metric must be an accuracy of val or test, of which more is better"),
    (["compare.metric=tst/acc"], 2, "Did you mean 'test/acc'?"),
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
    (["--allow-package", "os", "head._target_=os.system"], 5, "got 'os', which comes with Python"),
    (["--allow-package", "os.path"], 2, "--allow-package must be the name of a top-level package, got 'os.path'"),
    (["-m", "seed=range(0,1000000000)"], 2, "must hold at most 10,000 values; take a larger step"),
    (["-m", "head=gap,fc,gap"], 2, "head must list different values, got gap twice; take one out"),
    (["-m", "optimizer.lr=0.1,0.10"], 2, "optimizer.lr must list different values, got 0.1 twice; take one out"),
    (["-m", "study=a,b"], 2, "'study=a,b' must be one value, for it does not change what a job gives"),
    (["optimizer.lr=interval(0,1)"], 2, "it belongs to `nin-exp tune`"),
    (["--dryrun"], 2, "--dryrun is not a flag of `nin-exp train`. Did you mean '--dry-run'?"),
    (["--cfg", "job", "extra words"], 2, "'extra words' must have the form key=value"),
    (["--resolve"], 2, "--resolve is for a printed configuration; add --cfg job, or leave it out"),
    (["--config-dir", ""], 2, "--config-dir must be an existing folder, got ''"),
    (["--config-dir", "/nowhere/at/all"], 2, "--config-dir must be an existing folder"),
    (["dataset.source=/nowhere/at/all.npz"], 3, "dataset.source must be an existing file or folder"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), CASES, ids=[" ".join(c[0]) for c in CASES])
def test_one_line_and_the_right_exit_code_and_nothing_written(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str], in_tmp: Path
) -> None:
    assert main(["train", *arguments]) == code
    error = capsys.readouterr().err
    assert error.startswith("nin-exp: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert list(in_tmp.iterdir()) == []


def test_all_problems_in_one_message(in_tmp, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert main(["train", "optimizer.lr=-1", "trainer.max_epochs=-3", "seed=x"]) == 2
    error = capsys.readouterr().err
    assert all(key in error for key in ("optimizer.lr must", "trainer.max_epochs must", "seed must"))


@pytest.mark.usefixtures("in_tmp")
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["foo", "~hed", "head=gapp", "optimizer.lr=-1"],
            ["'foo' must have the form key=value", "'~hed' would delete", "head=gapp is not", "optimizer.lr must lie"],
        ),
        (
            ["hed=gap", "backbone=nim", "trainer.max_epochs=x", "study=../x", "trainer.accumulate=999"],
            ["hed is unknown", "backbone=nim is not", "max_epochs must be", "study must be", "accumulate must be at"],
        ),
        (
            ["-m", "head=gap,fcc,gapp", "optimizer.lr=-1,0", "seed=-1"],
            ["head=fcc is not", "head=gapp is not", "optimizer.lr must lie in (0, inf), got -1", "got 0", "seed must"],
        ),
        (["optimizer=adm", "optimizer.beta1=0.9"], ["optimizer=adm is not an option of optimizer."]),
    ],
    ids=["unreadable", "unknown", "lists", "keys of an unknown option"],
)
def test_every_kind_of_problem_in_one_message(
    arguments: list[str], parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert [part for part in parts if part not in error] == []
    if len(parts) == 1:
        assert "beta1" not in error, "an unknown option's keys cannot be judged"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["doctor", "foo"], "'foo' is one word too many; see `nin-exp doctor --help`"),
        (["evaluate"], "the following arguments are required: RUN;"),
        (["summary", "--input", "²x²x²"], "--input must be CxHxW, such as 3x32x32, each at most 99999, got '²x²x²'"),
        (["compare", "head=gap", "compare.by=null"], "compare needs a list to compare"),
        (["compare", "head=gap,fc", "compare.by=hed"], "the lists are head. Did you mean 'head'? Say which"),
    ],
)
def test_other_verbs(arguments: list[str], message: str, in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert list(in_tmp.iterdir()) == []


@pytest.mark.usefixtures("in_tmp")
@pytest.mark.parametrize("study", ["花", "it's (1)", "a, b", 'say "x"', "semi;colon$(id)"])
def test_any_text_is_a_value(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also what Hydra's grammar has no place for; a comma needs quotes, for it makes a list."""
    text = f"study='{study}'" if "," in study else f"study={study}"
    allowed = not set('"') & set(study)
    assert main(["train", "--cfg", "job", "--json", text]) == (0 if allowed else 2)
    if allowed:
        assert json.loads(capsys.readouterr().out)["study"] == study


@pytest.mark.usefixtures("in_tmp")
def test_nothing_may_be_chosen_where_nothing_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--cfg", "job", "experiment=null", "debug=null"]) == 0
    assert capsys.readouterr().err == ""
