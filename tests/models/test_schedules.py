from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from nin_exp.contracts.optim import ScheduleFactory
from nin_exp.errors import ConfigError
from nin_exp.optim.cosine import Cosine
from nin_exp.optim.onecycle import OneCycle

RATES = (0.4, 0.04)


def optimizer_with(rates: tuple[float, ...] = RATES) -> Optimizer:
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=0.1, momentum=0.9)


def rates_used(factory: ScheduleFactory, total_steps: int, steps_per_epoch: int) -> list[list[float]]:
    """The learning rates of each group at every optimizer step of a run."""
    optimizer = optimizer_with()
    built = factory.build(optimizer, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    assert built.interval == "step"
    used = []
    for _ in range(total_steps):
        used.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        built.scheduler.step()
    return used


def expect(used: list[list[float]], factor: Callable[[int], float]) -> None:
    for step, rates in enumerate(used):
        assert rates == pytest.approx([rate * factor(step) for rate in RATES], rel=1e-9, abs=1e-12), f"step {step}"


def test_constant(choose: Callable[..., ScheduleFactory]) -> None:
    expect(rates_used(choose("schedule", "constant"), 20, 5), lambda step: 1.0)


def test_step(choose: Callable[..., ScheduleFactory]) -> None:
    factory = choose("schedule", "step", step_epochs=2, gamma=0.5)
    expect(rates_used(factory, 40, 4), lambda step: 0.5 ** (step // 8))


def test_multistep(choose: Callable[..., ScheduleFactory]) -> None:
    factory = choose("schedule", "multistep", milestones=[2, 3], gamma=0.1)
    expect(rates_used(factory, 30, 6), lambda step: 0.1 ** sum(step // 6 >= milestone for milestone in (2, 3)))


def test_cosine(choose: Callable[..., ScheduleFactory]) -> None:
    factory = choose("schedule", "cosine", warmup_epochs=1.5, min_lr_fraction=0.1)

    def factor(step: int) -> float:
        if step < 6:
            return (step + 1) / 7
        return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - 6) / 34))

    expect(rates_used(factory, 40, 4), factor)


@settings(max_examples=60, deadline=None)
@given(
    total_steps=st.integers(1, 60),
    steps_per_epoch=st.integers(1, 20),
    warmup_epochs=st.floats(0, 5),
    fraction=st.floats(0, 1),
)
def test_cosine_rises_then_falls(total_steps: int, steps_per_epoch: int, warmup_epochs: float, fraction: float) -> None:
    factory = Cosine(warmup_epochs=warmup_epochs, min_lr_fraction=fraction)
    factors = [rates[0] / RATES[0] for rates in rates_used(factory, total_steps, steps_per_epoch)]
    peak = min(round(warmup_epochs * steps_per_epoch), total_steps - 1)
    assert all(0 < factor <= 1 + 1e-12 for factor in factors)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    if peak < total_steps - 1:
        assert factors[peak] == pytest.approx(1.0)
        assert factors[-1] >= fraction - 1e-12


@pytest.mark.parametrize("anneal", ["cos", "linear"])
def test_onecycle(choose: Callable[..., ScheduleFactory], anneal: str) -> None:
    factory = choose("schedule", "onecycle", warmup_fraction=0.25, start_divisor=10.0, end_divisor=100.0, anneal=anneal)

    def between(start: float, end: float, share: float) -> float:
        return start + (end - start) * ((1 - math.cos(math.pi * share)) / 2 if anneal == "cos" else share)

    def factor(step: int) -> float:
        # 40 steps: the peak at step 9, the end at step 39
        return between(0.1, 1.0, step / 9) if step <= 9 else between(1.0, 0.001, (step - 9) / 30)

    expect(rates_used(factory, 40, 4), factor)


@settings(max_examples=60, deadline=None)
@given(total_steps=st.integers(1, 40), warmup=st.floats(0.01, 0.99))
def test_onecycle_of_any_length(total_steps: int, warmup: float) -> None:
    factory = OneCycle(warmup_fraction=warmup, start_divisor=25.0, end_divisor=1e4, anneal="cos")
    used = rates_used(factory, total_steps, 1)
    assert all(0 < rates[0] <= RATES[0] * (1 + 1e-9) for rates in used)


@pytest.mark.parametrize(("total_steps", "warmup"), [(1, 0.5), (2, 0.5), (4, 0.25), (10, 0.1)])
def test_onecycle_with_a_warm_up_of_no_steps(total_steps: int, warmup: float) -> None:
    """torch divides by the steps of the warm-up less one: zero here."""
    factory = OneCycle(warmup_fraction=warmup, start_divisor=25.0, end_divisor=1e4, anneal="cos")
    used = rates_used(factory, total_steps, 1)
    assert used[0] == pytest.approx([rate / 25 for rate in RATES])


def test_onecycle_leaves_momentum_alone(choose: Callable[..., ScheduleFactory]) -> None:
    optimizer = optimizer_with()
    choose("schedule", "onecycle").build(optimizer, total_steps=10, steps_per_epoch=5)
    assert [group["momentum"] for group in optimizer.param_groups] == [0.9, 0.9]


@pytest.mark.parametrize(
    ("monitor", "values", "cuts"),
    [
        ("val/acc", [0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2], [0, 0, 0, 0, 1, 1, 1]),
        ("val/loss", [0.9, 0.8, 0.9, 0.8, 0.81, 0.1, 0.1], [0, 0, 0, 0, 1, 1, 1]),
        ("train/acc", [0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2], [0, 0, 0, 0, 1, 1, 1]),
    ],
)
def test_plateau_cuts_after_patience(
    choose: Callable[..., ScheduleFactory], monitor: str, values: list[float], cuts: list[int]
) -> None:
    optimizer = optimizer_with()
    factory = choose("schedule", "plateau", monitor=monitor, factor=0.1, patience=2, min_lr_fraction=0.05)
    built = factory.build(optimizer, total_steps=100, steps_per_epoch=10)
    assert (built.interval, built.monitor) == ("epoch", monitor)
    assert isinstance(built.scheduler, ReduceLROnPlateau)
    for value, cut in zip(values, cuts, strict=True):
        built.scheduler.step(value)
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([rate * 0.1**cut for rate in RATES])


def test_plateau_stops_at_its_floor_in_every_group(choose: Callable[..., ScheduleFactory]) -> None:
    optimizer = optimizer_with()
    built = choose("schedule", "plateau", patience=0, min_lr_fraction=0.05).build(
        optimizer, total_steps=10, steps_per_epoch=1
    )
    assert isinstance(built.scheduler, ReduceLROnPlateau)
    for _ in range(6):
        built.scheduler.step(0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.002])


def test_the_papers_rule_cuts_twice_then_ends(choose: Callable[..., ScheduleFactory], tmp_path: Path) -> None:
    """Rates and the end follow by hand from patience 1; a run that is saved and goes on ends in the same epoch."""
    accuracies = [0.5, 0.6, 0.6, 0.6, 0.7, 0.7, 0.7, 0.71, 0.71, 0.71]
    tenths = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2]
    factory = choose("schedule", "paper_plateau", patience=1)
    optimizer = optimizer_with()
    built = factory.build(optimizer, total_steps=100, steps_per_epoch=10)
    assert (built.interval, built.monitor) == ("epoch", "train/acc")
    ended = []
    for epoch, (accuracy, cuts) in enumerate(zip(accuracies, tenths, strict=True)):
        assert isinstance(built.scheduler, ReduceLROnPlateau)
        assert built.finished is not None
        built.scheduler.step(accuracy)
        ended.append(built.finished())
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([rate * 0.1**cuts for rate in RATES])
        if epoch in (4, 8):  # also between the last cut and the end
            torch.save([optimizer.state_dict(), built.scheduler.state_dict()], tmp_path / "state.pt")
            optimizer = optimizer_with()
            built = factory.build(optimizer, total_steps=100, steps_per_epoch=10)
            states = torch.load(tmp_path / "state.pt", weights_only=True)
            optimizer.load_state_dict(states[0])
            built.scheduler.load_state_dict(states[1])
    assert ended == [False] * 9 + [True]


def test_only_a_plateau_with_a_limit_ends_a_run(choose: Callable[..., ScheduleFactory], schedule_name: str) -> None:
    built = choose("schedule", schedule_name).build(optimizer_with(), total_steps=12, steps_per_epoch=3)
    assert (built.finished is not None) is (schedule_name == "paper_plateau")


def test_every_schedule_survives_one_step_runs_and_a_save(
    choose: Callable[..., ScheduleFactory], schedule_name: str, tmp_path: Path
) -> None:
    factory = choose("schedule", schedule_name)
    optimizer = optimizer_with()
    assert factory.build(optimizer, total_steps=1, steps_per_epoch=1).scheduler.optimizer is optimizer

    def advance(scheduler: Any) -> None:
        optimizer_of = scheduler.optimizer
        optimizer_of.step()
        scheduler.step(0.5) if isinstance(scheduler, ReduceLROnPlateau) else scheduler.step()

    first, second = optimizer_with(), optimizer_with()
    straight = factory.build(first, total_steps=12, steps_per_epoch=3).scheduler
    for _ in range(5):
        advance(straight)
    resumed = factory.build(second, total_steps=12, steps_per_epoch=3).scheduler
    torch.save([first.state_dict(), straight.state_dict()], tmp_path / "state.pt")
    optimizer_state, schedule_state = torch.load(tmp_path / "state.pt", weights_only=True)
    second.load_state_dict(optimizer_state)
    resumed.load_state_dict(schedule_state)
    for _ in range(6):
        advance(straight)
        advance(resumed)
        assert [g["lr"] for g in second.param_groups] == [g["lr"] for g in first.param_groups]


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        (
            "multistep",
            {"milestones": [3, 3]},
            r"schedule\.milestones must be strictly increasing, got \[3, 3\]",
        ),
        (
            "multistep",
            {"milestones": [5, 2]},
            r"schedule\.milestones must be strictly increasing, got \[5, 2\]",
        ),
    ],
)
def test_settings_that_contradict_are_refused(
    choose: Callable[..., ScheduleFactory], name: str, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        choose("schedule", name, **overrides)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("onecycle", {"start_divisor": 0.5}, r"start_divisor must lie in \[1, inf\), got 0\.5"),
        ("onecycle", {"end_divisor": 0.5}, r"end_divisor must lie in \[1, inf\), got 0\.5"),
        ("step", {"step_epochs": 0}, r"step_epochs must lie in \[1, inf\), got 0"),
        ("cosine", {"min_lr_fraction": 1.1}, r"min_lr_fraction must lie in \[0, 1\], got 1\.1"),
        ("cosine", {"warmup_epochs": -1.0}, r"warmup_epochs must lie in \[0, inf\), got -1"),
        (
            "plateau",
            {"monitor": "test/acc"},
            "monitor must be one of val/acc, val/loss, train/acc, train/loss, got 'test/",
        ),
        ("plateau", {"max_cuts": 0}, r"max_cuts must lie in \[1, inf\), got 0"),
        ("plateau", {"factor": 1.0}, r"factor must lie in \(0, 1\), got 1"),
        ("multistep", {"milestones": [0]}, r"milestones\[0\] must lie in \[1, inf\), got 0"),
    ],
)
def test_values_out_of_range_are_refused_by_schedules(
    choose: Callable[..., ScheduleFactory], name: str, overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        choose("schedule", name, **overrides)
