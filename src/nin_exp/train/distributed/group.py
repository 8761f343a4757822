"""The processes ("ranks") that train one job together; most often there is one.

Numbers that decide something (sums of an epoch, a stop) travel as CPU tensors over gloo, also where gradients travel
over NCCL: no GPU waits for them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from nin_exp.contracts.model import Network
from nin_exp.errors import ConfigError

T = TypeVar("T")
LOOPBACK = "127.0.0.1"
LONGEST_WAIT = timedelta(hours=1)
"""For a rank that does not answer; one that has died is noticed at once."""
_PREPARED = "prepared"


@dataclass(frozen=True)
class Group:
    """What one rank knows of all; with one rank every method does nothing and costs nothing.

    Args:
        rank: in [0, size); the first writes the run's files.
        store: where ranks leave words for each other and for their job; None with one rank.
    """

    rank: int
    size: int
    store: Store | None

    @property
    def is_first(self) -> bool:
        """Whether this rank writes files and evaluates."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is one rank."""
        return self.size == 1

    def join(self, device: str) -> None:
        """Meet the other ranks: gloo on CPUs, and NCCL beside it on GPUs."""
        if self.store is None:
            return
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
            store=PrefixStore("group", self.store),
            rank=self.rank,
            world_size=self.size,
            timeout=LONGEST_WAIT,
        )

    def leave(self) -> None:
        """Nothing is done together any more."""
        if not self.is_alone:
            self.largest(0)  # all have come so far
            dist.destroy_process_group()

    def first_alone(self, action: Callable[[], T]) -> T:
        """Do something on the first rank, then on the others, which find what it left on the disk."""
        if self.store is None:
            return action()
        if not self.is_first:
            self.store.wait([_PREPARED], LONGEST_WAIT)
            return action()
        result = action()
        self.store.set(_PREPARED, "")
        return result

    def sum(self, values: Tensor) -> Tensor:
        """The sum over ranks, on the CPU."""
        values = values.cpu()
        if not self.is_alone:
            dist.all_reduce(values)
        return values

    def largest(self, number: int) -> int:
        """The largest of all ranks' numbers."""
        if self.is_alone:
            return number
        value = torch.tensor(number)
        dist.all_reduce(value, dist.ReduceOp.MAX)
        return int(value)

    def gather(self, values: Tensor) -> list[Tensor]:
        """Every rank's values, of one shape and type, on the CPU, in the order of ranks."""
        if self.is_alone:
            return [values.cpu()]
        found = [torch.empty_like(values, device="cpu") for _ in range(self.size)]
        dist.all_gather(found, values.cpu())
        return found

    def share_batch_statistics(self, network: Network, device: str) -> None:
        """Let batch norm see the global batch, in place; ``state_dict`` keeps its keys.

        Raises:
            ConfigError: the network has batch norm and is on CPUs, for which torch has no synchronised one.
        """
        if self.is_alone:
            return
        names = [name for name, layer in network.named_modules() if isinstance(layer, _BatchNorm)]
        if names and device != "cuda":
            raise ConfigError(
                f"trainer.devices must be 1 on CPUs for a network with batch norm (such as {names[0]}), got "
                f"{self.size}: each rank would see the statistics of its part; use trainer.devices=1, or GPUs"
            )
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]

    def parallel(self, network: Network) -> DistributedDataParallel | None:
        """What averages the gradients of all ranks in the backward pass; None with one rank."""
        if self.is_alone:
            return None
        # With find_unused_parameters the buckets of gradients stay as they are first made. Else they are made anew
        # after the first step of a process, and sums over three or more ranks are added in another order: a run that
        # goes on would differ in the last bits.
        return DistributedDataParallel(network, find_unused_parameters=True)


ALONE = Group(0, 1, None)
"""The group of a job that trains in one process."""


def open_store() -> tuple[TCPStore, int]:
    """A store on the loopback interface, and its port: one that is free, and taken from now on."""
    listener = socket.socket()
    listener.bind((LOOPBACK, 0))
    listener.listen(128)
    port = int(listener.getsockname()[1])
    # Given no socket of ours, the store would listen on every interface.
    store = TCPStore(LOOPBACK, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach())
    return store, port


def join_store(port: int) -> TCPStore:
    """The store that the job has opened."""
    return TCPStore(LOOPBACK, port, is_master=False, timeout=LONGEST_WAIT)
