"""What a report makes of predictions, class maps, panels and measures of changed images."""

import base64
import io
import json
import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pytest
from PIL import Image
from scipy import stats as scipy_stats

from nin_exp.records.record import Record
from nin_exp.records.study import Study
from nin_exp.report.analysis import Analysis, analyse
from nin_exp.report.collect import load_study
from nin_exp.report.gallery import find_disagreements, find_map_rows
from nin_exp.report.page import plotly_js
from nin_exp.report.panels import read_class_maps
from nin_exp.report.pictures import evidence, overlay_picture
from nin_exp.report.predictions import read_predictions
from nin_exp.report.write import build_report, write_report, write_tables

Writer = Callable[..., Path]


def analysis_of(study_dir: Path) -> Analysis:
    return analyse(load_study(study_dir))


def page_of(html: Path) -> ElementTree.Element:
    text = html.read_text(encoding="utf-8").replace(plotly_js(), "'plotly.js'")
    document: ElementTree.Element = html5lib.parse(text, treebuilder="etree", namespaceHTMLElements=False)
    return document


def sections(document: ElementTree.Element) -> dict[str, ElementTree.Element]:
    return {str(e.get("id")): e for e in document.iter("section")}


def text_of(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def test_predictions_are_read_as_softmax_says(tmp_path: Path) -> None:
    logits = np.array([[2.0, 0.0, -1.0], [0.5, 3.0, 0.0]], dtype=np.float32)
    np.savez(tmp_path / "predictions.npz", test_logits=logits, test_labels=np.array([0, 2]))
    found = read_predictions(tmp_path, "test")
    assert found is not None
    assert found.predicted.tolist() == [0, 1]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert found.confidence == pytest.approx(shares.max(axis=1))
    assert read_predictions(tmp_path, "val") is None


def damaged(path: Path, kind: str) -> None:
    good, labels = np.zeros((4, 3), dtype=np.float32), np.array([0, 1, 2, 0])
    arrays: dict[str, Any] = {
        "nan": {"test_logits": np.full((4, 3), np.nan), "test_labels": labels},
        "shape": {"test_logits": good, "test_labels": labels[:3]},
        "label": {"test_logits": good, "test_labels": np.array([0, 1, 2, 3])},
        "negative": {"test_logits": good, "test_labels": np.array([0, 1, 2, -1])},
        "text": {"test_logits": good.astype(str), "test_labels": labels},
        "object": {"test_logits": np.array([{}, {}], dtype=object), "test_labels": labels},
    }
    if kind == "cut":
        np.savez(path, test_logits=good, test_labels=labels)
        path.write_bytes(path.read_bytes()[:-80])
    elif kind == "bomb":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("test_logits.npy", "w") as file:
            for _ in range(1100):
                file.write(bytes(1 << 20))
    elif kind == "noise":
        path.write_bytes(b"not an archive")
    else:
        np.savez(path, **arrays[kind])


@pytest.mark.parametrize("kind", ["nan", "shape", "label", "negative", "text", "object", "cut", "noise"])
def test_damaged_predictions_are_left_out(tmp_path: Path, kind: str) -> None:
    damaged(tmp_path / "predictions.npz", kind)
    assert read_predictions(tmp_path, "test") is None


@pytest.mark.slow
def test_an_archive_that_unpacks_to_a_gigabyte_is_left_out(tmp_path: Path) -> None:
    damaged(tmp_path / "predictions.npz", "bomb")
    assert read_predictions(tmp_path, "test") is None


def test_two_sources_and_mcnemar_are_those_of_the_files(example_writer: Writer, tmp_path: Path) -> None:
    study_dir = example_writer(tmp_path / "s", blocks=("mnist",), seeds=4)
    (found,) = json.loads(build_report(study_dir).json.read_text())["test_examples"]
    hits: dict[str, list[np.ndarray]] = {"gap": [], "fc": []}
    for job in sorted(Study.read(study_dir).jobs, key=lambda job: job.seed):
        with np.load(study_dir / job.job_id / "predictions.npz") as arrays:
            hits[job.arm].append(arrays["test_logits"].argmax(1) == arrays["test_labels"])
    fc, gap = (np.array(hits[arm]).astype(int) for arm in ("fc", "gap"))
    difference = fc - gap
    assert found["sources"]["mean"] == pytest.approx(difference.mean())
    interval = scipy_stats.ttest_1samp(difference.mean(axis=1), 0).confidence_interval(0.95)
    assert found["sources"]["seeds"]["low"] == pytest.approx(interval.low)
    assert found["sources"]["se_examples"] == pytest.approx(scipy_stats.sem(difference.mean(axis=0)))
    for test, a, b in zip(found["mcnemar"], fc, gap, strict=True):
        only_a, only_b = int((a & (1 - b)).sum()), int(((1 - a) & b).sum())
        assert (test["only_arm"], test["only_baseline"]) == (only_a, only_b)
        assert test["p"] == pytest.approx(scipy_stats.binomtest(only_a, only_a + only_b).pvalue)


def test_runs_with_other_examples_are_not_compared(example_writer: Writer, tmp_path: Path) -> None:
    study_dir = example_writer(tmp_path / "s", blocks=("mnist",), seeds=3)
    odd = study_dir / Study.read(study_dir).jobs[-1].job_id / "predictions.npz"
    with np.load(odd) as arrays:
        np.savez(odd, test_logits=arrays["test_logits"], test_labels=np.roll(arrays["test_labels"], 1))
    examples = analysis_of(study_dir).by_example
    assert [contrast.seeds for contrast in examples.contrasts] == [(0, 1)]


def test_all_sections_are_there(example_writer: Writer, tmp_path: Path) -> None:
    paths = build_report(example_writer(tmp_path / "s", arms=("gap", "fc", "fc_dropout"), seeds=6))
    found = sections(page_of(paths.html))
    names = {"across", "test_examples", "disagreements", "class_maps", "classes", "calibration", "robustness"}
    assert names <= set(found)
    assert "fc_dropout" in text_of(found["across"])
    assert "Friedman" in text_of(found["across"])
    assert "fc against gap on mnist" in text_of(found["disagreements"])
    assert "gap right more often than fc" in text_of(found["disagreements"])
    assert "contrast 5" in text_of(found["robustness"])
    assert "30.0" in text_of(found["robustness"])
    pictures = list(page_of(paths.html).iter("img"))
    assert len(pictures) > 20
    for picture in pictures:
        assert picture.get("alt")
        kind, _, data = str(picture.get("src")).partition(";base64,")
        image = Image.open(io.BytesIO(base64.b64decode(data)))
        assert kind == f"data:image/{(image.format or '').lower()}"
        assert (image.width, image.height) == (int(picture.get("width", 0)), int(picture.get("height", 0)))


def test_without_files_there_are_no_such_sections(study_writer: Writer, tmp_path: Path) -> None:
    found = sections(page_of(build_report(study_writer(tmp_path / "s", blocks=("mnist",), seeds=3)).html))
    for name in ("across", "test_examples", "disagreements", "class_maps", "classes", "calibration", "robustness"):
        assert name not in found


def test_disagreements_are_the_known_images(example_writer: Writer, tmp_path: Path) -> None:
    analysis = analysis_of(example_writer(tmp_path / "s", blocks=("mnist",), seeds=5))
    (contrast,) = analysis.by_example.contrasts
    for_fc, for_gap = find_disagreements(contrast)
    assert {image.index % 10 for image in for_gap} == {5}  # where fc errs and gap does not
    for image in for_gap:
        gap, fc = image.answers
        assert (gap.arm, gap.is_right, fc.is_right) == ("gap", True, False)
        assert gap.num_right > fc.num_right
        assert gap.name == image.true_name == f"class {image.index % 3}"
        assert fc.name == f"class {(image.index + 1) % 3}"
        assert fc.picture is not None
    assert all(image.answers[1].num_right > image.answers[0].num_right for image in for_fc)


def test_class_maps_of_every_class_and_the_panel_must_fit(example_writer: Writer, tmp_path: Path) -> None:
    study_dir = example_writer(tmp_path / "s", blocks=("mnist",), seeds=2)
    analysis = analysis_of(study_dir)
    rows = find_map_rows(list(analysis.by_example.cells), 3)
    assert [row.true_name for row in rows] == ["class 0", "class 1", "class 2"]
    assert rows[0].strips[0][1].width == 3 * 36
    for panel in (study_dir / "panels").iterdir():
        with np.load(panel) as arrays:
            np.savez(panel, images=arrays["images"], indices=arrays["indices"], labels=arrays["labels"] + 1)
    assert find_map_rows(list(analysis_of(study_dir).by_example.cells), 3) == []


def test_class_maps_by_position(tmp_path: Path) -> None:
    maps = np.arange(2 * 3 * 1 * 1, dtype=np.float16).reshape(2, 3, 1, 1)
    np.savez(tmp_path / "class_maps.npz", indices=np.array([7, 4]), maps=maps, labels=np.array([0, 1]))
    found = read_class_maps(tmp_path, np.array([4, 7]))
    assert found is not None
    assert found.ravel().tolist() == [3, 4, 5, 0, 1, 2]
    assert read_class_maps(tmp_path, np.array([5])) is None


def test_overlay_is_strong_where_the_map_is() -> None:
    image = np.full((16, 16, 3), 100, dtype=np.uint8)
    class_map = np.zeros((4, 4), dtype=np.float32)
    class_map[0, 0] = 5
    picture = overlay_picture(image, class_map, "x")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2]))).convert("RGB"))
    assert pixels[2, 2, 0] > 180 > 120 > pixels[-3, -3, 0]
    assert evidence(np.array([-1.0, -2.0], dtype=np.float32)).tolist() == [0, 0]


def test_damaged_measures_are_left_out(example_writer: Writer, tmp_path: Path) -> None:
    study_dir = example_writer(tmp_path / "s", blocks=("mnist",), seeds=2)
    for number, run_dir in enumerate(sorted(study_dir.glob("job*"))):
        content = ["{", "[1]", '{"shift": 3, "corruptions": {"x": {"severity": "a", "acc": [1]}}}', '{"shift": null}']
        (run_dir / "evaluation.json").write_text(content[number])
    assert "robustness" not in sections(page_of(build_report(study_dir).html))


def test_names_from_files_stay_text(example_writer: Writer, tmp_path: Path) -> None:
    study_dir = example_writer(tmp_path / "s", blocks=("mnist",), seeds=2)
    attack = '"><script>window.hit=1</script>'
    for run_dir in study_dir.glob("job*"):
        record = Record.read(run_dir)
        replace(record, data={**record.data, "class_names": [attack] * 3}).write(run_dir)
        content = json.loads((run_dir / "evaluation.json").read_text())
        content["corruptions"] = {attack: {"severity": [1], "acc": [0.5]}}
        (run_dir / "evaluation.json").write_text(json.dumps(content))
    document = page_of(build_report(study_dir).html)
    assert len(list(document.iter("script"))) == 3
    assert attack in " ".join(str(e.get("alt")) for e in document.iter("img"))


def test_many_runs_are_read_up_to_a_limit(
    example_writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nin_exp.report.examples.MOST_RUNS", 3)
    examples = analysis_of(example_writer(tmp_path / "s", blocks=("mnist",), seeds=2)).by_example
    assert [len(cell.runs) for cell in examples.cells] == [2, 1]
    assert examples.num_left_out == 1


def test_summary_in_markdown(study_writer: Writer, tmp_path: Path) -> None:
    text = build_report(study_writer(tmp_path / "s", arms=("gap", "fc_x"), gains={"fc_x": -0.02})).markdown.read_text()
    assert text.startswith("# Does fc\\_x differ from gap (baseline) in test accuracy?\n")
    assert "On mnist, fc\\_x is worse than gap by" in text
    assert re.search(r"^\| fc\\_x \| 9\d\.\d\d ± 0\.\d\d \(n = 8\) \|", text, re.MULTILINE)
    assert "## Methods" in text


def test_a_ready_analysis_is_written_without_reading_again(study_writer: Writer, tmp_path: Path) -> None:
    study_dir = study_writer(tmp_path / "s", blocks=("mnist",), seeds=3)
    analysis = analysis_of(study_dir)
    expected = build_report(study_dir)
    assert [run.curve is not None for run in analysis.runs] == [True] * 6
    for record in study_dir.glob("job*/record.json"):
        record.unlink()
    paths = write_report(analysis, tmp_path / "elsewhere")
    assert paths.json.read_bytes() == expected.json.read_bytes()
    assert paths.html.read_bytes() == expected.html.read_bytes()
    tables = write_tables(analysis, tmp_path / "tables")
    assert not tables.html.exists()
    assert tables.csv.read_bytes() == expected.csv.read_bytes()


def test_configurations_that_differ_in_seeds_are_told_apart(study_writer: Writer, tmp_path: Path) -> None:
    analysis = analysis_of(study_writer(tmp_path / "s", blocks=("mnist",), seeds=3))
    assert [variant.value for variant in analysis.provenance.varied["seed"]] == ["0", "1", "2"]
    assert analysis.provenance.fixed["optimizer.lr"] == "0.1"


def test_a_hundred_runs_with_pictures_stay_small(example_writer: Writer, tmp_path: Path) -> None:
    arms, blocks = ("gap", "fc", "fc_dropout", "gmp_linear"), ("mnist", "cifar10", "svhn", "cifar100", "digits")
    html = build_report(example_writer(tmp_path / "s", arms=arms, blocks=blocks, seeds=5, epochs=100)).html
    assert html.stat().st_size <= 6_000_000
