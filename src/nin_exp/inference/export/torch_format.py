"""A ``torch.export`` program: runs with torch alone, without the code of this package."""

from __future__ import annotations

import io
import json
import warnings
from dataclasses import asdict

import torch

from nin_exp.errors import ConfigError
from nin_exp.inference.export.agreement import Outputs, check_agreement
from nin_exp.inference.export.formats import Exported
from nin_exp.inference.export.graph import ExportedNetwork, example_images
from nin_exp.inference.export.sample import SampleImages
from nin_exp.inference.exported import CHECK_KEY
from nin_exp.inference.images import Levels
from nin_exp.inference.predict import Predictor

FACTS_FILE = "nin_exp.json"


def to_torch(predictor: Predictor, facts: dict[str, str], sample: SampleImages) -> Exported:
    """Export, load the program back, and compare; the facts lie in its extra file ``nin_exp.json``.

    Raises:
        ConfigError: the network cannot be traced.
        RefusedError: the program does not say what the run says.
    """
    graph = ExportedNetwork(predictor.network, predictor.spec)
    dynamic = {"images": {0: torch.export.Dim.DYNAMIC}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own internals
        try:
            program = torch.export.export(graph, (example_images(predictor.spec),), dynamic_shapes=dynamic)
        except Exception as error:  # tracing runs the network's own code, which may raise anything
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ConfigError(f"this network cannot be traced ({reason}); use --format safetensors") from error
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # names this machine's files
        agreement = check_agreement(predictor, sample, lambda levels: run_torch(_saved(program, {}), levels))
        return Exported(_saved(program, {**facts, CHECK_KEY: json.dumps(asdict(agreement))}), agreement)


def _saved(program: torch.export.ExportedProgram, facts: dict[str, str]) -> bytes:
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={FACTS_FILE: json.dumps(facts, ensure_ascii=False)})
    return file.getvalue()


def run_torch(content: bytes, levels: Levels) -> Outputs:
    """Probabilities and logits of uint8 images ``(N, H, W, C)``, by the program as it was saved."""
    module = torch.export.load(io.BytesIO(content)).module()
    with torch.no_grad():
        chunks = [module(chunk) for chunk in torch.split(torch.from_numpy(levels.copy()), 50)]
    probabilities, logits = (torch.cat([chunk[i] for chunk in chunks]).numpy() for i in range(2))
    return probabilities, logits
