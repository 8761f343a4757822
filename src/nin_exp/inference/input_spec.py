"""What a trained network expects of an image, as ``input.json`` holds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from nin_exp.contracts.data import ImageSpec, Preprocessing
from nin_exp.data.preprocess.channels import ChannelNormalization
from nin_exp.data.preprocess.fitted import read as read_preprocessing
from nin_exp.errors import IntegrityError

INPUT_FILE = "input.json"


@dataclass(frozen=True, eq=False)
class InputSpec:
    """Shape, preprocessing and classes that a network was trained with.

    Args:
        preprocessing: makes of uint8 levels what the network sees.
    """

    image_spec: ImageSpec
    preprocessing: Preprocessing
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @staticmethod
    def read(run_dir: Path) -> InputSpec:
        """Read a run directory's ``input.json``, and ``whitening.npz`` where the run has one.

        Raises:
            IntegrityError: a file is missing, or holds something else.
        """
        path = run_dir / INPUT_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            spec = ImageSpec(*map(int, values["image_spec"]))
            # Version 0.1.0 knew no other kinds than those with a mean and a deviation, and wrote these alone.
            settings = values.get("preprocess", {**values, "kind": "standardize"})
            preprocessing = read_preprocessing(settings, run_dir, spec)
            names = tuple(map(str, values["class_names"]))
        except FileNotFoundError as error:
            raise IntegrityError(
                f"{path} is missing, which says how images are prepared; train the run again"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"{path} must say how images are prepared, but cannot be read; train the run again"
            ) from error
        by_channel = preprocessing if isinstance(preprocessing, ChannelNormalization) else None
        counts = {spec.channels} if by_channel is None else {spec.channels, len(by_channel.mean), len(by_channel.std)}
        if len(counts) > 1 or len(names) != values.get("num_classes"):
            raise IntegrityError(f"{path} contradicts itself in the number of channels or classes; train the run again")
        return InputSpec(spec, preprocessing, names)
