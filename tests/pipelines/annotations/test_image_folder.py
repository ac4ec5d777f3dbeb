"""Image names out of an annotation file: none leads out of its folder, whatever it is called."""

from __future__ import annotations

import base64
import os

import pytest

from pipelines.annotations.image_folder import ImageFolder
from tests.web_server import PNG


@pytest.fixture
def folder(tmp_path):
    """A folder with an image, links inside and out, and a secret beside it."""
    root = tmp_path / "images"
    (root / "coco").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (root / "coco/a b.jpg").write_bytes(PNG)
    (root / "coco/gone.gif").write_bytes(PNG)
    os.symlink(root / "coco/a b.jpg", root / "inside.jpg")
    os.symlink(tmp_path / "secret.jpg", root / "outside.jpg")
    os.symlink(tmp_path, root / "up")
    os.mkfifo(root / "pipe.jpg")
    return ImageFolder(str(root))


SAFE = ["coco/a b.jpg", "./coco/a b.jpg", "coco//a b.jpg", "inside.jpg"]
UNSAFE = [
    "", "..", "../secret.jpg", "coco/../../secret.jpg", "/etc/passwd", "//etc/passwd", "coco\\..\\..\\x", "C:\\x.jpg",
    "c:x.jpg", "file:///etc/passwd", "s3://bucket/x.jpg", "a\0.jpg", "outside.jpg", "up/secret.jpg", "half \ud83d.jpg",
]  # fmt: skip


@pytest.mark.parametrize("name", SAFE)
def test_a_name_below_the_folder_is_read(folder, name):
    assert folder.url(name) == name
    assert list(folder.read([name], 10_000)) == [(name, PNG)]


@pytest.mark.parametrize("name", UNSAFE)
def test_a_name_that_leads_out_is_refused_and_never_read(folder, name):
    assert folder.url(name) is None
    assert list(folder.read([name], 10_000)) == []


@pytest.mark.parametrize("name", ["coco/a b.jpg", "inside.jpg"])
def test_an_absolute_name_below_the_folder_is_that_file(folder, tmp_path, name):
    assert folder.url(f"{tmp_path}/images/{name}") == name
    os.symlink(tmp_path / "images", tmp_path / "link")
    linked = ImageFolder(f"{tmp_path}/link/")
    assert linked.url(f"{tmp_path}/link/{name}") == linked.url(f"{tmp_path}/images/{name}") == name


@pytest.mark.parametrize("name", ["secret.jpg", "images/../secret.jpg", "images/up/secret.jpg", "images/", "imagesx/a"])
def test_an_absolute_name_elsewhere_is_refused_and_says_what_helps(folder, tmp_path, name):
    assert folder.url(f"{tmp_path}/{name}") is None
    assert folder.refusal(f"{tmp_path}/{name}").endswith("set images_root to a folder above it")


def test_another_suffix_of_an_absolute_name_is_absolute(folder, tmp_path):
    assert folder.other_suffix(f"{tmp_path}/images/coco/gone.jpg") == f"{tmp_path}/images/coco/gone.gif"


@pytest.mark.parametrize("name", ["coco", "coco/none.jpg", "pipe.jpg", "x" * 5000])
def test_what_is_no_file_there_is_no_image(folder, name):
    assert list(folder.read([name], 10_000)) == []


def test_a_file_above_the_bound_is_no_image(folder):
    assert list(folder.read(["inside.jpg"], len(PNG) - 1)) == []
    assert len(list(folder.read(["inside.jpg"], len(PNG)))) == 1


def test_addresses_stay_and_the_web_is_left_to_the_fetch_pass(folder):
    inline = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert folder.url("https://a.example/x.jpg") == "https://a.example/x.jpg"
    assert list(folder.read(["https://a.example/x.jpg", inline], 10_000)) == [(inline, PNG)]


def test_a_folder_in_the_web_makes_addresses_of_names():
    folder = ImageFolder("https://a.example/coco/")
    assert folder.url("train/a b.jpg") == "https://a.example/coco/train/a%20b.jpg"
    assert folder.url("../x.jpg") is None
    assert list(folder.read(["train/a.jpg"], 100)) == []


def test_a_folder_on_another_file_system_is_read(tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/set/a.jpg", PNG)
    memory.pipe("/secret.jpg", b"s")
    folder = ImageFolder("memory://set")
    assert list(folder.read(["a.jpg", "../secret.jpg", "none.jpg"], 10_000)) == [("a.jpg", PNG)]


def test_a_file_with_another_suffix_is_found_only_where_the_named_one_is_missing(folder):
    assert folder.other_suffix("coco/gone.jpg") == "coco/gone.gif"
    assert folder.other_suffix("coco/a b.jpg") is None
    assert folder.other_suffix("coco/none.jpg") is None
    assert folder.other_suffix("../secret.png") is None
    assert folder.other_suffix("https://a.example/x.jpg") is None
