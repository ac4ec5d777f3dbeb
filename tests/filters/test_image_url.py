from __future__ import annotations

import pytest

from filters.image_url import ImageUrl
from infimm_data.document import ImageNode


def reasons(url: str, **node: int) -> list[str]:
    """Why the default filter drops an image."""
    measured = ImageUrl().measure_node(ImageNode(url=url, **node))
    values = {key: float("nan") if value is None else value for key, value in measured.items()}
    return [rule.reason for rule in ImageUrl().rules() if not rule.passes([values[rule.measure]])[0]]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/img/logo.png", "logo"),
        ("/img/site-logo@2x.png", "logo"),
        ("/img/siteLogo2x.PNG", "logo"),
        ("/LOGOS/a.gif", "logo"),
        ("/wp-content/plugins/share/a.png", "plugin"),
        ("/a/b_icon_24.png", "icon"),
        ("/my%20button.png", "button"),
        ("/favicon.ico", "favicon"),
        ("/tracking/pixel.gif?u=1", "pixel"),
        ("/catalogo/1.jpg", ""),
        ("/silicon-valley.jpg", ""),
        ("/lexicon/iconic.jpg", ""),
        ("/photo.jpg?from=logo", ""),
        ("", ""),
    ],
)
def test_words_of_the_path_are_found_as_whole_words(path: str, word: str) -> None:
    node = ImageNode(url=f"https://logo.example.org{path}")
    assert ImageUrl().measure_node(node)["image_url_word"] == word
    assert reasons(node.url) == (["image_url_word"] if word else [])


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:alert(1)", "ftp://example.org/a.jpg", "", "a.jpg"])
def test_other_schemes_than_the_wanted_are_dropped(url: str) -> None:
    assert reasons(url) == ["image_url_scheme"]


@pytest.mark.parametrize("url", ["http://example.org/a.jpg", "HTTPS://example.org/a.jpg", "data:image/png;base64,icon"])
def test_http_https_and_data_stay(url: str) -> None:
    assert reasons(url) == []


def test_the_declared_short_side_counts_and_no_declaration_passes() -> None:
    assert reasons("https://e.org/a.jpg", width=600, height=50) == []
    assert reasons("https://e.org/a.jpg", width=600, height=49) == ["image_declared_small"]
    assert reasons("https://e.org/a.jpg", width=1) == ["image_declared_small"]
    assert reasons("https://e.org/a.jpg") == []


def test_words_are_a_setting() -> None:
    assert ImageUrl(words=("Banner",)).measure_node(ImageNode(url="http://e.org/banners/logo.png")) == {
        "image_url_scheme": "http",
        "image_url_word": "Banner",
        "declared_short_side": None,
    }
