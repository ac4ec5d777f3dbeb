"""How the benchmark sets are read and scored; the sets themselves lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.weights.gold_pages import SETS, file_name, read_pages, word_f1

DATA = Path(__file__).resolve().parents[3] / "../shared/data"
PAGES = {"wcxb_dev": 557, "scrapinghub": 101, "trafilatura_eval": 120, "fundus": 123, "readability": 64}


@pytest.mark.parametrize(
    ("found", "gold", "f1"),
    [("", "", 1.0), ("a", "", 0.0), ("A b", "a B", 1.0), ("a a", "a", 2 / 3), ("a b c", "c d", 0.4)],
)
def test_word_f1(found: str, gold: str, f1: float) -> None:
    assert word_f1(found, gold) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a.b/c/d.jpg?w=3#x", "d.jpg"),
        ("../d%20e.png", "d e.png"),
        ("http://a.b/c/", "c"),
        ("http://[bad/x.png", ""),
        ("", ""),
    ],
)
def test_the_file_name_of_an_image(url: str, name: str) -> None:
    assert file_name(url) == name


def test_a_missing_set_has_no_pages(tmp_path: Path) -> None:
    assert {name: read_pages(tmp_path, name) for name in SETS} == {name: [] for name in SETS}


@pytest.mark.parametrize("name", ["scrapinghub", "fundus", "readability", "defuddle"])
def test_the_real_sets_are_read(name: str) -> None:
    pages = read_pages(DATA, name)
    if not pages:
        pytest.skip(f"html_{name} is not beside the checkout ({DATA})")
    assert len(pages) == PAGES.get(name, 208)
    assert all(page.html and page.url.startswith("http") for page in pages)


def test_all_sizes_of_a_picture_count_as_it() -> None:
    pages = {page.name: page for page in read_pages(DATA, "readability")}
    if not pages:
        pytest.skip(f"html_readability is not beside the checkout ({DATA})")
    (image,) = pages["seattletimes-1"].images or ()
    assert {"120109-1020x680.jpg", "120109-1560x1040.jpg"} <= image.names


def test_an_image_that_a_script_loads_is_gold() -> None:
    pages = {page.name: page for page in read_pages(DATA, "readability")}
    if not pages:
        pytest.skip(f"html_readability is not beside the checkout ({DATA})")
    assert [image.names for image in pages["herald-sun-1"].images or ()] == [{"1227261885862"}]
    assert any("18zu12g5xzyxojpg.jpg" in image.names for image in pages["data-url-image"].images or ())
