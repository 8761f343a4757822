"""What a trained network expects of an image, as ``input.json`` holds it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from nin_exp.contracts.data import ImageSpec
from nin_exp.errors import IntegrityError

INPUT_FILE = "input.json"


@dataclass(frozen=True)
class InputSpec:
    """Shape, normalisation and classes that a network was trained with.

    Args:
        mean: of each channel, on the scale of ``image / 255``; a network sees ``(image / 255 - mean) / std``.
    """

    image_spec: ImageSpec
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @staticmethod
    def read(run_dir: Path) -> InputSpec:
        """Read a run directory's ``input.json``.

        Raises:
            IntegrityError: it is missing, or holds something else.
        """
        path = run_dir / INPUT_FILE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            channels, height, width = map(int, values["image_spec"])
            mean, std = tuple(map(float, values["mean"])), tuple(map(float, values["std"]))
            names = tuple(map(str, values["class_names"]))
        except FileNotFoundError as error:
            raise IntegrityError(
                f"{path} is missing, which says how images are prepared; train the run again"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"{path} must say how images are prepared, but cannot be read; train the run again"
            ) from error
        if len(mean) != channels or len(std) != channels or len(names) != values.get("num_classes"):
            raise IntegrityError(f"{path} contradicts itself in the number of channels or classes; train the run again")
        return InputSpec(ImageSpec(channels, height, width), mean, std, names)
