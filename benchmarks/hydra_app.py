"""One short training run as an ordinary Hydra and Lightning program has it; ``benchmarks/jobs.py`` sweeps over it.

It needs hydra-core, hydra-joblib-launcher, pytorch-lightning and scikit-learn, and nothing of nin-exp. What a job does
is what a one-step job of nin-exp does, as lightning-hydra-template does it: data, a narrow NiN with batch norm, one
optimizer step, validation, a checkpoint of the best epoch, metrics in a CSV, and the test split with the best weights.
"""

from __future__ import annotations

import warnings
from typing import Any

import hydra
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

BATCH_SIZE = 128
WIDTHS = ((19, 16, 10), (19, 19, 19), (19, 19, 10))


def network() -> nn.Sequential:
    """NiN with batch norm at a tenth of its width, for one channel."""
    layers: list[nn.Module] = []
    channels = 1
    for number, (widths, kernel) in enumerate(zip(WIDTHS, (5, 5, 3), strict=True)):
        for width, size in zip(widths, (kernel, 1, 1), strict=True):
            layers += [nn.Conv2d(channels, width, size, padding=size // 2), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        if number < 2:
            layers += [nn.MaxPool2d(3, 2, padding=1), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Digits(pl.LightningModule):
    """Classifies digits."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The loss of a batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log loss and accuracy."""
        self._step(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """Log loss and accuracy."""
        self._step(batch, "test")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """SGD with momentum."""
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)

    def _step(self, batch: Any, split: str) -> Tensor:
        images, labels = batch
        logits = self.network(images)
        loss = functional.cross_entropy(logits, labels)
        accuracy = (logits.argmax(1) == labels).float().mean()
        self.log_dict({f"{split}/loss": loss, f"{split}/acc": accuracy}, on_step=False, on_epoch=True)
        return loss


def loaders(seed: int) -> tuple[DataLoader[Any], DataLoader[Any], DataLoader[Any]]:
    """Training, validation and test batches."""
    images, labels = load_digits(return_X_y=True)
    data = torch.from_numpy(images).float().reshape(-1, 1, 8, 8) / 16 - 0.5, torch.from_numpy(labels)
    rest, test = train_test_split(range(len(labels)), test_size=0.2, random_state=0)
    train, val = train_test_split(rest, test_size=0.1, random_state=seed)
    parts = [TensorDataset(*(values[rows] for values in data)) for rows in (train, val, test)]
    return tuple(DataLoader(p, batch_size=BATCH_SIZE, shuffle=i == 0) for i, p in enumerate(parts))  # type: ignore[return-value]


@hydra.main(version_base="1.3", config_path=None)
def main(config: DictConfig) -> float:
    """Train one step, validate, and test the best checkpoint."""
    warnings.filterwarnings("ignore")
    pl.seed_everything(config.seed)
    train, val, test = loaders(config.seed)
    best = ModelCheckpoint(dirpath="checkpoints", monitor="val/acc", mode="max")
    trainer = pl.Trainer(
        max_steps=1, max_epochs=1, accelerator="cpu", devices=1, logger=CSVLogger("."), callbacks=[best],
        enable_progress_bar=False, enable_model_summary=False, val_check_interval=1, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(Digits(), train, val)
    return trainer.test(dataloaders=test, ckpt_path="best", verbose=False)[0]["test/acc"]


if __name__ == "__main__":
    main()
