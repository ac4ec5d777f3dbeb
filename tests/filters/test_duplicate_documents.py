"""Filters that link documents by a digest: what counts as the same URL, and as the same set of images."""

from __future__ import annotations

import numpy as np
import pytest

from filters.duplicate_image_set import DuplicateImageSet
from filters.duplicate_url import DuplicateUrl
from filters.exact_duplicate_image import ExactDuplicateImage
from infimm_data.comparing import LiveImages
from infimm_data.document import Document, ImageNode, Origin
from infimm_data.errors import ConfigError
from infimm_data.urls import host
from tests.filters.test_table import live_images


def at(url: str) -> bytes:
    return DuplicateUrl().signature(Document(id="0", nodes=(), origin=Origin(url=url)))


def showing(*urls: str, **settings: int) -> bytes:
    nodes = tuple(ImageNode(url=url) for url in urls)
    return DuplicateImageSet(**settings).signature(Document(id="0", nodes=nodes))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a",
        "HTTPS://WWW.Example.ORG:443/a/",
        "https://example.org/a?utm_source=x&utm_medium=mail#top",
        "https://example.org/%61?fbclid=1",
    ],
)
def test_one_page_written_in_many_ways_is_one(url: str) -> None:
    assert at(url) == at("https://example.org/a")


@pytest.mark.parametrize("url", ["https://example.org/A", "https://example.org/a?id=1", "https://example.com/a", ""])
def test_another_page_is_another(url: str) -> None:
    assert at(url) != at("https://example.org/a")


def test_parameters_that_count_stay_whole() -> None:
    assert at("https://e.org/?id=1&gclid=x") == at("https://e.org/?id=1") != at("https://e.org/?gclid_kept=1")


def test_a_page_without_a_url_has_no_twin() -> None:
    assert at(" ") == b""


def test_an_image_set_is_a_set() -> None:
    assert showing("http://a.e/1", "http://a.e/2") == showing("https://a.e/2", "http://a.e/1", "http://a.e/1")
    assert showing("http://a.e/1") != showing("http://a.e/1", "http://a.e/2")


def test_too_few_images_have_no_twin() -> None:
    assert showing() == showing("") == showing("http://a.e/1", "http://a.e/1", from_images=2) == b""
    assert len(showing("http://a.e/1", "http://a.e/2", from_images=2)) == 16
    with pytest.raises(ConfigError, match="from_images is 0"):
        DuplicateImageSet(from_images=0)


def test_files_are_counted_by_their_sha256() -> None:
    images = live_images(4)
    images = LiveImages(images.phash, images.sha256[[0, 1, 0, 0]], np.array([0, 0, 0, 1]))
    found = ExactDuplicateImage().compare(images)
    assert found["image_file_documents"].tolist() == [2, 1, 2, 2]
    assert found["image_file_repeat"].tolist() == [0, 0, 1, 0]


def test_a_host_is_one_with_and_without_www_and_scheme() -> None:
    assert [host(url) for url in ("http://WWW.A.example:80/x", "https://a.example")] == ["a.example"] * 2
    assert host("data:image/png;base64,x") == host("") == ""
