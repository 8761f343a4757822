"""The model card beside an exported file (Mitchell et al. 2019, arXiv 1810.03993): what it is and is not for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from scipy import special

import nin_exp
from nin_exp.inference.export.formats import Exported, Format
from nin_exp.inference.text import printable
from nin_exp.records.redact import redact_text
from nin_exp.stats.intervals import Interval

if TYPE_CHECKING:
    from nin_exp.inference.run import TrainedRun

LICENCES = {
    "digits": "CC BY 4.0 (E. Alpaydin and C. Kaynak 1998, UCI Machine Learning Repository)",
    "placed_digits": "CC BY 4.0 (made of the digits of E. Alpaydin and C. Kaynak, UCI Machine Learning Repository)",
    "mnist": "no formal licence by its authors (Y. LeCun, C. Cortes, C. Burges); copies name CC BY-SA 3.0 or MIT",
    "fashion_mnist": "MIT (Zalando SE)",
    "cifar10": "no formal licence; its author asks to cite Krizhevsky 2009, Learning Multiple Layers of Features",
    "cifar100": "no formal licence; its author asks to cite Krizhevsky 2009, Learning Multiple Layers of Features",
    "svhn": "for non-commercial use only (Netzer et al. 2011)",
    "flowers": "CC BY 2.0, each photograph by its own author (TensorFlow's flower_photos; its LICENSE.txt names them)",
}
"""As the data sets' own pages and files have it, where they say anything."""
MAX_NAMES = 50

USE = {
    "onnx": """```python
import nin_exp

model = nin_exp.load_onnx("{name}")  # onnxruntime alone, no torch
print(model.predict("photo.png")[0].top(3))
```

From any other program: the input `images` is uint8, N x {height} x {width} x {channels}, levels 0-255, channels last
({colours}), not normalised; the outputs are `probabilities` and `logits`, float32, N x {classes}.""",
    "torch": """```python
import torch

model = torch.export.load("{name}").module()
probabilities, logits = model(images)  # uint8, N x {height} x {width} x {channels} ({colours}), not normalised
```""",
    "safetensors": """```python
from safetensors import safe_open

with safe_open("{name}", "np") as file:
    config, classes = file.metadata()["config"], file.metadata()["class_names"]
    weights = {{key: file.get_tensor(key) for key in file.keys()}}
```

The file holds weights alone: images are prepared by the caller, as `input` in the metadata says.""",
    "numpy": """```python
import json
import numpy as np

file = np.load("{name}")
facts = json.loads(str(file["__header__"]))  # config, class_names, input
weights = {{key: file[key] for key in file.files if key != "__header__"}}
```

The file holds weights alone: images are prepared by the caller, as `input` in the header says.""",
}


def model_card(run: TrainedRun, file: Path, kind: Format, exported: Exported) -> str:
    """The card as Markdown."""
    record = run.record
    parts = [
        f"# {_text(record.backbone)} with head {_text(record.head)}, trained on {_text(record.dataset)}",
        f"`{file.name}`, exported by nin-exp {nin_exp.__version__} from run `{record.job_id}`, {run.weights} weights.",
        "## Use",
        _use(run, file, kind),
        "## Intended use and limits",
        _limits(run),
        "## Data",
        _data(run),
        "## Metrics",
        _metrics(run),
        "## Network",
        _network(run, exported),
        "## Made with",
        _provenance(run),
    ]
    return "\n\n".join(parts) + "\n"


def wilson_interval(hits: int, total: int, confidence: float) -> Interval:
    """The score interval of a share (Wilson 1927); holds also near 0 and 1, where hits plus or minus 2 sd fails.

    Args:
        total: at least 1.
        confidence: in (0, 1).
    """
    z = float(special.ndtri(0.5 + confidence / 2))
    share, spread = hits / total, z**2 / total
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return Interval(max(0.0, centre - half), min(1.0, centre + half), confidence)


def _text(value: str) -> str:
    """A name from a configuration or a folder as it stands, not as Markdown."""
    return "".join(f"\\{c}" if c in "\\`*[]<>|#" else c for c in printable(value))


def _use(run: TrainedRun, file: Path, kind: Format) -> str:
    spec = run.input_spec.image_spec
    colours = {1: "grey", 3: "RGB"}.get(spec.channels, f"{spec.channels} channels")
    return USE[kind].format(
        name=file.name,
        height=spec.height,
        width=spec.width,
        channels=spec.channels,
        colours=colours,
        classes=len(run.class_names),
    )


def _limits(run: TrainedRun) -> str:
    spec = run.input_spec.image_spec
    lines = [
        f"- It sorts images into {len(run.class_names)} classes and knows no other: an image of something else gets "
        "one of these classes too, sometimes with a high probability.",
        f"- It was trained on {spec.width} x {spec.height} pixels; larger images are squashed to that size, bilinear "
        "and antialiased, which must be done as in training.",
        "- The numbers below hold for images like those of the data set. Other cameras, backgrounds or proportions "
        "of the classes were not measured.",
        "- One run with one seed: another seed gives other numbers (`nin-exp compare` measures by how much).",
        "- Nobody has checked it for fairness between groups of people, nor against deliberate deception.",
    ]
    lines += [f"- Found in training: {_text(flag)}." for flag in run.record.flags]
    return "\n".join(lines)


def _data(run: TrainedRun) -> str:
    data = run.record.data
    names = ", ".join(_text(name) for name in run.class_names[:MAX_NAMES])
    more = len(run.class_names) - MAX_NAMES
    rows = [
        f"- Data set: {_text(run.record.dataset)}, fingerprint `{data.get('fingerprint', 'unknown')}`",
        f"- Images: {data.get('num_train', '?')} for training, {data.get('num_val', '?')} for validation, "
        f"{data.get('num_test', '?')} for the test",
        f"- Classes ({len(run.class_names)}): {names}{f' and {more} more' if more > 0 else ''}",
        f"- Always naming the most frequent test class would be right in {data.get('chance', math.nan):.1%}",
        f"- Licence of the data: {LICENCES.get(run.record.dataset, 'not known to nin-exp; ask whoever made them')}",
    ]
    return "\n".join(rows)


def _metrics(run: TrainedRun) -> str:
    if run.weights != "selected":
        return f"None: these are the {run.weights} weights; the run's metrics are of the selected ones."
    metrics, data = run.record.metrics, run.record.data
    rows = ["| split | images | accuracy | 95 % interval | negative log-likelihood | calibration error |"]
    rows.append("|---|---|---|---|---|---|")
    for split in ("val", "test"):
        total = int(data.get(f"num_{split}", 0))
        if f"{split}/acc" not in metrics or total < 1:
            continue
        accuracy = metrics[f"{split}/acc"]
        interval = wilson_interval(round(accuracy * total), total, 0.95)
        rows.append(
            f"| {split} | {total:,} | {accuracy:.2%} | {interval.low:.2%} to {interval.high:.2%} | "
            f"{metrics.get(f'{split}/nll', math.nan):.4f} | {metrics.get(f'{split}/ece', math.nan):.4f} |"
        )
    rows += ["", "Wilson's interval: how far chance in the choice of the images alone may move the accuracy. The"]
    rows += ["weights were chosen by validation, so its number is flattered; the test split was read once, after that."]
    return "\n".join(rows)


def _network(run: TrainedRun, exported: Exported) -> str:
    record = run.record
    lines = [f"- Parameters: {record.params_total:,}, of which {record.params_head:,} in the head"]
    if record.macs is not None:
        lines.append(f"- Multiplications and additions an image: {record.macs:,}")
    if exported.agreement is None:
        lines.append("- The weights were read back from the file: equal bit by bit")
    else:
        agreement = exported.agreement
        lines.append(
            f"- Compared with the run on {agreement.images}: the same class for each, probabilities within "
            f"{agreement.max_probability_difference:.1e}"
        )
    if run.config.trainer.precision != "32":
        lines.append(f"- The run's metrics were measured in {run.config.trainer.precision}, the file is float32")
    return "\n".join(lines)


def _provenance(run: TrainedRun) -> str:
    record = run.record
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    commit = record.git.get("commit")
    state = "" if commit is None else f"\n- Commit: `{commit}`{' with changes' if record.git.get('dirty') else ''}"
    return (
        f"- Command: `{redact_text(record.command)}`\n- Seed: {record.seed}\n- Configuration: `{record.config_hash}`"
        f"{state}\n- Finished: {record.finished_at} on {record.device}\n- Versions: {versions}"
    )
