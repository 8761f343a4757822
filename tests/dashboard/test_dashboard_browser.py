"""The live page in a real browser."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nin_exp.dashboard.server import DashboardServer

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
Finish = Callable[[Path, str], None]


@pytest.fixture
def page(study_dir: Path) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
    if CHROMIUM is None:
        pytest.skip("needs Debian's chromium on PATH")
    with DashboardServer({"heads": study_dir}, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            with sync_api.sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
                opened = browser.new_page(viewport={"width": 1280, "height": 900})
                opened.errors = []
                opened.on("console", lambda m: opened.errors.append(m.text) if m.type == "error" else None)
                opened.on("pageerror", lambda error: opened.errors.append(str(error)))
                opened.goto(f"{server.url}study/heads")
                opened.wait_for_selector("#runs tr")
                yield opened
                browser.close()
        finally:
            server.shutdown()
            thread.join()


def test_shows_progress_verdicts_and_running_curves(page: Any) -> None:
    assert page.locator("#status").inner_text() == "8 of 12 runs done"
    assert page.locator("#progress").get_attribute("aria-valuenow") == "8"
    assert page.locator(".verdict").count() == 2
    assert page.locator("#running svg").count() == 3
    assert page.locator("#runs tr").count() == 12
    assert page.errors == []


def test_goes_on_as_runs_finish(page: Any, study_dir: Path, finish: Finish) -> None:
    finish(study_dir, "mnistgap2")
    page.get_by_text("9 of 12 runs done").wait_for(timeout=20_000)
    assert page.locator("#running svg").count() == 2
    assert page.errors == []


def test_filters_stay_in_the_address(page: Any) -> None:
    page.locator("[data-filter=arm]").select_option("fc")
    page.locator("[data-filter=block]").select_option("svhn")
    assert page.locator("#runs tr").count() == 3
    assert "arm=fc" in page.url
    page.reload()
    page.wait_for_selector("#runs tr")
    assert page.locator("#runs tr").count() == 3
    assert page.locator("[data-filter=arm]").input_value() == "fc"
    page.locator("[data-filter=arm]").select_option("")
    assert "arm" not in page.url


def test_run_page_is_inert_and_fits_a_phone(page: Any) -> None:
    page.locator("#runs a").first.click()
    page.wait_for_selector("#log")
    assert page.locator("#curves svg").count() == 2
    assert page.evaluate("window.hit") is None
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.errors == []


def test_axe_finds_no_serious_fault(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    for step in ("live", "run"):
        if step == "run":
            page.locator("#runs a").first.click()
            page.wait_for_selector("#log")
        violations = axe.Axe().run(page).response["violations"]
        found = {
            v["id"]: [n["target"] for n in v["nodes"]][:3] for v in violations if v["impact"] in ("serious", "critical")
        }
        assert found == {}, step
