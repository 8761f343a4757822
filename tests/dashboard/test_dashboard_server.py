"""The dashboard over HTTP: what it serves, to whom, and what it refuses."""

import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from nin_exp.dashboard.live import LiveStudy
from nin_exp.dashboard.run_classes import read_classes, read_confusion
from nin_exp.dashboard.run_pictures import panel_pictures
from nin_exp.dashboard.run_view import config_difference, read_log
from nin_exp.dashboard.server import DashboardServer
from nin_exp.errors import ConfigError, StorageError
from nin_exp.records.files import write_json
from nin_exp.records.processes import PROCESS_FILE, RUNNING_DIR, this_process
from nin_exp.report.analysis import Analysis
from nin_exp.report.collect import StudyResults

Finish = Callable[[Path, str], None]
Get = Callable[..., tuple[int, dict[str, str], str]]


@pytest.fixture
def server(study_dir: Path, serve: Any) -> Iterator[DashboardServer]:
    with serve({"heads": study_dir}) as running:
        yield running


@pytest.fixture
def get(server: DashboardServer) -> Get:
    def ask(path: str, method: str = "GET", host: str | None = None) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{server.server_port}")
        connection.endheaders()
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read().decode()
        connection.close()
        return found

    return ask


def state_of(get: Get) -> dict[str, Any]:
    status, _, body = get("/study/heads/state.json")
    assert status == 200
    found: dict[str, Any] = json.loads(body)
    return found


def test_state_says_how_far_the_plan_is(get: Get) -> None:
    state = state_of(get)
    counts = {key: number for key, _, number in state["states"]}
    assert counts == {"done": 8, "running": 3, "not_started": 1}
    assert state["total"] == 12
    assert len(state["verdicts"]) == 2
    assert "fc" in state["verdicts"][0]["statement"]
    by_id = {run["job_id"]: run for run in state["runs"]}
    assert (by_id["mnistgap0"]["score"], state["metric"]) == ("90.00", "test accuracy, %")
    assert (by_id["mnistgap2"]["epoch"], by_id["mnistgap2"]["score"]) == (5, None)
    assert by_id["svhnfc2"]["state"] == "not_started"
    assert [run["job_id"] for run in state["running"]] == ["mnistgap2", "mnistfc2", "svhngap2"]
    (line,) = state["running"][0]["chart"]["lines"]
    assert line["label"] == "validation"
    points = line["points"]
    assert points[0] == [1, pytest.approx(39.8)]
    assert len(points) == 5


def test_running_killed_and_stopped_runs_are_told_apart(get: Get, study_dir: Path) -> None:
    before = state_of(get)
    process = this_process()
    gone = replace(process, started="another boot/1")
    write_json(study_dir / "mnistgap2" / PROCESS_FILE, asdict(gone))
    (study_dir / "mnistfc2" / PROCESS_FILE).unlink()
    write_json(study_dir / "svhngap2" / PROCESS_FILE, asdict(replace(process, host="far")))
    after = state_of(get)
    assert after["token"] != before["token"]
    names = {run["job_id"]: (run["state"], run["state_name"]) for run in after["runs"]}
    assert names["mnistgap2"] == ("killed", "killed, can go on")
    assert names["mnistfc2"] == ("stopped", "stopped, can go on")
    assert names["svhngap2"] == ("elsewhere", "on another machine")
    assert [run["job_id"] for run in after["running"]] == ["svhngap2"]
    assert "killed, can go on" in get("/study/heads/run/mnistgap2")[2]
    # A run inside its plan's own process holds a lock, and has no file of its own.
    (study_dir / "mnistfc2" / ".lock").touch()
    assert {run["job_id"]: run["state"] for run in state_of(get)["runs"]}["mnistfc2"] == "killed"
    write_json(study_dir / RUNNING_DIR / "here.json", asdict(process))
    assert {run["job_id"]: run["state"] for run in state_of(get)["runs"]}["mnistfc2"] == "running"


def test_state_changes_when_a_run_finishes(get: Get, study_dir: Path, finish: Finish) -> None:
    before = state_of(get)
    assert state_of(get)["token"] == before["token"]
    finish(study_dir, "mnistgap2")
    after = state_of(get)
    assert after["token"] != before["token"]
    assert {key: number for key, _, number in after["states"]}["done"] == 9


def test_a_page_that_is_up_to_date_is_told_so_in_short(get: Get, study_dir: Path, finish: Finish) -> None:
    state = state_of(get)
    tokens = {key: state[key] for key in ("token", "results_token")}
    for query in (f"token={state['token']}", f"results={state['results_token']}"):
        assert json.loads(get(f"/study/heads/state.json?{query}")[2]) == tokens
    assert "runs" in json.loads(get("/study/heads/state.json?token=other")[2])
    # An epoch changes what is live, and not the results.
    with (study_dir / "mnistgap2" / "metrics.csv").open("a") as file:
        file.write("6,0.1,0.9\n")
    assert "runs" in json.loads(get(f"/study/heads/state.json?token={state['token']}")[2])
    assert "runs" not in json.loads(get(f"/study/heads/state.json?results={state['results_token']}")[2])
    finish(study_dir, "mnistgap2")
    assert "runs" in json.loads(get(f"/study/heads/state.json?results={state['results_token']}")[2])


def test_slow_studies_are_seldom_looked_at(study_dir: Path, finish: Finish, monkeypatch: pytest.MonkeyPatch) -> None:
    from nin_exp.dashboard import live

    now = 100.0
    monkeypatch.setattr(live.time, "monotonic", lambda: now)
    analyse = live.analyse

    def slowly(results: StudyResults) -> Analysis:
        nonlocal now
        now += 2
        return analyse(results)

    monkeypatch.setattr(live, "analyse", slowly)
    study = LiveStudy(study_dir)
    first = study.look()
    finish(study_dir, "mnistgap2")
    now += 17
    assert study.look() is first
    now += 2
    assert study.look().token != first.token


def test_only_changed_runs_are_read_again(study_dir: Path, finish: Finish, monkeypatch: pytest.MonkeyPatch) -> None:
    from nin_exp.dashboard import live

    read: list[str] = []
    load = live.load_run
    monkeypatch.setattr(live, "load_run", lambda folder, job: read.append(job.job_id) or load(folder, job))
    study = LiveStudy(study_dir)
    study.look()
    assert len(read) == 12
    study.look()
    finish(study_dir, "svhnfc2")
    study.look()
    assert read[12:] == ["svhnfc2"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", "", "127.0.0.1:{port}:80"]
)
def test_other_hosts_are_refused(get: Get, server: DashboardServer, host: str) -> None:
    name = host.format(port=server.server_port) or " "
    for path in ("/", "/study/heads/state.json", "/study/heads/report"):
        status, _, body = get(path, host=name)
        assert status in (400, 421)
        assert "heads" not in body


def test_our_own_names_are_served(get: Get, server: DashboardServer) -> None:
    for name in ("127.0.0.1", "localhost", "[::1]"):
        assert get("/", host=f"{name}:{server.server_port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(get: Get, method: str) -> None:
    assert get("/study/heads/state.json", method=method)[0] == 501


@pytest.mark.parametrize("path", ["/", "/study/heads", "/study/heads/run/mnistgap0", "/study/heads/report"])
def test_scripts_run_by_a_fresh_nonce_only(get: Get, path: str) -> None:
    nonces = set()
    for _ in range(2):
        status, headers, body = get(path)
        assert status == 200
        policy = headers["Content-Security-Policy"]
        (nonce,) = set(re.findall(r"'nonce-([\w-]+)'", policy))
        nonces.add(nonce)
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        tags = re.findall(r"<(?:script|style)[^>]*>", body)
        assert tags
        assert all(f'nonce="{nonce}"' in tag for tag in tags)
        assert " style=" not in body
        assert " on" not in "".join(re.findall(r"<body[^>]*>", body))
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert len(nonces) == 2


@pytest.mark.parametrize(
    "path",
    [
        "/x",
        "/study/heads/report/other",
        "/study/heads/report/page/more",
        "/study",
        "/study/other",
        "/study/heads/run",
        "/study/heads/run/../../../etc/passwd",
        "/study/heads/run/%2e%2e%2fstudy.json",
        "/study/heads/study.json",
        "/study/heads/run/mnistgap0/config.yaml",
        "/study/..%2f/state.json",
    ],
)
def test_files_cannot_be_asked_for(get: Get, path: str) -> None:
    status, _, body = get(path)
    assert (status, body) == (404, "there is no such page\n")


def test_run_page(get: Get) -> None:
    status, _, body = get("/study/heads/run/mnistfc0")
    assert status == 200
    assert "line of mnistfc0" in body
    assert "hunter2" not in body
    assert "\x1b" not in body
    assert "<script>window.hit" not in body
    assert "&lt;b&gt;dog" in body
    assert "head.name" in body
    assert "runs_dir" not in body
    assert "/study/heads/run/mnistgap0" in body


def test_report_page_is_the_report(get: Get, study_dir: Path) -> None:
    from nin_exp.report.write import build_report

    status, headers, body = get("/study/heads/report/page")
    assert status == 200
    assert headers["Content-Security-Policy"] == "frame-ancestors 'self'"
    assert 'src="/study/heads/report/page"' in get("/study/heads/report")[2]
    assert body == build_report(study_dir).html.read_text(encoding="utf-8")


def test_head_has_no_body(get: Get) -> None:
    status, headers, body = get("/study/heads", method="HEAD")
    assert (status, body) == (200, "")
    assert int(headers["Content-Length"]) > 1000


def test_several_studies_stand_side_by_side(study_dir: Path, serve: Any, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "study.json").write_text("{")
    with serve({"<b>": study_dir, "damaged": damaged}) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.server_port, timeout=30)
        bodies = {}
        for path in ("/", "/studies.json", "/study/%3Cb%3E"):
            connection.request("GET", path)
            bodies[path] = connection.getresponse().read().decode()
        connection.close()
    assert "&lt;b&gt;" in bodies["/"]
    assert "<b>" not in bodies["/"]
    whole, broken = json.loads(bodies["/studies.json"])["studies"]
    assert (whole["key"], whole["state"]["total"], len(whole["state"]["verdicts"])) == ("<b>", 12, 2)
    assert broken["state"] is None
    assert "study.json" in broken["problem"]
    assert '<a href="/">Studies</a>' in bodies["/study/%3Cb%3E"]


def test_damaged_study_is_said(get: Get, study_dir: Path) -> None:
    (study_dir / "study.json").write_text("{")
    status, _, body = get("/study/heads/state.json")
    assert status == 500
    assert "study.json" in body


def test_other_interfaces_and_taken_ports_are_refused(study_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be 127.0.0.1 or localhost, got '0.0.0.0'"):
        DashboardServer({"heads": study_dir}, "0.0.0.0", 0)
    with pytest.raises(ConfigError, match="needs at least one study"):
        DashboardServer({}, "127.0.0.1", 0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StorageError, match=f"port {port} on 127.0.0.1 cannot be used"):
            DashboardServer({"heads": study_dir}, "127.0.0.1", port)
    with pytest.raises(StorageError, match="port 70000"):
        DashboardServer({"heads": study_dir}, "127.0.0.1", 70000)


def test_log_and_classes_of_a_damaged_run(tmp_path: Path) -> None:
    assert read_log(tmp_path / "log.txt") == ""
    (tmp_path / "log.txt").write_bytes(b"\xff\xfe" + b"x\n" * 100_000)
    assert len(read_log(tmp_path / "log.txt").splitlines()) == 150
    assert read_classes(tmp_path) == []
    for content in ("{", "[]", '{"class_names": ["a"], "test": {"num_examples": [1, 2], "acc": [1, 1]}}'):
        (tmp_path / "per_class.json").write_text(content)
        assert read_classes(tmp_path) == []


def test_confusion_of_few_and_of_many_classes(study_dir: Path, tmp_path: Path) -> None:
    few = read_confusion(study_dir / "mnistgap0")
    assert few is not None
    assert few.names == ["cat", "<b>dog</b>"]
    assert few.cells == [[(4, 8), (1, 2)], [(0, 0), (0, 0)]]
    matrix = [[9 if i == j else 0 for j in range(30)] for i in range(30)]
    matrix[3][7], matrix[20][1] = 2, 5
    content = {"class_names": [f"c{i}" for i in range(30)], "test": {"confusion": matrix}}
    (tmp_path / "per_class.json").write_text(json.dumps(content))
    many = read_confusion(tmp_path)
    assert many is not None
    assert (many.cells, many.mistakes) == ([], [("c20", "c1", 5), ("c3", "c7", 2)])
    for damaged in ([[1]], "x", [[1, 2], [3]], None, [[0.5, 1], [1, 1]]):
        content = {"class_names": ["a", "b"], "test": {"confusion": damaged}}
        (tmp_path / "per_class.json").write_text(json.dumps(content))
        assert read_confusion(tmp_path) is None


def test_pictures_show_wrong_answers_first(report_writers: ModuleType, tmp_path: Path, serve: Any) -> None:
    folder = report_writers.write_study(tmp_path / "s", blocks=("mnist",), seeds=2, epochs=3)
    assert panel_pictures(LiveStudy(folder).look().analysis.runs[0]) == []
    report_writers.add_examples(folder)
    run = next(r for r in LiveStudy(folder).look().analysis.runs if r.job.arm == "fc")
    with np.load(run.run_dir / "predictions.npz") as kept:
        wrong = np.flatnonzero(kept["test_logits"].argmax(1) != kept["test_labels"])
    pictures = panel_pictures(run)
    expected = [i for i in range(0, 120, 5) if i in set(wrong.tolist())]
    assert [p.index for p in pictures if not p.is_right] == expected[:12]
    assert [p.is_right for p in pictures] == sorted(p.is_right for p in pictures)
    assert all(p.overlay is not None and p.picture.uri.startswith("data:image/") for p in pictures)
    with serve({"s": folder}) as running:
        connection = http.client.HTTPConnection("127.0.0.1", running.server_port, timeout=30)
        connection.request("GET", f"/study/s/run/{run.job.job_id}")
        body = connection.getresponse().read().decode()
        connection.close()
    assert body.count('<img src="data:image/') == 2 * len(pictures)


def test_configuration_difference(study_dir: Path) -> None:
    runs = {run.job.job_id: run for run in LiveStudy(study_dir).look().analysis.runs}
    assert config_difference(runs["mnistfc0"], runs["mnistgap0"]) == [("head.name", "fc", "gap")]
