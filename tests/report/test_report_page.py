import base64
import copy
import hashlib
import importlib.resources
import json
import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import html5lib
import pytest

from nin_exp.report.page import plotly_js
from nin_exp.report.write import ReportPaths, build_report

Writer = Callable[..., Path]
OUR_SCRIPTS = 3  # the figures' data, plotly.js, and the page's own
INTERACTIVE = {
    "script",
    "iframe",
    "object",
    "embed",
    "form",
    "input",
    "link",
    "base",
    "img",
    "video",
    "svg",
    "math",
    "a",
}


def parse(html: str) -> ElementTree.Element:
    """Parse as a browser does, with a stand-in for plotly.js: its 1.5 MB take html5lib ten seconds."""
    assert html.count(plotly_js()) == 1
    html = html.replace(plotly_js(), "'plotly.js'")
    document: ElementTree.Element = html5lib.parse(html, treebuilder="etree", namespaceHTMLElements=False)
    return document


@cache
def text_of(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def section(document: ElementTree.Element, key: str) -> ElementTree.Element:
    return next(e for e in document.iter("section") if e.get("id") == key)


def section_ids(document: ElementTree.Element) -> list[str | None]:
    return [e.get("id") for e in document.iter("section")]


def figures(document: ElementTree.Element) -> dict[str, Any]:
    data = next(e for e in document.iter("script") if e.get("id") == "figure-data")
    loaded: dict[str, Any] = json.loads(data.text or "")
    return loaded


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)


def page(paths: ReportPaths) -> str:
    return paths.html.read_text(encoding="utf-8")


def assert_inert(html: str, num_links: int) -> None:
    """No script, handler, style, frame, form or address but our own."""
    document = parse(html)
    scripts = list(document.iter("script"))
    assert len(scripts) == OUR_SCRIPTS
    assert all(set(s.keys()) <= {"type", "id"} for s in scripts)
    assert len(list(document.iter("style"))) == 2
    assert {e.tag for e in document.iter() if isinstance(e.tag, str)} & INTERACTIVE == {"script", "a"}
    links = list(document.iter("a"))
    assert len(links) == num_links
    assert all((link.get("href") or "").startswith("#") for link in links)
    for element in document.iter():
        for name, value in element.items():
            assert not name.lower().startswith("on"), name
            assert name not in (
                "src",
                "srcdoc",
                "style",
                "action",
                "formaction",
                "xlink:href",
                "background",
                "autofocus",
            )
            assert "javascript:" not in value.lower() or name in ("aria-label", "data-sort")
    (refresh,) = [m for m in document.iter("meta") if m.get("http-equiv")]
    assert refresh.get("http-equiv") == "Content-Security-Policy"


def test_payloads_stay_text(poisoned_study: Path, payload: str) -> None:
    html = page(build_report(poisoned_study))
    document = parse(html)
    assert_inert(html, num_links=1 + len(section_ids(document)))
    shown = (
        payload.replace("\u2028", "\\u2028")
        .replace("\u202e", "\\u202e")
        .replace("\x00", "\\x00")
        .replace("\x1b", "\\x1b")
    )
    assert " ".join(shown.split()) in text_of(section(document, "verdict"))
    assert " ".join(shown.split()) in text_of(section(document, "problems"))
    for string in strings(figures(document)):
        assert "<" not in string.replace("<b>", "").replace("</b>", ""), string


def test_every_page_of_a_clean_study_is_inert(study_writer: Writer, tmp_path: Path) -> None:
    html = page(build_report(study_writer(tmp_path / "s", seeds=2)))
    assert_inert(html, num_links=1 + len(section_ids(parse(html))))


def test_policy_lets_only_our_scripts_run(study_writer: Writer, tmp_path: Path) -> None:
    html = page(build_report(study_writer(tmp_path / "s", seeds=2)))
    document = parse(html)
    meta = next(m for m in document.iter("meta") if m.get("http-equiv") == "Content-Security-Policy")
    policy = dict(part.split(" ", 1) for part in (meta.get("content") or "").split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "data: blob:"
    assert "script-src" in policy
    assert "unsafe-inline" not in policy["script-src"] + policy["style-src-elem"]
    assert "unsafe-eval" not in policy["script-src"]
    for tag, directive in (("script", "script-src"), ("style", "style-src-elem")):
        for element in document.iter(tag):
            if element.get("type") == "application/json":
                continue
            text = plotly_js() if element.text == "'plotly.js'" else element.text or ""
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in policy[directive].split()


def test_top_of_the_page(study_writer: Writer, tmp_path: Path) -> None:
    document = parse(page(build_report(study_writer(tmp_path / "s"))))
    top = text_of(section(document, "verdict"))
    assert "Does fc differ from gap (baseline) in test accuracy?" in top
    assert re.search(r"On mnist, fc is worse than gap by \d\.\d+ points\.", top)
    assert "8 paired seeds" in top
    assert "How sure, and what would make it surer" in top
    assert len(list(document.iter("h1"))) == 1


def test_accessible_structure(study_writer: Writer, tmp_path: Path) -> None:
    document = parse(page(build_report(study_writer(tmp_path / "s", arms=("gap", "fc", "fc_dropout"), seeds=3))))
    assert document.get("lang") == "en"
    for tag in ("header", "nav", "main", "footer"):
        assert len(list(document.iter(tag))) == 1
    ids = [e.get("id") for e in document.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    for element in document.iter():
        label = element.get("aria-labelledby")
        assert label is None or label in ids
    for link in document.iter("a"):
        assert (link.get("href") or "")[1:] in ids
    for table in document.iter("table"):
        assert table[0].tag == "caption"
        assert all(th.get("scope") in ("col", "row") for th in table.iter("th"))
    plots = [e for e in document.iter("div") if e.get("class") == "plot"]
    assert len(plots) == len(figures(document)) > 5
    assert all(len(plot.get("aria-label") or "") > 40 and plot.get("role") == "img" for plot in plots)
    levels = [int(e.tag[1]) for e in document.iter() if isinstance(e.tag, str) and re.fullmatch("h[1-6]", e.tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_one_seed_prints_no_spread(study_writer: Writer, tmp_path: Path) -> None:
    document = parse(page(build_report(study_writer(tmp_path / "s", seeds=1))))
    table = next(section(document, "accuracy").iter("table"))
    assert "±" not in text_of(table)
    assert "n = 1" in text_of(table)
    assert list(table.iter("strong")) == []
    assert "seeds" not in section_ids(document)


def test_best_is_bold_only_when_supported(study_writer: Writer, tmp_path: Path) -> None:
    def bold(**settings: Any) -> tuple[list[str], str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        document = parse(page(build_report(study_writer(folder, blocks=("mnist",), **settings))))
        table = next(section(document, "accuracy").iter("table"))
        return [text_of(e) for e in table.iter("strong")], text_of(table)

    strong, _ = bold(gains={"fc": -0.02})
    assert len(strong) == 1
    strong, text = bold(gains={"fc": -0.0021})
    assert strong == []
    assert "highest" in text


def test_plain_study_has_no_verdicts(study_writer: Writer, tmp_path: Path) -> None:
    document = parse(page(build_report(study_writer(tmp_path / "s", compare=False, seeds=2))))
    ids = section_ids(document)
    assert not {"verdict", "differences", "all_pairs"} & set(ids)
    assert {"accuracy", "curves", "all_runs", "methods", "provenance"} <= set(ids)
    assert len(list(next(section(document, "all_runs").iter("tbody")))) == 8
    assert len(list(document.iter("h1"))) == 1


def test_empty_plan_and_nothing_run(study_writer: Writer, tmp_path: Path) -> None:
    document = parse(page(build_report(study_writer(tmp_path / "s", seeds=2, edit=lambda record: None))))
    assert "8 planned runs: 8 not started" in text_of(document)
    assert len(list(next(section(document, "problems").iter("tbody")))) == 8
    empty = parse(page(build_report(study_writer(tmp_path / "t", arms=("gap",), blocks=(), seeds=1, compare=False))))
    assert "0 planned runs: none" in text_of(empty)


def test_secrets_stay_out(study_writer: Writer, tmp_path: Path) -> None:
    from dataclasses import replace

    study_dir = study_writer(
        tmp_path / "s",
        blocks=("mnist",),
        seeds=2,
        edit=lambda r: replace(
            r, status="failed", error="api_key=hunter2 refused", git={"remote": "https://u:hunter2@h/x"}
        ),
    )
    for config in study_dir.glob("job*/config.yaml"):
        config.write_text("logger2:\n  api_key: hunter2\nurl: https://me:hunter2@host\n")
    paths = build_report(study_dir)
    for path in (paths.html, paths.json, paths.csv, paths.tex):
        assert b"hunter2" not in path.read_bytes()


def painted(node: Any, key: str = "") -> Any:
    """Colours are tokens that the page's script resolves."""
    if isinstance(node, str):
        return "#123456" if key.endswith("color") and node.startswith("--") else node
    if isinstance(node, list):
        return [painted(value, key) for value in node]
    return {k: painted(v, k) for k, v in node.items()} if isinstance(node, dict) else node


def test_figures_fit_plotlys_schema(study_writer: Writer, tmp_path: Path) -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    document = parse(page(build_report(study_writer(tmp_path / "s", arms=("gap", "fc", "fc_dropout"), seeds=3))))
    found = figures(document)
    assert {"differences", "seeds-0", "curve-0-val-acc", "curve-1-train-loss", "tradeoff-0"} <= set(found)
    for figure in found.values():
        valid = painted(copy.deepcopy(figure))
        graph_objects.Figure(data=valid["data"], layout=valid["layout"])


def test_figure_of_the_verdict_holds_the_numbers(study_writer: Writer, tmp_path: Path) -> None:
    paths = build_report(study_writer(tmp_path / "s"))
    contrasts = json.loads(paths.json.read_text())["contrasts"]
    data = figures(parse(page(paths)))["differences"]["data"]
    seeds, widened, plain, means = data
    assert len(seeds["x"]) == 16
    assert means["x"] == pytest.approx([100 * c["effect"]["mean"] for c in contrasts], rel=1e-5)
    for trace, key in ((plain, "interval"), (widened, "widened")):
        ends = [end for c in contrasts for end in (100 * c["effect"][key]["low"], 100 * c["effect"][key]["high"])]
        assert [x for x in trace["x"] if x is not None] == pytest.approx(ends, rel=1e-5)


def test_same_runs_same_bytes(study_writer: Writer, tmp_path: Path) -> None:
    study_dir = study_writer(tmp_path / "s", seeds=3)
    first = build_report(study_dir)
    before = [path.read_bytes() for path in (first.html, first.json, first.csv, first.tex)]
    again = build_report(study_dir)
    assert before == [path.read_bytes() for path in (again.html, again.json, again.csv, again.tex)]
    assert list((study_dir / "report").glob(".*")) == []


def test_the_bundle_is_the_one_that_its_readme_names() -> None:
    vendor = importlib.resources.files("nin_exp.report") / "vendor"
    readme, licence = ((vendor / name).read_text(encoding="utf-8") for name in ("README.md", "LICENSE-plotly.txt"))
    assert hashlib.sha256(plotly_js().encode()).hexdigest() in readme
    version = re.search(r"plotly\.js \(cartesian - minified\) v(\S+)", plotly_js())
    assert version is not None
    assert f"`{version[1]}`" in readme
    assert licence.startswith("MIT License")


def test_hundred_runs_in_six_megabytes_and_seconds(study_writer: Writer, tmp_path: Path) -> None:
    arms = ("gap", "fc", "fc_dropout", "gmp_linear")
    blocks = ("mnist", "cifar10", "svhn", "cifar100", "placed_digits, optimizer=adam")
    study_dir = study_writer(tmp_path / "s", arms=arms, blocks=blocks, seeds=5, epochs=200)
    start = time.perf_counter()
    paths = build_report(study_dir)
    assert time.perf_counter() - start < 15  # about one second alone on a core
    assert paths.html.stat().st_size <= 6_000_000
