"""An exponential moving average of a network's weights over optimizer steps (Polyak & Juditsky 1992)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from nin_exp.contracts.model import Network


class WeightAverage:
    """Follows a network: average = decay * average + (1 - decay) * network, after each step.

    The running statistics of batch norm are averaged as the weights are, so that both lag alike; counters are copied.
    torch's AveragedModel averages integer counters too, which truncates, or takes the newest statistics.

    Args:
        network: on its device; the average starts as a copy of it.
        decay: in (0, 1).
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        averaged, current = self.network.state_dict(), network.state_dict(keep_vars=True)
        names = [name for name, value in current.items() if value.is_floating_point()]
        self._averaged = [averaged[name] for name in names]
        self._current = [current[name].detach() for name in names]
        self._counters = [(averaged[name], current[name]) for name in current if name not in set(names)]

    @torch.no_grad()
    def follow(self) -> None:
        """Move towards the network's weights, once for each optimizer step."""
        self._update(self._averaged, self._current, 0)
        for counter, value in self._counters:
            counter.copy_(value)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights, under the network's own keys."""
        return self.network.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from averaged weights; in place, so that what is followed stays."""
        self.network.load_state_dict(state)


__all__ = ["WeightAverage"]
