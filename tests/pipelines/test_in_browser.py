"""The report and the explorer in a real browser: they run without errors, count right, and nothing hostile runs.

Needs the extra `browser` and Chromium: pip install -e '.[browser]'; apt-get install --no-install-recommends chromium
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from filters.table import FILTERS
from infimm_data.stream.settings import StreamSettings
from pipelines.build import build
from pipelines.explorer.api import Api
from pipelines.explorer.server import Explorer
from pipelines.explorer.tokens import Reading
from pipelines.layout import Layout
from pipelines.report_page.build_page import write_build_page
from pipelines.run import Run
from pipelines.sources.table import SOURCES
from pipelines.what_if import what_if
from tests.pipelines.explorer.conftest import LETTERS, decode
from tests.pipelines.made_source import STEPS, WEB, Brightness, MadeSource, make_recipe

COUNTED = '#counts[data-asked]:not([data-asked=""])'  # after a move, once it is answered
WIDTHS = {"desk": 1200, "phone": 390}
HOSTILE = (
    "<script>document.title='RUN'</script><img src='http://tracker.example/1.gif' onerror=\"document.title='RUN'\">"
    "<svg onload=\"document.title='RUN'\"></svg><a href=\"javascript:document.title='RUN'\">click</a>"
    "<style>body{display:none;background:url(http://tracker.example/css)}</style>"
    "<iframe src='data:text/html,<script>parent.document.title=1</script>'></iframe>"
    "<meta http-equiv=refresh content='0;url=http://tracker.example/'></p></article></main></textarea></title>"
    "<img src=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>\">"
    "{{7*7}}${alert(1)}\u202e\x1b]0;RUN\x07 "
)


@dataclass
class Tab:
    """A page with all that it complained of and asked for."""

    page: object
    problems: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, or the one of the system."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[browser]'")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium: apt-get install --no-install-recommends chromium")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def tab(browser):
    """Return a function that opens a page of a width in a theme."""
    opened = []

    def go(url, width="desk", theme="light"):
        context = browser.new_context(
            viewport={"width": WIDTHS[width], "height": 900}, color_scheme=theme, accept_downloads=True
        )
        opened.append(context)
        one = Tab(context.new_page())
        one.page.set_default_timeout(20_000)
        one.page.on("console", lambda said: one.problems.append(said.text) if said.type == "error" else None)
        one.page.on("pageerror", lambda error: one.problems.append(str(error)))
        one.page.on("dialog", lambda dialog: (one.problems.append(dialog.message), dialog.dismiss()))
        one.page.on("request", lambda request: one.asked.append(request.url))
        one.page.goto(url)
        return one

    yield go
    for context in opened:
        context.close()


@pytest.fixture(scope="module")
def known():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "made", MadeSource)
        patch.setitem(FILTERS, "brightness", Brightness)
        yield


READING = Reading("made.yaml", LETTERS, StreamSettings(row_tokens=512), decode)


@pytest.fixture(scope="module")
def explorer(browser, known, first):
    with Explorer(Api(Layout(str(first)), READING)) as started:
        yield started


@pytest.fixture(scope="module")
def hostile(browser, known, cluster, web, tmp_path_factory):
    """A build whose documents try everything."""
    folder = tmp_path_factory.mktemp("hostile")
    words = "word " * 20
    pages = [
        {"url": f"javascript:document.title='RUN'//{n}{HOSTILE}", "nodes": [f"{HOSTILE}{words}{n}", {"image": f"https://x/{HOSTILE}/{n}-40.png"}]}
        for n in range(2)
    ]  # fmt: skip
    (folder / "dump").mkdir()
    (folder / "dump" / "0.json").write_text(json.dumps(pages))
    run = Run(make_recipe(str(folder / "dump"), STEPS[:3]), Layout(str(folder / "out")), cluster, {WEB: web.address})
    build(run)
    return run.layout


@pytest.fixture(scope="module")
def report(browser, known, first, tmp_path_factory):
    out = shutil.copytree(first, tmp_path_factory.mktemp("report") / "out")
    return Path(write_build_page(Layout(str(out)))).as_uri()


def is_wider_than_the_screen(page):
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_report_opens_without_an_error_and_loads_nothing(tab, report, width, theme):
    one = tab(report, width, theme)
    assert one.problems == []
    assert [url for url in one.asked if not url.startswith("data:")] == [report]
    assert not is_wider_than_the_screen(one.page)
    assert one.page.locator("svg.chart").count() > 5


def test_the_report_follows_the_system_and_its_own_switch(tab, report):
    light, dark = tab(report, theme="light").page, tab(report, theme="dark").page
    assert background(light) != background(dark)
    light.check("#dark")
    assert background(light) == background(dark)


def test_charts_take_their_colours_from_the_theme(tab, report):
    page = tab(report).page
    ask = "getComputedStyle(document.querySelector('svg.chart text')).fill"
    before = page.evaluate(ask)
    page.check("#dark")
    assert page.evaluate(ask) != before


def wait_for_cards(page, number):
    from playwright.sync_api import expect

    expect(page.locator(".card")).to_have_count(number)


def moved(page, key, value):
    """Move a slider's exact value, and wait until it is counted."""
    page.fill(f'[id="{key}"]', value)
    page.keyboard.press("Tab")
    page.wait_for_selector(COUNTED)
    return page.inner_text("#counts")


@pytest.mark.parametrize(
    ("key", "value"),
    [("text_length.min_words", "1000"), ("brightness.min_brightness", "0.5"), ("image_count.min_images", "2")],
)
def test_a_slider_counts_what_the_command_counts(tab, explorer, first, key, value):
    one = tab(f"{explorer.url}#/thresholds")
    one.page.wait_for_selector(".slider")
    said = moved(one.page, key, value)
    expected = what_if(Layout(str(first)), [f"{key}={value}"]).then
    counts = [int(count.replace(",", "")) for count in re.findall(r"would be ([\d,]+)", said)]
    assert counts == [int(expected.documents.kept.sum()), int(expected.images.kept.sum())]
    assert one.problems == []


def test_a_slider_is_moved_by_keys_and_the_result_saved(tab, explorer, tmp_path):
    one = tab(f"{explorer.url}#/thresholds")
    one.page.wait_for_selector(".slider")
    one.page.focus('[id="text_length.min_words-range"]')
    one.page.keyboard.press("End")
    one.page.wait_for_selector(COUNTED)
    value = one.page.input_value('[id="text_length.min_words"]')
    with one.page.expect_download() as started:
        one.page.click("#save")
    started.value.save_as(tmp_path / "recipe.yaml")
    assert f"min_words: {value}\n" in (tmp_path / "recipe.yaml").read_text()


def test_a_refused_value_is_set_back_and_said(tab, explorer, first, tmp_path):
    one = tab(f"{explorer.url}#/thresholds")
    one.page.wait_for_selector(".slider")
    before = moved(one.page, "image_count.min_images", "2")
    assert moved(one.page, "text_length.min_words", "-3.5") == before
    assert "Set back" in one.page.inner_text("main .problem")
    assert one.page.input_value('[id="text_length.min_words"]') == "10"
    with one.page.expect_download() as started:
        one.page.click("#save")
    started.value.save_as(tmp_path / "recipe.yaml")
    assert "changed: image_count.min_images=2\n" in (tmp_path / "recipe.yaml").read_text()


def test_a_word_that_is_unchecked_is_wanted_no_more(tab, explorer, first):
    one = tab(f"{explorer.url}#/thresholds")
    one.page.wait_for_selector(".slider")
    one.page.uncheck('[data-key="image_url.keep_schemes"] .words label:has-text("https") input')
    one.page.wait_for_selector(COUNTED)
    expected = what_if(Layout(str(first)), ["image_url.keep_schemes=[http, data]"]).then
    said = one.page.inner_text("#counts")
    assert f"would be {int(expected.images.kept.sum())} " in said.partition("images")[2]
    assert one.page.input_value('[id="image_url.keep_schemes"]') == "http, data"
    assert one.page.evaluate("document.activeElement.type") == "checkbox", "who moves by keys stays there"
    assert one.problems == []


def test_all_columns_of_the_funnel_are_seen_without_scrolling(tab, explorer):
    one = tab(f"{explorer.url}#/thresholds")
    one.page.wait_for_selector(".funnel td")
    assert one.page.evaluate("(one => one.scrollWidth - one.clientWidth)(document.querySelector('.funnel'))") <= 0


def test_how_far_the_reading_is_is_said_and_then_no_more(tab, first):
    with Explorer(Api(Layout(str(first)), READING)) as started:
        one = tab(started.url)
        one.page.wait_for_selector(".card")
        one.page.wait_for_selector("#loading", state="hidden")
    assert one.problems == []


@pytest.mark.parametrize("hash_", ["#/constructor", "#/document/%E0%A4%A", "#/nothing"])
def test_an_address_that_is_none_of_ours_shows_the_documents(tab, explorer, hash_):
    one = tab(f"{explorer.url}{hash_}")
    one.page.wait_for_selector(".card")
    assert one.problems == []


def test_half_a_number_is_not_off(tab, explorer):
    one = tab(f"{explorer.url}#/thresholds")
    one.page.wait_for_selector(".slider")
    before = one.page.inner_text("#counts")
    one.page.focus('[id="text_length.min_words"]')
    one.page.keyboard.press("Control+A")
    one.page.keyboard.type("-")
    one.page.keyboard.press("Tab")
    one.page.wait_for_timeout(300)
    assert one.page.inner_text("#counts") == before


def test_documents_are_walked_and_read_with_keys_alone(tab, explorer):
    one = tab(explorer.url)
    one.page.wait_for_selector(".card")
    one.page.keyboard.press("j")
    one.page.keyboard.press("j")
    one.page.keyboard.press("Enter")
    one.page.wait_for_selector("article.reader")
    before = one.page.url
    one.page.keyboard.press("j")
    one.page.wait_for_url(lambda url: url != before)
    one.page.keyboard.press("d")
    one.page.wait_for_selector("#search")
    one.page.keyboard.press("/")
    assert one.page.evaluate("document.activeElement.id") == "search"
    assert one.problems == []


def test_an_answer_that_comes_late_shows_nothing(tab, explorer):
    one = tab(explorer.url)
    one.page.wait_for_selector(".card")
    late = []
    one.page.route("**/api/document/*", lambda route: late.append(route))
    one.page.click(".card >> nth=0")
    one.page.wait_for_timeout(100)
    one.page.keyboard.press("t")
    one.page.wait_for_selector(".slider")
    late[0].continue_()
    one.page.wait_for_timeout(500)
    assert one.page.locator(".slider").count() > 0
    assert one.page.locator("article.reader").count() == 0


def test_a_search_shows_what_holds_the_text(tab, explorer):
    one = tab(explorer.url)
    one.page.wait_for_selector(".card")
    one.page.fill("#search", "site1.example/5")
    one.page.keyboard.press("Enter")
    wait_for_cards(one.page, 1)
    assert "site1.example/5" in one.page.inner_text(".card")


def test_twins_and_tokens_are_shown(tab, explorer):
    one = tab(explorer.url)
    one.page.select_option("select >> nth=1", "near_duplicate_text")
    wait_for_cards(one.page, 2)
    one.page.click(".card >> nth=0")
    one.page.click("text=Twins by")
    one.page.wait_for_selector("mark")
    assert one.page.locator("section").count() == 3
    one.page.click("a:has-text('site'):near(.badge.kept)")
    one.page.click("text=As tokens")
    one.page.wait_for_selector(".tokens span")
    assert one.page.locator(".mask rect").count() >= 1
    one.page.click(".pictures button >> nth=0")
    assert one.page.locator(".tokens .seen").count() > 0
    assert one.problems == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", ["", "#/thresholds"])
def test_the_explorer_fits_the_screen_and_every_field_has_a_name(tab, explorer, width, view):
    one = tab(f"{explorer.url}{view}", width, "dark")
    one.page.wait_for_selector(".card, .slider")
    assert not is_wider_than_the_screen(one.page)
    unnamed = """[...document.querySelectorAll('input, select, button')]
        .filter((one) => !one.labels?.length && !one.getAttribute('aria-label') && !one.textContent.trim())
        .map((one) => one.outerHTML)"""
    assert one.page.evaluate(unnamed) == []
    assert one.page.evaluate("[...document.images].filter((one) => !one.hasAttribute('alt')).length") == 0


def test_the_report_of_hostile_documents_runs_and_loads_nothing(tab, hostile):
    url = Path(write_build_page(hostile)).as_uri()
    one = tab(url)
    assert one.page.locator("#kept").inner_text().count("<script>") >= 1
    assert "RUN" not in one.page.title()
    assert one.problems == []
    assert [asked for asked in one.asked if not asked.startswith("data:image/jpeg")] == [url]
    assert one.page.is_visible("#kept")
    assert not is_wider_than_the_screen(tab(url, "phone").page)


@pytest.fixture(scope="module")
def hostile_explorer(hostile):
    with Explorer(Api(hostile, READING)) as started:
        yield started


def test_hostile_documents_run_and_load_nothing_in_the_explorer(tab, hostile_explorer):
    one = tab(hostile_explorer.url)
    one.page.wait_for_selector(".card")
    one.page.click(".card >> nth=0")
    one.page.wait_for_selector("article.reader")
    assert "<script>" in one.page.inner_text("article.reader")
    one.page.click("text=As tokens")
    one.page.wait_for_selector(".tokens span")
    one.page.goto(f"{hostile_explorer.url}#/thresholds")
    one.page.wait_for_selector(".slider")
    assert "RUN'" not in one.page.title().replace(HOSTILE, "")
    assert one.problems == []
    assert {asked for asked in one.asked if not asked.startswith(hostile_explorer.url)} == set()
    assert one.page.locator("iframe, object, embed, style, main script, main a[href^=javascript]").count() == 0
