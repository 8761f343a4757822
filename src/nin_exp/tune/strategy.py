"""Optuna's samplers and pruners by the names of the configuration."""

from __future__ import annotations

import hashlib
import warnings
from typing import Any

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, GridSampler, RandomSampler, TPESampler

from nin_exp.config import TuneConfig
from nin_exp.tune.space import Space


class _AskedGrid(GridSampler):
    """Optuna's grid for ask and tell: the search itself knows when the grid is through."""

    def after_trial(self, *args: Any, **kwargs: Any) -> None:
        """Not ``study.stop``, which is for ``optimize`` alone."""


def make_sampler(settings: TuneConfig, space: Space, arm: str, number: int) -> BaseSampler:
    """The sampler of one trial.

    It is made anew for each trial from the seed, the arm and the trial's number: a search that was killed and goes on
    proposes what it would have proposed, and not once more what it began with.
    """
    seed = _derived(settings.sampler_seed, arm, number)
    startup = settings.startup_trials
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if settings.sampler == "random":
            return RandomSampler(seed=seed)
        if settings.sampler == "grid":
            # The same order for every trial: Optuna notes in each trial which point it was.
            return _AskedGrid(space.grid(), seed=_derived(settings.sampler_seed, arm, 0))
        if settings.sampler == "cmaes":
            return CmaEsSampler(seed=seed, n_startup_trials=max(1, startup), warn_independent_sampling=False)
        if settings.sampler == "gp":
            return GPSampler(seed=seed, n_startup_trials=startup, independent_sampler=RandomSampler(seed=seed))
        # A trial under way counts as a bad one: workers that ask at the same time are not sent to the same place.
        return TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)


def _derived(seed: int, arm: str, number: int) -> int:
    digest = hashlib.sha256(f"{seed}/{arm}/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def make_pruner(settings: TuneConfig, max_steps: int) -> BasePruner:
    """The pruner of a search whose trials take at most ``max_steps`` epochs (or seeds, for wilcoxon)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if settings.pruner == "median":
            return MedianPruner(settings.startup_trials, n_warmup_steps=settings.warmup_epochs)
        if settings.pruner == "asha":
            return SuccessiveHalvingPruner(settings.warmup_epochs, settings.reduction_factor)
        if settings.pruner == "hyperband":
            least = min(settings.warmup_epochs, max_steps)
            return HyperbandPruner(least, max_steps, settings.reduction_factor)
        if settings.pruner == "wilcoxon":
            return WilcoxonPruner(p_threshold=settings.p_threshold)
        return NopPruner()
