import csv
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nin_exp.errors import RefusedError, StorageError
from nin_exp.records.record import Record
from nin_exp.report.write import build_joint_report, build_report
from nin_exp.stats.multiplicity import holm
from nin_exp.stats.paired import paired_effect
from nin_exp.stats.sign_flip import sign_flip_test
from nin_exp.stats.verdict import judge

Writer = Callable[..., Path]


def test_json_holds_the_numbers_of_stats(study_writer: Writer, tmp_path: Path) -> None:
    study_dir = study_writer(tmp_path / "s", arms=("gap", "fc", "fc_dropout"))
    document = json.loads(build_report(study_dir).json.read_text())
    assert document["schema_version"] == 1
    assert (document["metric"], len(document["contrasts"])) == ("test/acc", 4)
    p_values = []
    for contrast in document["contrasts"]:
        scores: dict[str, list[float]] = {}
        for arm in (contrast["arm"], contrast["baseline"]):
            paths = study_dir.glob("job*/record.json")
            records = [json.loads(path.read_text()) for path in paths]
            own = [r for r in records if r["arm"] == arm and r["block"] == contrast["block"]]
            scores[arm] = [r["metrics"]["test/acc"] for r in sorted(own, key=lambda r: r["seed"])]
        effect = paired_effect(scores[contrast["arm"]], scores["gap"], alpha=0.05, n_contrasts=4)
        assert contrast["effect"]["mean"] == effect.mean
        assert effect.widened is not None
        assert contrast["effect"]["widened"]["low"] == effect.widened.low
        for key in ("n", "sd", "effect_size", "p_arm_above", "correlation", "width_ratio"):
            assert contrast["effect"][key] == getattr(effect, key)
        assert contrast["verdict"] == judge(effect, 0.002, 0.05).label
        differences = np.subtract(scores[contrast["arm"]], scores["gap"])
        p_values.append(sign_flip_test(differences, np.random.default_rng(0)).p)
        assert contrast["test"]["p"] == p_values[-1]
        assert contrast["bootstrap"]["is_too_narrow"] is True
    assert [c["p_holm"] for c in document["contrasts"]] == holm(p_values).tolist()


def test_json_of_problems(study_writer: Writer, tmp_path: Path) -> None:
    def edit(record: Record) -> Record | None:
        if record.seed == 0:
            return replace(record, status="failed", exit_code=8, error="out of memory")
        return None if record.seed == 1 else record

    document = json.loads(
        build_report(study_writer(tmp_path / "s", blocks=("mnist",), seeds=3, edit=edit)).json.read_text()
    )
    assert [(p["state"], p["exit_code"], p["error"]) for p in document["problems"]] == [
        ("failed", 8, "out of memory"),
        ("failed", 8, "out of memory"),
        ("not_started", None, None),
        ("not_started", None, None),
    ]
    assert document["states"] == {"failed": 2, "not_started": 2, "done": 2}


def test_csv_has_a_row_a_run(study_writer: Writer, tmp_path: Path) -> None:
    def edit(record: Record) -> Record | None:
        if record.seed == 0:
            return replace(record, status="failed", metrics={}, error="=cmd|' /C calc'!A0\n\x1b[31mred")
        return None if record.seed == 1 else record

    path = build_report(study_writer(tmp_path / "s", blocks=("mnist",), seeds=3, edit=edit)).csv
    raw = path.read_bytes()
    assert b"\x1b" not in raw
    rows = list(csv.DictReader(io.StringIO(raw.decode())))
    assert [row["state"] for row in rows] == ["failed", "failed", "not_started", "not_started", "done", "done"]
    assert rows[0]["error"] == "'=cmd|' /C calc'!A0\\n\\x1b[31mred"
    assert rows[0]["test/acc"] == ""
    assert 0.9 < float(rows[4]["test/acc"]) < 1
    assert (rows[5]["arm"], rows[5]["params_head"], rows[5]["choice:head"]) == ("fc", "64650", "fc")


def test_csv_cells_of_hostile_names(study_of_payloads: Path) -> None:
    rows = list(csv.reader(io.StringIO(build_report(study_of_payloads).csv.read_bytes().decode())))
    assert len(rows) == 1 + 2 * 41
    assert len({len(row) for row in rows}) == 1
    for cell in (cell for row in rows for cell in row):
        assert cell[:1] not in ("=", "@", "\t", "\r")
        assert all(c.isprintable() for c in cell)


def test_tex(study_writer: Writer, tmp_path: Path) -> None:
    tex = build_report(
        study_writer(tmp_path / "s", arms=("gap", "fc_dropout"), gains={"fc_dropout": -0.03})
    ).tex.read_text()
    assert tex.count("\\toprule") == tex.count("\\bottomrule") == tex.count("\\end{table}") == 2
    assert "fc\\_dropout" in tex
    assert re.search(r"gap & \$\\mathbf\{\d\d\.\d\d\} \\pm \d\.\d\d\$ &", tex)
    assert "standard deviation over 8 seeds" in tex
    assert tex.count("\\textbf{worse}") == 2


def test_tex_is_bold_only_when_supported(study_writer: Writer, tmp_path: Path) -> None:
    tex = build_report(study_writer(tmp_path / "s", gains={"fc": -0.0021})).tex.read_text()
    assert "\\mathbf" not in tex
    assert "\\textbf" not in tex
    one = build_report(study_writer(tmp_path / "one", seeds=1)).tex.read_text()
    assert "mathbf" not in one
    assert "\\pm" not in one.partition("\\bottomrule")[0]


def test_tex_of_hostile_names_is_escaped(study_writer: Writer, tmp_path: Path) -> None:
    arm = r"\input{/etc/passwd} & 50% $x$ #1 ^~_"
    tex = build_report(study_writer(tmp_path / "s", arms=("gap", arm), blocks=("mnist",), seeds=2)).tex.read_text()
    escaped = r"\textbackslash{}input\{/etc/passwd\} \& 50\% \$x\$ \#1 \textasciicircum{}\textasciitilde{}\_"
    assert tex.count(escaped) == 2
    assert r"\input{" not in tex


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (Debian's texlive-latex-recommended)")
def test_tex_compiles_and_fits_the_page(study_writer: Writer, tmp_path: Path) -> None:
    arms = ("gap", "fc_dropout", r"\input{/etc/passwd} & 50% $x$ #1 ^~", "λ, é, ß, 中文, ≤, “q”, \x1b[2J")
    studies = [
        study_writer(tmp_path / "several", arms=arms[:2], blocks=("mnist", "fashion_mnist", "cifar10", "svhn")),
        study_writer(tmp_path / "hostile", arms=arms, blocks=("mnist, lr=0.1",), seeds=6),
        study_writer(tmp_path / "one", seeds=1),
        study_writer(tmp_path / "empty", seeds=1, edit=lambda record: None),
    ]
    for study_dir in studies:
        tex = build_report(study_dir).tex
        source = (
            f"\\documentclass{{article}}\\usepackage{{booktabs}}\\begin{{document}}x\\input{{{tex}}}\\end{{document}}"
        )
        (tmp_path / "main.tex").write_text(source)
        done = subprocess.run(
            ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape", "main.tex"],
            cwd=tmp_path,
            capture_output=True,
            encoding="latin-1",
        )
        assert done.returncode == 0, done.stdout[-2000:]
        assert study_dir.name == "hostile" or "Overfull" not in done.stdout, done.stdout


def test_linked_report_folder_is_refused(study_writer: Writer, tmp_path: Path) -> None:
    study_dir = study_writer(tmp_path / "s", seeds=2)
    (tmp_path / "elsewhere").mkdir()
    (study_dir / "report").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="report's folder must not be a link"):
        build_report(study_dir)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_report_folder_is_a_file(study_writer: Writer, tmp_path: Path) -> None:
    study_dir = study_writer(tmp_path / "s", seeds=2)
    (study_dir / "report").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        build_report(study_dir)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_study(study_writer: Writer, tmp_path: Path) -> None:
    study_dir = study_writer(tmp_path / "s", seeds=2)
    study_dir.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            build_report(study_dir)
    finally:
        study_dir.chmod(0o700)


def test_only_the_report_folder_changes(study_writer: Writer, tmp_path: Path) -> None:
    study_dir = study_writer(tmp_path / "s", seeds=2)
    before = {path: path.read_bytes() for path in study_dir.rglob("*") if path.is_file()}
    build_report(study_dir)
    after = {path: path.read_bytes() for path in study_dir.rglob("*") if path.is_file()}
    added = sorted(path.relative_to(study_dir).as_posix() for path in after.keys() - before.keys())
    figures = [name for name in added if name.startswith("report/figures/")]
    files = ["index.html", "results.csv", "results.json", "summary.md", "tables.tex"]
    assert [name for name in added if name not in figures] == [f"report/{name}" for name in files]
    assert len(figures) == 10
    assert all(after[path] == content for path, content in before.items())


def test_joint_report(study_writer: Writer, tmp_path: Path) -> None:
    one = study_writer(tmp_path / "one", seeds=2)
    paths = build_joint_report([one, one], tmp_path / "joint")
    document = json.loads(paths.json.read_text())
    assert (document["study"]["name"], document["study"]["num_jobs"]) == ("one", 8)
