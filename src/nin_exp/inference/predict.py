"""A trained network with what its inputs need: from images to logits, as training's evaluation makes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nin_exp.contracts.data import ImageArrays
from nin_exp.contracts.model import Network
from nin_exp.data.loader import BatchLoader
from nin_exp.inference.images import ImageInput, Levels
from nin_exp.inference.input_spec import InputSpec
from nin_exp.inference.prediction import Prediction, Unreadable
from nin_exp.inference.stream import PredictionStream
from nin_exp.module.evaluate import Predictions, predict


@dataclass(frozen=True)
class Predictor:
    """A trained network with what its inputs need.

    Args:
        network: the torch network.
        forward: what makes the logits: the network, or NumPy with its weights for a run that NumPy trained.
        batch_size: images of one pass.
        autocast_dtype: as the run was evaluated; None for float32.
    """

    network: Network
    forward: Network
    spec: InputSpec
    device: torch.device
    batch_size: int
    autocast_dtype: torch.dtype | None
    channels_last: bool

    def loader(self, arrays: ImageArrays) -> BatchLoader:
        """Batches as training's evaluation makes them: the same loader, with the run's own preprocessing.

        Args:
            arrays: of the network's image size.
        """
        return BatchLoader(
            arrays,
            preprocessing=self.spec.preprocessing,
            batch_size=self.batch_size,
            shuffle=False,
            drop_last=False,
            augment=None,
            order_seed=0,
            augment_seed=0,
            device=self.device,
            channels_last=self.channels_last,
        )

    def logits(self, levels: Levels) -> Tensor:
        """float32 ``(N, K)`` on the CPU for uint8 ``(N, H, W, C)`` of the network's size."""
        arrays = ImageArrays(levels, np.zeros(len(levels), dtype=np.int64))
        return self.predictions(arrays).logits

    def predictions(self, arrays: ImageArrays) -> Predictions:
        """Logits and labels of a split, in its order, as training's evaluation makes them."""
        return predict(self.forward, self.loader(arrays), autocast_dtype=self.autocast_dtype)

    def inputs(self, levels: Levels) -> Tensor:
        """float32 ``(N, C, H, W)`` on the device, as the network sees them."""
        arrays = ImageArrays(levels, np.zeros(len(levels), dtype=np.int64))
        return self.loader(arrays).gather(range(len(levels)))[0]

    def predict_each(self, images: ImageInput) -> Iterator[Prediction | Unreadable]:
        """One result an image, in order; the next images are decoded while the network computes."""
        spec = self.spec
        stream = PredictionStream(
            spec.image_spec, spec.class_names, self.batch_size, lambda levels: self.logits(levels).numpy()
        )
        return stream.predict_each(images)

    def prediction(self, name: str, logits: Tensor) -> Prediction:
        """One image's result from its logits ``(K,)``."""
        return Prediction.from_logits(name, self.spec.class_names, logits.numpy())
