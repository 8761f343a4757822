"""Lightning as an engine: precision, device and hooks; the books are ours, so that they can be restored."""

from __future__ import annotations

import logging
import warnings

import pytorch_lightning as pl
from pytorch_lightning.plugins.environments import LightningEnvironment  # type: ignore[attr-defined]

from nin_exp.config import TrainerConfig


def lightning_trainer(config: TrainerConfig, device: str, epochs: int, steps: int, callback: pl.Callback) -> pl.Trainer:
    """What runs the batches of one process on one device; ranks know of each other elsewhere.

    Args:
        epochs, steps: that are left.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*(GPU|TPU|MPS) available but not used.*")
    return pl.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        max_epochs=epochs,
        max_steps=steps,
        precision="32-true" if config.precision == "32" else config.precision,
        gradient_clip_val=config.clip_norm,
        callbacks=[callback],
        plugins=[LightningEnvironment()],  # a SLURM job's own ranks are not Lightning's business, nor are ours
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
