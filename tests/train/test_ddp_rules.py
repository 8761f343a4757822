"""What several devices refuse, how ranks agree, and how a job's end is told from its ranks' ends."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nin_exp.build import build_network
from nin_exp.compose.composer import Composer
from nin_exp.compose.groups import shipped_config_dir
from nin_exp.contracts.data import ImageSpec
from nin_exp.errors import ConfigError, DivergedError, NinExpError
from nin_exp.train.distributed.group import ALONE, Group, join_store, open_store
from nin_exp.train.distributed.stop import RankStopRequest
from nin_exp.train.distributed.verdict import Ending, outcome_of
from nin_exp.train.host import settle_gpu
from nin_exp.train.signals import Stopped, StopRequest


def compose(*overrides: str) -> Any:
    return Composer((shipped_config_dir(),)).compose([tuple(o.split("=", 1)) for o in overrides])  # type: ignore[misc]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.compile=true"], "trainer.compile must be false with trainer.devices=2, got true"),
        (["engine=numpy"], "engine must be torch with trainer.devices=2, got numpy"),
        (["trainer.batch_size=1"], r"trainer.batch_size must be at least trainer.devices \(2\), got 1"),
        (["trainer.devices=0"], r"trainer.devices must lie in \[1, inf\), got 0"),
    ],
)
def test_what_cannot_be_combined_is_refused_in_one_line(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        compose("trainer=ddp", *overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override",
    ["trainer.accumulate=4", "trainer.overfit_batches=2", "trainer.limit_batches=2", "trainer.profile=true",
     "trainer.ema_decay=0.9", "trainer.clip_norm=1", "trainer.precision=bf16-mixed"],
)  # fmt: skip
def test_what_can_be_combined(override: str) -> None:
    assert compose("trainer=ddp", override).trainer.devices == 2


def test_the_number_of_devices_names_the_run() -> None:
    """It changes bits: a run on two devices is another run than one on one."""
    from nin_exp.compose.identity import config_hash

    assert config_hash(compose("trainer.devices=2")) != config_hash(compose("trainer.devices=1"))


def test_batch_norm_is_refused_on_cpus_and_synchronised_on_gpus() -> None:
    config = compose("backbone=nin_bn", "backbone.width=0.05")
    network = build_network(config, ImageSpec(3, 16, 16), 10)
    names = list(network.state_dict())
    group = Group(0, 2, None)
    with pytest.raises(ConfigError, match=r"trainer.devices must be 1 on CPUs .*batch norm \(such as backbone"):
        group.share_batch_statistics(network, "cpu")
    ALONE.share_batch_statistics(network, "cpu")
    assert not any(isinstance(layer, nn.SyncBatchNorm) for layer in network.modules())
    group.share_batch_statistics(network, "cuda")
    kinds = {type(layer) for layer in network.modules() if "Norm" in type(layer).__name__}
    assert kinds == {nn.SyncBatchNorm}
    assert list(network.state_dict()) == names


def test_one_process_is_a_group_that_does_nothing() -> None:
    values = torch.tensor([1.0, 2.0])
    assert ALONE.sum(values) is values
    assert ALONE.largest(3) == 3
    assert ALONE.gather(values) == [values]
    assert ALONE.first_alone(lambda: "done") == "done"
    assert ALONE.parallel(None) is None  # type: ignore[arg-type]


def test_the_store_listens_on_the_loopback_interface_alone() -> None:
    store, port = open_store()
    other = join_store(port)
    other.set("word", "heard")
    assert store.get("word") == b"heard"
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = {f[1].split(":")[0] for f in listening if f[3] == "0A" and int(f[1].split(":")[1], 16) == port}
    assert addresses == {"0100007F"}


class _FakeGroup:
    """Answers as ranks would of which one has got a signal."""

    def __init__(self, number: int) -> None:
        self.number, self.questions = number, 0

    def largest(self, number: int) -> int:
        self.questions += 1
        return max(number, self.number)


def test_a_rank_stops_when_another_was_asked_to() -> None:
    stop, group = RankStopRequest(), _FakeGroup(int(signal.SIGTERM))
    assert not stop.is_agreed(1)
    stop.ask(group, "cpu")  # type: ignore[arg-type]
    assert not stop.is_set
    assert stop.is_agreed(1)
    assert stop.exit_code == 143


def test_gpus_are_asked_every_tenth_step_and_between_epochs() -> None:
    stop, group = RankStopRequest(), _FakeGroup(0)
    stop.ask(group, "cuda")  # type: ignore[arg-type]
    assert not any(stop.is_agreed(step) for step in range(1, 31))
    assert group.questions == 3
    assert not stop.is_agreed(None)
    assert group.questions == 4
    stop.signal_number = signal.SIGTERM
    assert not stop.is_agreed(31)  # its own signal waits for the others, too
    assert stop.is_agreed(40)


DONE = Ending(0, "done", 0, "", {"metrics": {"test/acc": 0.5}}, {})
LOST = Ending(0, "failed", 1, "RuntimeError: Connection closed by peer", {}, {})


def _stop(number: int | None = None) -> StopRequest:
    stop = StopRequest()
    stop.signal_number = number
    return stop


def test_all_ranks_are_done() -> None:
    endings = [replace(DONE, rank=1, outcome={}), DONE]
    assert outcome_of(endings, {0: 0, 1: 0}, _stop()) == DONE.outcome
    # A signal that came too late to stop anything.
    assert outcome_of(endings, {0: 0, 1: 0}, _stop(signal.SIGINT)) == DONE.outcome


def test_a_rank_that_says_nothing_is_the_one_that_died() -> None:
    with pytest.raises(NinExpError, match="rank 1 of 2 was ended by SIGKILL: probably memory ran out"):
        outcome_of([LOST], {0: 1, 1: -9}, _stop())
    with pytest.raises(NinExpError, match="rank 1 of 2 was ended by SIGSEGV; with --retry-failed"):
        outcome_of([LOST], {0: 1, 1: -11}, _stop())
    with pytest.raises(NinExpError, match="rank 0 of 2 ended with exit code 3 and said nothing"):
        outcome_of([], {0: 3, 1: None}, _stop())
    with pytest.raises(NinExpError, match="rank 0 of 1 ended without a word"):
        outcome_of([], {0: 0}, _stop())


def test_the_first_failure_is_the_cause() -> None:
    bug = Ending(1, "failed", 1, "LookupError: no such tile", {}, {})
    with pytest.raises(NinExpError, match="rank 1 of 2: LookupError: no such tile"):
        outcome_of([bug, LOST], {0: 1, 1: 1}, _stop())
    diverged = Ending(1, "failed", 7, "the training loss became nan", {}, {})
    with pytest.raises(DivergedError, match=r"^the training loss became nan$"):
        outcome_of([diverged, LOST], {0: 1, 1: 7}, _stop())
    # Also where another rank is torn down by it without a word.
    with pytest.raises(DivergedError, match="the training loss became nan"):
        outcome_of([diverged], {0: -6, 1: 7}, _stop())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_has_the_exit_code_of_the_signal_that_the_job_got(number: int, code: int) -> None:
    ranks = [Ending(rank, "stopped", 143, "", {}, {}) for rank in (1, 0)]
    with pytest.raises(Stopped, match=str(code)):
        outcome_of(ranks, {0: 143, 1: 143}, _stop(number))
    with pytest.raises(Stopped, match=str(code)):  # it came before a rank could listen
        outcome_of([LOST], {0: 1, 1: -15}, _stop(number))


def test_a_rank_that_was_asked_to_stop_stops_all() -> None:
    with pytest.raises(Stopped, match="143"):
        outcome_of([Ending(1, "stopped", 143, "", {}, {}), LOST], {0: 1, 1: 143}, _stop())


def test_endings_travel_as_json() -> None:
    assert Ending(**json.loads(json.dumps(vars(DONE)))) == DONE


def test_gpu_settings_are_those_of_the_configuration() -> None:
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark
    try:
        settle_gpu(tf32=True, cudnn_benchmark=True)
        assert (torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark) == ("high", True, True)
        settle_gpu(tf32=False, cudnn_benchmark=False)
        assert (torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark) == ("highest", False, False)
    finally:
        settle_gpu(tf32=True, cudnn_benchmark=before[2])
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32 = before[1]


def test_the_presets_for_devices_are_consistent() -> None:
    gpu, cpu, auto = (compose(f"trainer={name}").trainer for name in ("gpu", "cpu", "auto"))
    assert (gpu.accelerator, gpu.precision, gpu.tf32, gpu.cudnn_benchmark) == ("gpu", "bf16-mixed", True, True)
    assert (auto.accelerator, auto.precision, auto.cudnn_benchmark) == ("auto", "32", False)
    assert replace(auto, accelerator="cpu") == cpu
    assert replace(auto, devices=2) == compose("trainer=ddp").trainer
