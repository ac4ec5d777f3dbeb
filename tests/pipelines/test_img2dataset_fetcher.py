"""What holds for the engine img2dataset alone: it is guarded or refused, and leaves the rest of the process alone."""

from __future__ import annotations

import io
import sys
import types
import urllib.request

import pytest

from infimm_data.errors import ConfigError
from pipelines import img2dataset_fetcher
from pipelines.fetch_settings import FetchSettings
from pipelines.fetcher import fetch_all
from pipelines.img2dataset_fetcher import check_installed
from pipelines.recipe import load_recipe
from tests.web_server import PNG, HostileWeb

HOST = "pictures.example"
SETTINGS = FetchSettings(engine="img2dataset", timeout_s=2, allow_private_hosts=(HOST,), attempts=1, robots=False)


def pretend(monkeypatch, download):
    """Put a download function where img2dataset's is, so that these tests need no package."""
    module = types.ModuleType("img2dataset.downloader")
    module.download_image_with_retry = download
    monkeypatch.setattr(img2dataset_fetcher, "check_installed", lambda: None)
    monkeypatch.setitem(sys.modules, "img2dataset", types.ModuleType("img2dataset"))
    monkeypatch.setitem(sys.modules, "img2dataset.downloader", module)


def through_urllib(row, timeout, retries, user_agent_token, disallowed):
    try:
        with urllib.request.urlopen(urllib.request.Request(row[1]), timeout=timeout) as answer:
            return row[0], io.BytesIO(answer.read()), None
    except Exception as error:  # noqa: BLE001  # as img2dataset does
        return row[0], None, str(error)


def test_a_version_that_asks_by_another_way_is_refused_before_it_asks_anything(monkeypatch):
    pretend(monkeypatch, lambda row, *_: (row[0], io.BytesIO(b"from somewhere"), None))
    with pytest.raises(ConfigError, match="nothing would guard it; install img2dataset=="):
        list(fetch_all(["http://a.example/"], SETTINGS))


def test_requests_of_others_in_the_process_go_the_way_they_always_went(monkeypatch):
    pretend(monkeypatch, through_urllib)
    with HostileWeb() as web:
        assert [a.status for a in fetch_all([f"http://{HOST}/ok"], SETTINGS, {HOST: web.address})] == ["ok"]
        port = web.address[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ok", timeout=2) as answer:
            assert answer.read() == PNG
        private = list(fetch_all([f"http://127.0.0.1:{port}/ok"], SETTINGS))
        assert [answer.status for answer in private] == ["private_address"]


def test_a_failure_of_img2dataset_itself_is_an_answer_with_a_slug(monkeypatch):
    def download(row, *given):
        if "invalid" in row[1]:
            return through_urllib(row, *given)
        return row[0], None, "Something went wrong: [Errno -2]"

    pretend(monkeypatch, download)
    assert [answer.status for answer in fetch_all(["http://a.example/"], SETTINGS)] == ["connection_error"]


def test_a_recipe_that_asks_for_an_absent_package_stops_with_the_extra_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(img2dataset_fetcher, "IMPORTED", ("img2dataset_absent", "json"))
    path = tmp_path / "r.yaml"
    path.write_text("source: {kind: web_archive, path: x}\nfetch: {engine: img2dataset}\n")
    with pytest.raises(ConfigError) as error:
        load_recipe(str(path))
    assert str(error.value).startswith("fetch engine img2dataset: img2dataset_absent not installed")
    assert "pip install 'infimm[img2dataset]'" in str(error.value)


def test_an_unknown_engine_is_a_config_error(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("source: {kind: web_archive, path: x}\nfetch: {engine: img2datset}\n")
    with pytest.raises(ConfigError, match=r"'fetch\.engine' is 'img2datset'"):
        load_recipe(str(path))


def test_the_real_download_function_takes_what_it_is_given():
    try:
        check_installed()
    except ConfigError as error:
        pytest.skip(str(error))
    with HostileWeb() as web:
        urls = [f"http://{HOST}{page}" for page in ("/ok", "/tag/noml", "/hops/2", "/gzip")]
        answers = list(fetch_all([*urls, "file:///etc/passwd"], SETTINGS, {HOST: web.address}))
    assert [a.status for a in answers] == ["ok", "opted_out", "ok", "ok", "unsupported_scheme"]
    assert {a.data for a in answers if a.status == "ok"} == {PNG}
