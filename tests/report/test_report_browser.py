"""The page in a real browser, opened as a file and offline."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nin_exp.report.write import build_report

pytestmark = pytest.mark.browser

Writer = Callable[..., Path]


Opener = Callable[..., Any]


def draw_all(page: Any) -> int:
    """Scroll through the page, as figures are drawn when they come near; return how many there are."""
    page.evaluate(  # the page's policy forbids wait_for_function, which evaluates a string
        """async () => {
            for (const div of document.querySelectorAll(".plot")) {
                div.scrollIntoView({ behavior: "instant" });
                for (let i = 0; i < 600 && !div.dataset.rendered; i++) {
                    await new Promise((resolve) => setTimeout(resolve, 20));
                }
            }
        }"""
    )
    assert page.locator(".plot:not([data-rendered])").count() == 0
    count: int = page.locator(".plot").count()
    return count


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory, module_writer: Writer) -> Path:
    folder = tmp_path_factory.mktemp("browser") / "heads"
    return build_report(module_writer(folder, arms=("gap", "fc", "fc_dropout"), seeds=6)).html


def test_opens_offline_without_errors_and_draws(visit: Opener, html: Path) -> None:
    seen = visit(html)
    assert draw_all(seen.page) > 6
    for plot in seen.page.locator(".plot").all():
        assert plot.locator("svg.main-svg").count() > 0
        assert plot.locator(".scatterlayer .trace").count() > 0
    assert seen.errors == []
    assert seen.requests == [html.as_uri()]


def test_policy_refuses_what_is_not_ours(visit: Opener, html: Path) -> None:
    seen = visit(html)
    seen.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.hit = 1";
            document.body.append(script);
            const image = '<img src="https://evil.example/x.png" onerror="window.hit = 2">';
            document.body.insertAdjacentHTML("beforeend", image);
        }"""
    )
    seen.page.wait_for_timeout(200)
    assert seen.page.evaluate("window.hit") is None
    refused = " ".join(seen.errors)
    assert "Content Security Policy directive 'script-src" in refused or 'directive "script-src' in refused
    assert "https://evil.example/x.png" in refused
    assert "img-src data: blob:" in refused


def test_theme_follows_the_system_and_the_button(visit: Opener, html: Path) -> None:
    seen = visit(html, color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    tick = "getComputedStyle(document.querySelector('#plot-differences .xtick text')).fill"
    seen.page.wait_for_selector("#plot-differences .xtick text")
    dark, dark_tick = seen.page.evaluate(ground), seen.page.evaluate(tick)
    button = seen.page.locator("#theme")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    light, light_tick = seen.page.evaluate(ground), seen.page.evaluate(tick)
    assert button.get_attribute("aria-pressed") == "false"
    assert (dark, dark_tick) != (light, light_tick)
    assert dark_tick != light_tick
    seen.page.reload()
    assert seen.page.evaluate(ground) == light  # remembered
    assert seen.errors == []


def test_theme_colours_are_those_of_the_style_sheet(visit: Opener, html: Path) -> None:
    """A token that the script could not resolve would leave Plotly's default colour."""
    seen = visit(html, color_scheme="light")
    draw_all(seen.page)
    fills = seen.page.evaluate(
        "[...document.querySelectorAll('#plot-seeds-0 .points path')].map((path) => getComputedStyle(path).fill)"
    )
    assert {"rgb(89, 99, 110)", "rgb(31, 111, 178)", "rgb(194, 87, 26)"} <= set(fills)  # --arm-0 … --arm-2


def test_sorting(visit: Opener, html: Path) -> None:
    seen = visit(html)
    table = seen.page.locator("#differences table")
    means = "[...document.querySelectorAll('#differences tbody tr')].map((row) => Number(row.cells[4].dataset.sort))"
    head = table.locator("thead th").nth(4)
    head.locator("button").click()
    rising = seen.page.evaluate(means)
    assert rising == sorted(rising)
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").press("Enter")  # by keyboard
    assert seen.page.evaluate(means) == rising[::-1]
    assert head.get_attribute("aria-sort") == "descending"
    table.locator("thead th").nth(0).locator("button").click()
    names = table.locator("tbody th").all_inner_texts()
    assert names == sorted(names)
    assert head.get_attribute("aria-sort") is None


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_sideways_scrolling(visit: Opener, html: Path, width: int) -> None:
    seen = visit(html, viewport={"width": width, "height": 844}, has_touch=width < 500, is_mobile=width < 500)
    draw_all(seen.page)
    seen.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.page.evaluate("window.innerWidth") == width


def test_question_and_verdict_fit_the_first_screen(visit: Opener, html: Path) -> None:
    seen = visit(html)
    for selector in ("h1", ".verdict >> nth=0", "#plot-differences"):
        box = seen.page.locator(selector).bounding_box()
        assert box is not None
        assert box["y"] + min(box["height"], 300) <= 900


def test_keyboard_reaches_the_content_first(visit: Opener, html: Path) -> None:
    seen = visit(html)
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    outline = seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    seen.page.keyboard.press("Enter")
    assert seen.page.evaluate("document.activeElement.id") == "content"


def test_saving_a_figure(visit: Opener, html: Path, tmp_path: Path) -> None:
    seen = visit(html, accept_downloads=True)
    with seen.page.expect_download() as download:
        seen.page.locator("[data-save=differences]").click()
    download.value.save_as(tmp_path / "figure.svg")
    assert "<svg" in (tmp_path / "figure.svg").read_text(encoding="utf-8")
    assert seen.errors == []


def test_print_is_light_complete_and_fits(visit: Opener, html: Path) -> None:
    seen = visit(html, color_scheme="dark")
    seen.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert seen.page.evaluate("document.documentElement.dataset.theme") == "light"
    assert seen.page.locator("details:not([open])").count() == 0
    assert seen.page.locator(".plot:not([data-rendered])").count() == 0
    seen.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert seen.page.evaluate("document.documentElement.dataset.theme ?? null") is None
    assert seen.page.locator("details:not([open])").count() > 0
    assert len(seen.page.pdf(format="A4")) > 50_000
    assert seen.errors == []


def test_without_scripts_every_number_is_there(visit: Opener, html: Path) -> None:
    seen = visit(html, java_script_enabled=False)
    text = seen.page.locator("main").inner_text()
    assert "Figures need JavaScript" in text
    assert "On mnist, fc is worse than gap by" in text
    assert seen.page.locator("#differences tbody tr").count() == 4


def test_payloads_stay_inert(visit: Opener, study_of_payloads: Path) -> None:
    seen = visit(build_report(study_of_payloads).html, viewport={"width": 390, "height": 844})
    draw_all(seen.page)
    for selector in ("table button", "summary", "[data-save]", ".plot"):
        for target in seen.page.locator(selector).all()[:3]:
            target.hover(force=True)
    assert seen.page.evaluate("window.hit") is None
    assert seen.page.locator(".plot a, .plot img, .plot script, .plot foreignObject").count() == 0
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert [url for url in seen.requests if not url.startswith("file:")] == []
    assert seen.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(visit: Opener, module_example_writer: Writer, tmp_path: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    html = build_report(module_example_writer(tmp_path / "s", arms=("gap", "fc", "fc_dropout"), seeds=3)).html
    seen = visit(html, color_scheme=scheme, bypass_csp=True)
    draw_all(seen.page)
    seen.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    violations = axe.Axe().run(seen.page).response["violations"]
    found = {
        v["id"]: [n["target"] for n in v["nodes"]][:3] for v in violations if v["impact"] in ("serious", "critical")
    }
    assert found == {}


@pytest.mark.parametrize("width", [320, 1280])
def test_pictures_load_and_do_not_widen_the_page(
    visit: Opener, module_example_writer: Writer, tmp_path: Path, width: int
) -> None:
    html = build_report(module_example_writer(tmp_path / "s", seeds=3)).html
    seen = visit(html, viewport={"width": width, "height": 844}, has_touch=width < 500, is_mobile=width < 500)
    draw_all(seen.page)
    seen.page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    pictures = seen.page.locator("main img")
    assert pictures.count() > 20
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
    loaded = "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
    assert seen.page.evaluate(loaded)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.errors == []
    assert [url for url in seen.requests if not url.startswith(("file:", "data:"))] == []
