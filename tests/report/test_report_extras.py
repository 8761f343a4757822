"""A search's section, published numbers, limited runs, the record index, and reports for Weights & Biases."""

from __future__ import annotations

import json
import socket
import sys
import threading
import types
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from nin_exp.errors import ConfigError
from nin_exp.records import cache
from nin_exp.records.best import scored_runs
from nin_exp.records.cache import CACHE_FILE, read_records
from nin_exp.records.index import list_runs
from nin_exp.records.record import Record
from nin_exp.records.search import Search
from nin_exp.records.study import Published, Study
from nin_exp.report.analysis import Analysis, analyse, summary_lines
from nin_exp.report.collect import load_study
from nin_exp.report.document import results_document
from nin_exp.report.markdown import markdown_summary
from nin_exp.report.page import render_page
from nin_exp.report.wandb_report import SPEC_FILE, publish, report_spec, wandb_target
from nin_exp.report.write import write_tables

Writer = Callable[..., Path]


def report(study_dir: Path) -> Analysis:
    return analyse(load_study(study_dir))


def test_a_search_shows_its_trials_at_an_equal_budget(study_writer: Writer, tmp_path: Path) -> None:
    folder = study_writer(tmp_path / "lr", blocks=("mnist",), seeds=5, compare=False)
    study = Study.read(folder)
    # Each seed of the fixture stands for a trial; fc has lost one of its five.
    jobs = [
        replace(
            job, arm=job.choices["head"], choices={"head": job.choices["head"], "optimizer.lr": f"0.{job.seed + 1}"}
        )
        for job in study.jobs
    ]
    replace(study, jobs=tuple(jobs)).write(folder)
    (folder / next(j.job_id for j in jobs if j.arm == "fc") / "record.json").unlink()
    arms = {arm: (("head", arm),) for arm in ("gap", "fc")}
    Search(("head",), arms, (), ("optimizer.lr=interval(0.1,0.5)",), (0,), ("val/acc",)).write(folder)
    found = report(folder)
    assert found.tuning is not None
    assert found.tuning.budget == 4
    by_arm = {one.arm: one for one in found.tuning.arms}
    scores = {
        arm: [r.record.metrics["val/acc"] for r in found.runs if r.job.arm == arm and r.record is not None]
        for arm in arms
    }
    for arm, values in scores.items():
        expected = fmean(max(subset) for subset in combinations(values, 4))
        assert found.tuning.at_budget[arm] == pytest.approx(expected)
        assert by_arm[arm].best == max(values)
    winner = max(range(5), key=lambda seed: scores["gap"][seed])
    assert by_arm["gap"].settings == {"head": "gap", "optimizer.lr": f"0.{winner + 1}"}
    page = render_page(found)
    assert "expected best of 4" in page
    assert "compare --tuned" in page
    assert "The arms have not done as many trials each" in page


def test_published_numbers_stand_beside_the_runs(study_writer: Writer, tmp_path: Path) -> None:
    folder = study_writer(tmp_path / "s", blocks=("mnist",), seeds=4)
    study = Study.read(folder)
    gap = tuple(job.job_id for job in study.jobs if job.arm == "gap")
    named = Published("gap", "mnist", "test/acc", 0.9953, "Lin et al. <2014>", ("head=fc",), gap)
    replace(study, published=(named,)).write(folder)
    found = report(folder)
    mean = fmean(Record.read(folder / job).metrics["test/acc"] for job in gap)
    page = render_page(found)
    assert "99.53" in page
    assert f"{100 * mean:.2f}" in page
    assert "Lin et al. &lt;2014&gt;" in page
    assert results_document(found)["published"][0]["value"] == 0.9953
    assert "Published numbers and the runs here" in markdown_summary(found)
    assert "Published numbers" not in render_page(report(study_writer(tmp_path / "t", seeds=2)))


def test_limited_runs_make_no_verdict(study_writer: Writer, tmp_path: Path) -> None:
    def some(record: Record) -> Record:
        return replace(record, flags=("limited",)) if record.seed < 2 else record

    found = report(study_writer(tmp_path / "some", blocks=("mnist",), edit=some))
    (contrast,) = found.contrasts
    assert contrast.outcome.effect is not None
    assert contrast.outcome.effect.n == 6
    assert contrast.count("limited") == 2
    (line, *_) = summary_lines(found)
    assert "2 pairs are left out: their runs saw a few batches only." in line
    every = study_writer(tmp_path / "all", blocks=("mnist",), edit=lambda r: replace(r, flags=("limited",)))
    found = report(every)
    assert found.contrasts[0].outcome.verdict.label == "none"
    assert "no pair of whole runs is complete" in summary_lines(found)[0]
    assert "It is no result, and makes no verdict." in render_page(found)


@pytest.fixture
def many(study_writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study that is large enough for an index."""
    monkeypatch.setattr(cache, "FEWEST_RUNS", 20)
    return study_writer(tmp_path / "runs" / "many", seeds=8, epochs=2)


def all_records(study_dir: Path) -> dict[str, Record]:
    return {path.parent.name: Record.read(path.parent) for path in study_dir.glob("*/record.json")}


def test_the_index_gives_the_records_of_the_run_directories(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [job.job_id for job in Study.read(many).jobs]
    first = read_records(many, names)
    assert (many / CACHE_FILE).is_file()
    with monkeypatch.context() as patch:
        patch.setattr(Record, "read", None)  # from here on nothing may be read but the index
        second = read_records(many, names)
        assert [run.record for run in list_runs(many.parent)] == [second[name].record for name in sorted(names)]
    assert {n: f.record for n, f in first.items()} == {n: f.record for n, f in second.items()} == all_records(many)
    one = second[names[0]].record
    assert one is not None
    assert type(one.flags) is tuple
    assert one.versions is second[names[1]].record.versions  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b"[1]", b'{"schema": 1', b"\xff\xfe", b'{"schema": 1, "record_schema": 1}']
)
def test_a_damaged_index_is_made_again(many: Path, damage: bytes) -> None:
    names = [job.job_id for job in Study.read(many).jobs]
    read_records(many, names)
    whole = (many / CACHE_FILE).read_bytes()
    (many / CACHE_FILE).write_bytes(damage)
    assert {n: f.record for n, f in read_records(many, names).items()} == all_records(many)
    assert (many / CACHE_FILE).read_bytes() == whole


def test_the_run_directories_are_the_truth(many: Path) -> None:
    names = [job.job_id for job in Study.read(many).jobs]
    read_records(many, names)
    changed, gone, broken = names[0], names[1], names[2]
    replace(Record.read(many / changed), metrics={"test/acc": 0.123456789}).write(many / changed)
    (many / gone / "record.json").unlink()
    (many / broken / "record.json").write_text("{")
    found = read_records(many, names)
    assert found[changed].record == Record.read(many / changed)
    assert gone not in found
    assert found[broken].record is None
    assert "must be a run's record" in (found[broken].problem or "")
    states = {run.job.job_id: run.state for run in load_study(many).runs}
    assert (states[changed], states[gone], states[broken]) == ("done", "unfinished", "unreadable")
    assert gone not in {run.run_dir.name for run in scored_runs(many, "test/acc")}


def test_a_folder_of_somebody_else_is_read_without_an_index(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str) -> None:
        raise cache.StorageError("read-only")

    monkeypatch.setattr(cache, "write_text", refuse)
    assert len(read_records(many, [job.job_id for job in Study.read(many).jobs])) == len(all_records(many))
    assert not (many / CACHE_FILE).exists()


def test_large_json_is_json(study_writer: Writer, tmp_path: Path) -> None:
    found = report(study_writer(tmp_path / "s", seeds=3))
    paths = write_tables(found, tmp_path / "report")
    text = paths.json.read_text()
    assert json.loads(text) == json.loads(json.dumps(results_document(found)))
    assert len(text.splitlines()) > len(found.contrasts) + len(found.cells)


def test_a_wandb_report_without_a_server_is_a_specification(
    study_writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = report(study_writer(tmp_path / "s", seeds=6))
    done = publish(found, wandb_target("team/nin_exp"), tmp_path / "report")
    assert not done.is_online
    assert "WANDB_MODE is offline" in done.sentence
    spec = json.loads((tmp_path / "report" / SPEC_FILE).read_text())
    assert (spec["entity"], spec["project"]) == ("team", "nin_exp")
    kinds = [block["type"] for block in spec["blocks"]]
    assert "curves" in kinds
    headings = [block["text"] for block in spec["blocks"] if block["type"] == "heading"]
    assert headings[:2] == ["Verdict", "How sure"]
    verdict = spec["blocks"][1]["text"]
    assert all(contrast.block in verdict for contrast in found.contrasts)
    monkeypatch.setattr("nin_exp.report.wandb_report.why_offline", lambda: None)
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    assert "pip install 'nin-exp[wandb-report]'" in publish(found, wandb_target("a/b"), tmp_path / "report").sentence


def test_a_wandb_report_is_built_from_its_specification(
    study_writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a stand-in with the package's names: ours is what the blocks say, in their order."""
    saved: list[Any] = []

    class Made:
        url = "https://wandb.example/report"

        def __init__(self, **values: Any) -> None:
            self.values = values

        def save(self, draft: bool) -> None:
            saved.append(self)

    names = ("Report", "H2", "MarkdownBlock", "PanelGrid", "Runset", "LinePlot")
    reports = types.ModuleType("wandb_workspaces.reports.v2")
    for name in names:
        setattr(reports, name, type(name, (Made,), {}))
    for name in ("wandb_workspaces", "wandb_workspaces.reports"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "wandb_workspaces.reports.v2", reports)
    sys.modules["wandb_workspaces.reports"].v2 = reports  # type: ignore[attr-defined]
    monkeypatch.setattr("nin_exp.report.wandb_report.why_offline", lambda: None)
    found = report(study_writer(tmp_path / "s", seeds=3))
    target = wandb_target("team/project")
    done = publish(found, target, tmp_path / "report")
    assert done.sentence == "W&B report: https://wandb.example/report"
    (made,) = saved
    texts = [block.values.get("text") for block in made.values["blocks"] if type(block).__name__ != "PanelGrid"]
    assert texts == [block["text"] for block in report_spec(found, target)["blocks"] if block["type"] != "curves"]
    (grid,) = [block for block in made.values["blocks"] if type(block).__name__ == "PanelGrid"]
    runs = grid.values["runsets"][0].values
    assert (runs["filters"], runs["groupby"]) == ("Group = 's'", ["JobType"])
    for panel in grid.values["panels"]:  # a mean and a band an arm
        assert (panel.values["groupby_aggfunc"], panel.values["groupby_rangefunc"]) == ("mean", "stddev")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the package itself
def test_the_report_is_what_wandb_workspaces_takes(
    study_writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own classes check every name and value; only the saving needs a server."""
    reports = pytest.importorskip("wandb_workspaces.reports.v2", reason="needs nin-exp[wandb-report]")
    saved: list[Any] = []
    monkeypatch.setattr("nin_exp.report.wandb_report.why_offline", lambda: None)
    monkeypatch.setattr(reports.Report, "save", lambda self, draft: saved.append(self))
    found = report(study_writer(tmp_path / "s", seeds=3))
    publish(found, wandb_target("team/project"), tmp_path / "report")
    (made,) = saved
    assert (made.entity, made.project) == ("team", "project")
    assert [type(block).__name__ for block in made.blocks].count("PanelGrid") == 1


@pytest.mark.parametrize("kind", ["refuses", "breaks"])
def test_a_server_that_is_not_there_leaves_the_specification(
    study_writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    found = report(study_writer(tmp_path / "s", seeds=3))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if kind == "refuses":
            server.close()
        else:

            def answer() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")

            threading.Thread(target=answer, daemon=True).start()
        monkeypatch.delenv("WANDB_MODE")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        done = publish(found, wandb_target("team/project"), tmp_path / "report")
    assert f"http://127.0.0.1:{port} does not answer" in done.reason
    assert json.loads((tmp_path / "report" / SPEC_FILE).read_text())["project"] == "project"


@pytest.mark.parametrize("text", ["project", "a/b/c", "/b", "a b/c", "a/"])
def test_a_target_has_an_entity_and_a_project(text: str) -> None:
    with pytest.raises(ConfigError, match="--wandb must be ENTITY/PROJECT"):
        wandb_target(text)


@pytest.mark.slow
def test_the_verb_writes_tables_and_joint_reports(nin_exp, study_writer: Writer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    one = study_writer(tmp_path / "runs" / "one", blocks=("mnist",), seeds=3)
    study_writer(tmp_path / "runs" / "two", blocks=("svhn",), seeds=3)
    for job in (tmp_path / "runs" / "two").glob("job*"):
        job.rename(job.with_name(f"b{job.name}"))
    study = Study.read(tmp_path / "runs" / "two")
    jobs = tuple(replace(job, job_id=f"b{job.job_id}") for job in study.jobs)
    replace(study, jobs=jobs).write(tmp_path / "runs" / "two")
    done = nin_exp("report", "one", "--tables", "--wandb", "team/project")
    assert done.returncode == 0, done.stderr
    assert (one / "report" / "results.csv").is_file()
    assert not (one / "report" / "index.html").exists()
    assert "wandb_report.json" in done.stdout
    done = nin_exp("report", "one", "two", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert Path(tmp_path, found["report"]).is_file()
    assert found["studies"] == ["runs/one", "runs/two"]
