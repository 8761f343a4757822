"""The dashboard's pages in a real browser."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.browser
REPO = Path(__file__).resolve().parents[2]
Finish = Callable[[Path, str], None]


Opener = Callable[[str], Any]


@pytest.fixture
def live(study_dir: Path, serve: Any, visit: Opener) -> Iterator[Any]:
    with serve({"heads": study_dir}) as server:
        seen = visit(f"{server.url}study/heads")
        seen.page.wait_for_selector("#runs tr")
        yield seen
        seen.page.close()


def test_shows_progress_verdicts_and_running_curves(live: Any) -> None:
    page = live.page
    assert page.locator("#status").inner_text() == "8 of 12 runs done"
    assert page.locator("#progress").get_attribute("aria-valuenow") == "8"
    assert page.locator(".verdict").count() == 2
    assert page.locator("#running svg polyline").count() == 3
    assert page.locator("#runs tr").count() == 12
    assert live.errors == []


def test_goes_on_as_runs_finish(live: Any, study_dir: Path, finish: Finish) -> None:
    finish(study_dir, "mnistgap2")
    live.page.get_by_text("9 of 12 runs done").wait_for(timeout=20_000)
    assert live.page.locator("#running svg").count() == 2
    assert live.errors == []


def test_filters_stay_in_the_address(live: Any) -> None:
    page = live.page
    page.locator("[data-filter=arm]").select_option("fc")
    page.locator("[data-filter=block]").select_option("svhn")
    assert page.locator("#runs tr").count() == 3
    assert page.locator(".verdict").count() == 1
    assert page.locator("#running-section").is_hidden()  # fc of svhn has not started its last seed
    assert "arm=fc" in page.url
    page.reload()
    page.wait_for_selector("#runs tr")
    assert page.locator("#runs tr").count() == 3
    assert page.locator("[data-filter=arm]").input_value() == "fc"
    page.locator("[data-filter=arm]").select_option("")
    assert "arm" not in page.url
    page.locator("[data-filter=seed]").select_option("1")
    assert page.locator("#runs tr").count() == 2


def test_sorting_by_keyboard_stays_in_the_address(live: Any) -> None:
    page = live.page

    def scores() -> list[str]:
        texts: list[str] = page.locator("#runs tr td:last-child").all_inner_texts()
        return texts

    button = page.locator("[data-sort=score]")
    button.focus()
    page.keyboard.press("Enter")
    rising = [text for text in scores() if text != "–"]
    assert rising == sorted(rising)
    assert scores()[-1] == "–"
    assert page.locator("th[aria-sort=ascending]").inner_text() == "test accuracy, %"
    page.keyboard.press("Enter")
    assert [text for text in scores() if text != "–"] == rising[::-1]
    assert scores()[-1] == "–"  # what has no value stays last
    assert "sort=score" in page.url
    page.reload()
    page.wait_for_selector("#runs tr")
    assert page.locator("th[aria-sort=descending]").count() == 1
    assert [text for text in scores() if text != "–"] == rising[::-1]
    assert live.errors == []


def test_theme_is_kept_from_page_to_page(live: Any) -> None:
    page = live.page
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.locator("#theme").click()
    dark = page.evaluate(colour)
    assert dark != light
    page.locator("#runs a").first.click()
    page.wait_for_selector("#log")
    assert page.evaluate(colour) == dark
    assert page.locator("#theme").get_attribute("aria-pressed") == "true"


def test_run_page_is_inert_and_fits_a_phone(live: Any) -> None:
    page = live.page
    page.locator("#runs a").nth(1).click()
    page.wait_for_selector("#log")
    assert page.locator("#curves svg").count() == 2
    assert page.locator("#curves .line-pair").count() == 1  # the validation accuracy of its pair beside its own
    assert page.locator(".confusion td").count() == 4
    assert page.evaluate("window.hit") is None
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.locator("a", has_text="seed 0").first.click()  # its pair
    page.wait_for_selector("#log")
    assert "mnistgap0" in page.url
    assert live.errors == []


def test_run_page_follows_a_run(live: Any, study_dir: Path, finish: Finish) -> None:
    page = live.page
    page.locator("#runs a", has_text="mnistgap2").click()
    page.wait_for_selector("#log")
    assert page.locator("h1 .tone").inner_text() == "running"
    with (study_dir / "mnistgap2" / "log.txt").open("a") as file:
        file.write("a new line\n")
    page.locator("#log", has_text="a new line").wait_for(timeout=20_000)
    finish(study_dir, "mnistgap2")
    page.locator("h1 .tone", has_text="done").wait_for(timeout=20_000)
    assert live.errors == []


def test_report_is_drawn_anew_at_its_place(study_dir: Path, finish: Finish, serve: Any, visit: Opener) -> None:
    with serve({"heads": study_dir}) as server:
        seen = visit(f"{server.url}study/heads/report")
        page = seen.page
        report = page.frame_locator("#report")
        report.locator("#verdict").wait_for()
        page.get_by_text("8 of 12 runs done, as of").wait_for(timeout=20_000)
        page.frames[1].evaluate("window.scrollTo({top: 500, behavior: 'instant'})")
        finish(study_dir, "mnistgap2")
        page.get_by_text("9 of 12 runs done, as of").wait_for(timeout=20_000)
        report.get_by_text("12 planned runs: 9 done").wait_for(timeout=20_000)
        page.wait_for_timeout(300)
        assert page.frames[1].evaluate("window.scrollY") == 500
        assert seen.errors == []


def test_studies_side_by_side(study_dir: Path, report_writers: ModuleType, serve: Any, visit: Opener) -> None:
    pool = study_dir.with_name("pool")
    report_writers.write_study(pool, arms=("gap", "gmp_linear"), blocks=("mnist",), seeds=6, epochs=3)
    with serve({"heads": study_dir, "pool": pool}) as server:
        seen = visit(server.url)
        page = seen.page
        page.get_by_text("1 of 2 studies running").wait_for(timeout=20_000)
        assert page.locator(".study").count() == 2
        boxes = [card.bounding_box() for card in page.locator(".study").all()]
        assert boxes[0]["y"] == boxes[1]["y"]
        assert page.locator("[data-study=pool] .verdict").count() == 1
        assert page.locator("[data-study=heads] .progress").get_attribute("aria-valuenow") == "8"
        page.set_viewport_size({"width": 320, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        page.locator("[data-study=pool] a").click()
        page.wait_for_selector("#runs tr")
        assert page.locator("#runs tr").count() == 12
        assert seen.errors == []


def test_payloads_stay_text(report_writers: ModuleType, tmp_path: Path, serve: Any, visit: Opener) -> None:
    """Forty pieces of hostile HTML as arms, blocks, names, errors, flags and configuration, on every page."""
    study_dir = tmp_path / "payloads"
    payloads = report_writers.PAYLOADS
    assert len(payloads) == 40

    def poisoned(record: Any) -> Any:
        return report_writers.poison(record, record.head) if record.head in payloads else record

    arms = ("gap", *payloads)
    report_writers.write_study(study_dir, arms=arms, blocks=(payloads[0],), seeds=2, epochs=3, edit=poisoned)
    name = "<img src=x onerror=window.hit=1>"
    with serve({name: study_dir, "</script><script>window.hit=1</script>": study_dir}) as server:
        seen = visit(server.url)
        page = seen.page
        page.locator(".verdict").first.wait_for()
        assert page.locator(".study h2").first.inner_text() == name
        page.locator(".study a").first.click()
        page.wait_for_selector("#runs tr")
        assert page.locator("#runs tr").count() == 82
        assert page.locator("#runs td:nth-child(2)", has_text="<svg onload=window.hit=1>").count() == 2
        page.locator("[data-filter=arm]").select_option(payloads[8])
        assert page.locator("#runs tr").count() == 2
        addresses = page.evaluate("[...document.querySelectorAll('#runs a')].map((a) => a.href)")
        page.locator("[data-filter=arm]").select_option("")
        every = page.evaluate("[...document.querySelectorAll('#runs a')].map((a) => a.href)")
        for address in [*addresses, *every[1:82:2]]:
            page.goto(address)
            assert page.evaluate("window.hit") is None
            assert page.locator("#run img[src=x], #run script:not([type]), #run iframe, #run svg a").count() == 0
        assert page.evaluate("window.hit") is None
        assert seen.errors == []


def test_axe_finds_no_serious_fault(live: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    page = live.page
    for step in ("live", "dark", "run"):
        if step == "dark":
            page.locator("#theme").click()
        if step == "run":
            page.locator("#runs a").first.click()
            page.wait_for_selector("#log")
        violations = axe.Axe().run(page).response["violations"]
        found = {
            v["id"]: [n["target"] for n in v["nodes"]][:3] for v in violations if v["impact"] in ("serious", "critical")
        }
        assert found == {}, step


@pytest.mark.timeout(300)
def test_follows_a_real_plan_to_its_verdict(tmp_path: Path, visit: Opener) -> None:
    """``nin-exp dashboard`` beside ``nin-exp compare``: progress, curves of running jobs, the verdict."""
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src"), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "nin_exp"]
    plan = [
        "compare", "head=gap,fc", "seeds=2", "study=real", "dataset=digits", "backbone=nin_bn", "backbone.width=0.1",
        "trainer.max_epochs=12", "trainer.batch_size=64", "evaluation.panel=20", "executor.workers=1",
    ]  # fmt: skip
    with (
        (tmp_path / "plan.log").open("w") as log,
        subprocess.Popen([*command, *plan], cwd=tmp_path, env=environment, stdout=log, stderr=log) as running,
    ):
        try:
            while not (tmp_path / "runs" / "real" / "study.json").is_file():
                assert running.poll() is None, (tmp_path / "plan.log").read_text()
                time.sleep(0.1)
            with subprocess.Popen(
                [*command, "dashboard", "real", "--port", "0", "--no-browser"],
                cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True,
            ) as dashboard:  # fmt: skip
                assert dashboard.stdout is not None
                found = re.match(r"dashboard: (\S+)", dashboard.stdout.readline())
                assert found is not None
                try:
                    seen = visit(found[1])
                    page = seen.page
                    page.locator("#running svg").first.wait_for(timeout=120_000)
                    assert "done" in page.locator("#status").inner_text()
                    assert page.locator("#states", has_text="running").count() == 1
                    page.get_by_text("4 of 4 runs done").wait_for(timeout=180_000)
                    page.locator(".verdict").wait_for()
                    assert page.locator("#running-section").is_hidden()
                    assert all(text != "–" for text in page.locator("#runs td:last-child").all_inner_texts())
                    page.locator("#runs a").first.click()
                    page.wait_for_selector("#log")
                    assert page.locator(".pictures img").count() > 2
                    assert page.locator(".confusion td").count() == 100
                    assert page.get_by_text("head._target_").count() == 1
                    assert seen.errors == []
                    page.close()
                finally:
                    dashboard.send_signal(signal.SIGINT)
                    assert dashboard.wait(30) == 130
            assert running.wait(60) == 0
        finally:
            running.kill()
