"""ONNX: one file with the weights, the preparation of images and the run's facts inside."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict

import numpy as np
import onnx
import onnxruntime
import torch

from nin_exp.errors import ConfigError
from nin_exp.inference.export.agreement import Outputs, check_agreement
from nin_exp.inference.export.formats import Exported
from nin_exp.inference.export.graph import ExportedNetwork, example_images
from nin_exp.inference.export.sample import SampleImages
from nin_exp.inference.exported import CHECK_KEY, quiet_session
from nin_exp.inference.images import Levels
from nin_exp.inference.predict import Predictor

INPUT, OUTPUTS, BATCH = "images", ("probabilities", "logits"), "N"
_BATCH_SIZE = 50


def to_onnx(predictor: Predictor, facts: dict[str, str], sample: SampleImages) -> Exported:
    """Export, run the result with onnxruntime, and compare.

    Raises:
        ConfigError: a layer has no ONNX operator.
        RefusedError: the file does not say what the run says.
    """
    graph = ExportedNetwork(predictor.network, predictor.spec)
    example = example_images(predictor.spec)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns of its own internals
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                dynamic_shapes={INPUT: {0: torch.export.Dim.DYNAMIC}},
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = next(line for line in str(error).splitlines() if line.strip())
        raise ConfigError(f"this network has no ONNX form ({reason}); use --format torch or safetensors") from error
    assert program is not None  # only without dynamo
    model = program.model_proto
    _name_batch(model)
    _drop_notes(model)
    agreement = check_agreement(predictor, sample, lambda levels: run_onnx(model.SerializeToString(), levels))
    model.producer_name, model.producer_version = "nin-exp", facts["nin_exp_version"]
    onnx.helper.set_model_props(model, {**facts, CHECK_KEY: json.dumps(asdict(agreement))})
    onnx.checker.check_model(model, full_check=True)
    return Exported(model.SerializeToString(deterministic=True), agreement)


def _name_batch(model: onnx.ModelProto) -> None:
    """Call the batch N in the input and the outputs; the exporter makes up names such as s77."""
    made_up = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param == made_up:
                dimension.dim_param = BATCH


def _drop_notes(model: onnx.ModelProto) -> None:
    """Leave out the exporter's notes: the paths of this machine's files are nobody's business, and half the size."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def run_onnx(content: bytes, levels: Levels) -> Outputs:
    """Probabilities and logits of uint8 images ``(N, H, W, C)``, by onnxruntime on the CPU."""
    session = quiet_session(onnxruntime, content, ["CPUExecutionProvider"])
    chunks = [
        session.run(list(OUTPUTS), {INPUT: levels[start : start + _BATCH_SIZE]})
        for start in range(0, len(levels), _BATCH_SIZE)
    ]
    probabilities, logits = (np.concatenate([chunk[i] for chunk in chunks]) for i in range(2))
    return probabilities, logits
