"""Archives over HTTP: asked again when the store is busy or breaks off, never led elsewhere, always with a reason."""

from __future__ import annotations

import pytest

from infimm_data.errors import SourceError
from pipelines.archives import remote
from pipelines.archives.files import open_archive
from pipelines.archives.remote import archive_file_system
from tests.archive_server import ArchiveServer

DATA = bytes(range(256)) * 100


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 0.01)
    (tmp_path / "a.warc.gz").write_bytes(DATA)
    with ArchiveServer(tmp_path) as served:
        yield served


def read(store, name="a.warc.gz"):
    with open_archive(store.url + name) as file:
        return file.read(1 << 20)


def problem(store, name="a.warc.gz"):
    with pytest.raises(SourceError) as caught:
        read(store, name)
    return str(caught.value)


def test_a_file_is_read_by_ranges(store):
    assert read(store) == DATA
    assert [(method, asked) for method, _, asked in store.requests] == [
        ("HEAD", ""),
        ("GET", f"bytes=0-{len(DATA) - 1}"),
    ]


def test_a_busy_store_is_asked_again(store):
    store.busy = 3
    assert read(store) == DATA
    assert len(store.requests) == 5


def test_an_answer_that_breaks_off_is_asked_again(store):
    store.cut = 2
    assert read(store) == DATA
    assert sum(1 for method, _, _ in store.requests if method == "GET") == 3


def test_a_store_that_stays_busy_is_given_up_with_its_answer(store):
    store.busy = 1_000
    assert "HTTP 503, asked 6 times" in problem(store)


def test_a_file_that_is_not_there_is_asked_for_once(store):
    assert "HTTP 404" in problem(store, "b.warc.gz")
    assert len(store.requests) == 2  # HEAD, then GET, as fsspec does


@pytest.mark.parametrize("target", ["http://10.0.0.1/a", "file:///etc/passwd", "http://127.0.0.2:9/a"])
def test_a_redirect_to_a_private_place_is_refused(store, target):
    store.redirects["/a.warc.gz"] = target
    assert "cannot be read" in problem(store)
    with pytest.raises(remote.READ_ERRORS, match=r"refused|file:"):
        archive_file_system(store.url)[0].cat_file(store.url + "a.warc.gz", 0, 10)


def test_a_redirect_on_the_named_host_is_followed(store):
    store.redirects["/b.warc.gz"] = "/a.warc.gz"
    assert read(store, "b.warc.gz") == DATA


def test_a_server_that_ignores_ranges_never_sends_a_whole_archive(store):
    store.answers_ranges = False
    filesystem, _ = archive_file_system(store.url)
    (answer,) = filesystem.cat_ranges([store.url + "a.warc.gz"], [100], [200], on_error="return")
    assert "does not answer byte ranges" in str(answer)
    (answer,) = filesystem.cat_ranges([store.url + "a.warc.gz"], [0], [200], on_error="return")
    assert f"sends {len(DATA)} bytes where 200 were asked for" in str(answer)


def test_bytes_after_the_end_are_named_as_such(store):
    filesystem, _ = archive_file_system(store.url)
    (answer,) = filesystem.cat_ranges([store.url + "a.warc.gz"], [len(DATA)], [len(DATA) + 9], on_error="return")
    assert isinstance(answer, remote.NotThereError)


def test_a_name_that_is_not_known_is_asked_for_twice(monkeypatch):
    asked = []
    monkeypatch.setattr(remote, "FIRST_WAIT_S", 0.01)

    def names(host, *_, **__):
        import socket

        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr("pipelines.http_session.socket.getaddrinfo", names)
    with pytest.raises(remote.StoreError, match="asked 2 times"):
        archive_file_system("https://nowhere.example/")[0].cat_file("https://nowhere.example/a", 0, 10)
    assert asked == ["nowhere.example"] * 2
