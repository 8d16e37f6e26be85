"""What a reader does on the pages, in a browser."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

PEOPLE = "services/berths/berths.html"
ALL = [
    "index.html",
    "services/berths/index.html",
    PEOPLE,
    "services/berths/events.html",
    "services/berths/rules.html",
    "services/berths/build.html",
    "services/berths/run.html",
    "services/berths/schemas.html",
    "errors.html",
    "catalogues/operations.html",
]


def test_language_is_kept_over_samples_and_pages(page: Page, base: str) -> None:
    page.goto(f"{base}/{PEOPLE}")
    example = page.locator('[id="createBerth.every-field"]')
    expect(example.locator("pre.l-curl")).to_be_visible()
    page.locator("#createBerth .xp label", has_text="Python").click()

    expect(example.locator("pre.l-python")).to_be_visible()
    expect(page.locator('[id="deleteBerth.one"] pre.l-python')).to_be_visible()
    page.goto(f"{base}/services/berths/reservations.html")
    expect(page.locator(".xc[open] pre.l-python").first).to_be_visible()


def test_language_in_the_address_wins(page: Page, base: str) -> None:
    page.goto(f"{base}/{PEOPLE}?lang=javascript")

    expect(page.locator('[id="createBerth.every-field"] pre.l-javascript')).to_be_visible()


def test_selector_shows_one_example(page: Page, base: str) -> None:
    page.goto(f"{base}/{PEOPLE}")
    page.select_option("#createBerth .xp-bar select", "createBerth.name-taken")

    expect(page.locator('[id="createBerth.name-taken"] .xr')).to_be_visible()
    expect(page.locator('[id="createBerth.every-field"] .xr')).to_be_hidden()


@pytest.mark.parametrize("anchor", ["searchBerths.body.filter_groups.filters.RangeFilter.from", "createBerth.name-taken"])
def test_deep_link_opens_what_it_points_into(page: Page, base: str, anchor: str) -> None:
    page.goto(f"{base}/{PEOPLE}#{anchor}")
    target = page.locator(f'[id="{anchor}"]')

    expect(target).to_be_visible()
    expect(target).to_be_in_viewport()


def test_link_on_the_page_opens_its_target(page: Page, base: str) -> None:
    page.goto(f"{base}/{PEOPLE}")
    page.locator('[id="createBerth.error.berth_name_taken"] .f-see').click()

    expect(page.locator('[id="createBerth.name-taken"] .xr')).to_be_visible()


@pytest.mark.parametrize(
    ("query", "first"),
    [("createBerth", "createBerth"), ("berth_name_taken", "berth_name_taken"), ("restore", "restoreBerth")],
)
def test_search_finds_names_first(page: Page, base: str, query: str, first: str) -> None:
    page.goto(f"{base}/search.html?q={query}")

    expect(page.locator("#search-results li a").first).to_have_text(first)


def test_search_finds_words_of_bulk(page: Page, base: str) -> None:
    page.goto(f"{base}/search.html?q=keeper+reached")

    expect(page.locator("#search-results li a").first).to_be_visible()
    expect(page.locator('#search-results a[href*="berths/"]').first).to_be_visible()


def test_panel_stands_beside_and_sticks(page: Page, base: str) -> None:
    page.goto(f"{base}/{PEOPLE}")
    section = page.locator("section#createBerth")
    panel, main = section.locator(".xp").bounding_box(), section.locator(".op-main").bounding_box()
    assert panel is not None and main is not None
    assert panel["x"] >= main["x"] + main["width"]

    page.mouse.wheel(0, main["y"] + 500)
    page.wait_for_timeout(300)
    box = section.locator(".xp").bounding_box()
    assert box is not None and 0 <= box["y"] < 60


@pytest.mark.parametrize("name", ALL)
def test_phone_never_scrolls_sideways(browser: Browser, base: str, name: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{base}/{name}")

    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


@pytest.mark.parametrize("name", [PEOPLE, "services/berths/build.html"])
@pytest.mark.parametrize("width", [800, 1100, 1280])
def test_no_width_scrolls_sideways(browser: Browser, base: str, name: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844})
    page = context.new_page()
    page.goto(f"{base}/{name}")

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_everything_works_without_scripts(browser: Browser, base: str) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.goto(f"{base}/{PEOPLE}")
    example = page.locator('[id="createBerth.every-field"]')
    page.locator("#createBerth .xp label", has_text="JavaScript").click()
    expect(example.locator("pre.l-javascript")).to_be_visible()
    other = page.locator('[id="createBerth.name-taken"]')
    other.locator("summary").first.click()

    expect(other.locator(".xr")).to_be_visible()
    expect(other.locator("pre.l-javascript")).to_be_visible()
    expect(page.locator(".xp-bar select")).to_have_count(0)
    context.close()


@pytest.mark.parametrize("name", ALL)
def test_no_accessibility_rule_is_broken(browser: Browser, base: str, name: str) -> None:
    context = browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme="light")
    page = context.new_page()
    page.goto(f"{base}/{name}")
    levels = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa"]}
    found = list(Axe().run(page, context="article", options={"runOnly": levels}).response["violations"])
    page.emulate_media(color_scheme="dark")
    contrast = {"type": "rule", "values": ["color-contrast"]}  # what alone depends on the scheme
    found += Axe().run(page, context="article", options={"runOnly": contrast}).response["violations"]
    context.close()

    assert [(v["id"], v["nodes"][0]["html"][:200], v["nodes"][0].get("failureSummary", "")[:200]) for v in found] == []


def test_page_has_no_foreign_request_and_no_error(page: Page, base: str) -> None:
    asked: list[str] = []
    failed: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.on("pageerror", lambda e: failed.append(str(e)))
    page.goto(f"{base}/{PEOPLE}")

    assert [u for u in asked if not u.startswith((base, "data:"))] == []
    assert failed == []
