"""The page: what comes from outside is text, what is not ours is not loaded."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from selectolax.lexbor import LexborHTMLParser

from pipelines.report_page.page import Markup, Section, counted, escaped, page, ranked, style_sheet, table

HOSTILE = "<script>alert(1)</script>\" onload='x' &amp; \x1b[31m"


def test_a_hostile_text_is_text_in_every_part():
    body = Markup(f"{table(['a'], [[HOSTILE]], caption=HOSTILE)}{ranked([(HOSTILE, 2, 1)], caption=HOSTILE)}")
    read = LexborHTMLParser(page(HOSTILE, escaped(HOSTILE), [Section("key", HOSTILE, body)]))
    assert read.css("script") == []
    assert {name for node in read.css("*") for name in node.attributes if name.startswith("on")} == set()
    assert read.css_first("td").text() == HOSTILE.replace("\x1b", "\ufffd")
    assert read.css_first("h1").text() == HOSTILE.replace("\x1b", "\ufffd")


def test_the_policy_allows_pictures_in_data_uris_and_this_very_style_sheet():
    read = LexborHTMLParser(page("t", Markup(""), [], style=".c0{fill:var(--kept)}"))
    policy = read.css_first("meta[http-equiv=Content-Security-Policy]").attributes["content"]
    sheet = re.search(r"<style>(.*?)</style>", page("t", Markup(""), [], style=".c0{fill:var(--kept)}").decode(), re.S)
    digest = base64.b64encode(hashlib.sha256(sheet[1].encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert "script-src" not in policy, "default-src forbids every script"


def test_a_section_is_reached_from_the_contents():
    read = LexborHTMLParser(page("t", Markup(""), [Section("flow", "Flow", Markup("<p>x</p>"))]))
    (link,) = read.css("nav a")
    assert read.css_first(link.attributes["href"]).css_first("h2").text() == "Flow"


def test_losses_are_not_said_to_be_kept():
    assert (
        "kept" not in LexborHTMLParser(ranked([("a", 2, 0)], caption="Dropped", is_lost=True)).css_first("span").text()
    )


def luminance(colour):
    """WCAG 2.2, relative luminance of #rrggbb."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["ink", "muted", "kept", "lost", "bound", "link"])
def test_every_ink_is_read_on_both_grounds(name, theme):
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text of normal size."""
    found = re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", style_sheet())
    inks = {key: pair[theme] for key, *pair in found}
    for ground in ("page", "card"):
        darker, lighter = sorted((luminance(inks[name]), luminance(inks[ground])))
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_bars_are_as_long_as_their_counts():
    read = LexborHTMLParser(ranked([("a", 200, 50), ("b", 50, 50)], caption="c"))
    assert [float(bar.attributes["width"]) for bar in read.css("rect")] == [100, 25, 25, 25]


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 shards"), (1, "1 shard"), (2, "2 shards"), (2_000, "2,000 shards")]
)
def test_one_thing_is_not_many(number, said):
    assert counted(number, "shard") == said
