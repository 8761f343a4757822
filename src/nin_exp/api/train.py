"""Train and compare from Python; the same runs, in the same place, as from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from nin_exp.api.command import run_verb
from nin_exp.api.configure import Settings, as_overrides, compose
from nin_exp.api.study import LoadedStudy, load_study
from nin_exp.inference.run import TrainedRun, load_run

Stale = Literal["keep", "rerun"]


def train(
    settings: Settings = (),
    *,
    stale: Stale | None = None,
    retry_failed: bool = False,
    verbose: bool = False,
    config_dir: str | None = None,
    allowed_packages: tuple[str, ...] = (),
) -> TrainedRun:
    """Train one run, in a process of its own, and open it. A run that is done is not trained again.

    >>> run = train(["dataset=digits", "head=gap", "trainer.max_epochs=5"])  # doctest: +SKIP
    >>> run.metrics["test/acc"]  # doctest: +SKIP
    0.957

    Args:
        settings: overrides, or a configuration of ``compose``; ``study=NAME runs_dir=PATH`` say where the run goes.
        stale: what to do with a run of other code or data: ``keep`` or ``rerun``; None raises.
        retry_failed: train again what failed before.
        verbose: show progress on standard error.
        config_dir: a folder of your own options, laid out as ``conf/``.
        allowed_packages: packages of your own whose classes may be named.

    Raises:
        NinExpError: as the command line's exit codes: ConfigError, DataError, DivergedError, OutOfMemoryError …
        KeyboardInterrupt: it was stopped; the same call goes on.
    """
    words = as_overrides(settings, config_dir=config_dir, allowed_packages=allowed_packages)
    config = compose(words, config_dir=config_dir, allowed_packages=allowed_packages)  # errors before a process starts
    flags = _flags(stale, config_dir, allowed_packages, retry_failed=retry_failed)
    record = run_verb("train", [*flags, *words], verbose=verbose)
    path = Path(config.runs_dir).expanduser() / record["study"] / record["job_id"]
    return load_run(path, allowed_packages=allowed_packages)


def compare(
    overrides: Sequence[str],
    *,
    stale: Stale | None = None,
    retry_failed: bool = False,
    verbose: bool = False,
    config_dir: str | None = None,
    allowed_packages: tuple[str, ...] = (),
) -> LoadedStudy:
    """Compare arms over blocks and paired seeds, as ``nin-exp compare`` does, and open the study.

    >>> study = compare(["head=gap,fc", "dataset=digits", "seeds=6"])  # doctest: +SKIP
    >>> study.contrasts[["arm", "verdict", "difference"]]  # doctest: +SKIP

    Args:
        overrides: comma lists are arms and blocks; ``executor=local|ray|slurm`` says where the jobs run.
        stale, retry_failed, verbose, config_dir, allowed_packages: as of ``train``.

    Raises:
        JobsFailedError: some jobs failed; the others are done, and ``load_study`` opens what there is.
        NinExpError: nothing was started, or nothing could go on.
        KeyboardInterrupt: it was stopped; the same call goes on.
    """
    words = as_overrides(overrides)
    flags = _flags(stale, config_dir, allowed_packages, retry_failed=retry_failed)
    return load_study(run_verb("compare", [*flags, *words], verbose=verbose)["study"])


def _flags(
    stale: Stale | None, config_dir: str | None, allowed_packages: tuple[str, ...], *, retry_failed: bool
) -> list[str]:
    flags = [f"--allow-package={package}" for package in allowed_packages]
    flags += [] if stale is None else [f"--stale={stale}"]
    flags += [] if config_dir is None else [f"--config-dir={config_dir}"]
    return [*flags, "--retry-failed"] if retry_failed else flags
