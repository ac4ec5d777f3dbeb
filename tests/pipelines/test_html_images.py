"""The short way to an image's address against the long one, on addresses of every odd make."""

from __future__ import annotations

import random

import pytest

from pipelines.html_images import _plainly_resolved, _resolved, image_url, srcset_candidates

PARTS = (
    "http://", "https://", "HTTP://", "//", "/", "a", "b.jpg", "..", ".", "?", "w=1", ";", "x y", "é", "[", ":", "80",
    "@", "host.com", "-", "\x01", "\xa0", "www.ex-ample.org", "1.2", "\\",
)  # fmt: skip
BASES = (
    "http://h.com/p/q.html",
    "https://Host.Org:81/",
    "HTTP://Up.com/x",
    "http://u:p@h.x/a/",
    "http://h.com:bad/",
    "",
)


def test_the_short_way_ends_where_the_long_one_does() -> None:
    draw = random.Random(0)
    num_short = 0
    for _ in range(20_000):
        address, base = "".join(draw.choices(PARTS, k=draw.randint(1, 6))), draw.choice(BASES)
        if (short := _plainly_resolved(address, base)) is not None:
            assert (address, base, short) == (address, base, _resolved(address, base))
            num_short += 1
    assert num_short > 300


@pytest.mark.parametrize(
    ("srcset", "sizes"),
    [
        ("a 800w, b 1x", [800, 1_000]),
        ("a", [1_000]),
        ("a 1.2.3w", [1_000]),
        ("a 300h 1.2.3w", [300]),
        ("a 2X", [2_000]),
    ],
)
def test_the_size_of_a_candidate_is_its_last_number(srcset: str, sizes: list[float]) -> None:
    assert [size for size, _ in srcset_candidates(srcset)] == sizes


def test_sources_are_asked_after_the_own_set_and_before_lazy_ones() -> None:
    attributes = {"src": "s.jpg", "data-src": "/late.jpg", "srcset": "small.jpg 100w, large.jpg 200w"}
    sources = ({"srcset": "of_source.webp 900w"},)
    base = "http://a.b/"
    assert image_url(attributes, sources, base) == "http://a.b/large.jpg"
    assert image_url({**attributes, "srcset": "#"}, sources, base) == "http://a.b/of_source.webp"
    assert image_url({**attributes, "srcset": "#"}, (), base) == "http://a.b/late.jpg"
    assert image_url(attributes, sources, base, lambda url: url.endswith("/s.jpg")) == "http://a.b/s.jpg"
