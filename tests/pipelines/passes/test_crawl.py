"""The crawl pass: a list becomes archives and then shards; what is crawled is kept, also through a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from filters.image_count import ImageCount
from filters.text_length import TextLength
from infimm_data.errors import ConfigError
from infimm_data.shards import read_manifest
from pipelines.build import build
from pipelines.cli import main
from pipelines.fetch_settings import FetchSettings
from pipelines.layout import Layout
from pipelines.passes.crawl import outcomes
from pipelines.recipe import OutputSettings, Recipe, Step
from pipelines.run import Run
from pipelines.sources.live_crawl import LiveCrawl
from pipelines.stored import stored_recipe
from tests.pipelines.made_source import draw
from tests.site_server import Sites

ROOT = Path(__file__).resolve().parents[3]
HOSTS = tuple(f"site{n}.example" for n in range(3))
WORDS = " ".join(f"word{n}" for n in range(30))


@pytest.fixture
def web():
    """Three sites of three pages, each with a picture of its own."""
    with Sites() as served:
        for host in HOSTS:
            for n in range(3):
                name = f"{n}-64.png"
                served.add(f"{host}/{n}", f"<main><p>{host} {n} {WORDS}</p><img src='/{name}' alt='a picture'></main>")
                served.add(f"{host}/{name}", (200, {"Content-Type": "image/png"}, draw(f"{host}{name}-64.png")))
        yield served


def write_list(folder, count=3) -> str:
    path = folder / "pages.txt"
    path.write_text("".join(f"http://{host}/{n}\n" for host in HOSTS for n in range(count)))
    return str(path)


def recipe_of(path: str, **settings) -> Recipe:
    steps = (Step("text_length", TextLength(min_words=10)), Step("image_count", ImageCount(min_images=1)))
    fetch = FetchSettings(timeout_s=5, allow_private_hosts=HOSTS)
    source = LiveCrawl(**({"path": path, "parts": 2, "delay_s": 0.0, "page_images": True} | settings))
    return Recipe("live.yaml", "live_crawl", source, steps, fetch, OutputSettings())


def run_to(pass_, recipe, out, cluster, web) -> Run:
    run = Run(recipe, Layout(str(out)), cluster, web.connect_to(*HOSTS))
    build(run, pass_)
    return run


def test_a_list_becomes_shards_and_nothing_is_asked_for_twice(web, tmp_path, cluster):
    recipe = recipe_of(write_list(tmp_path))
    run = run_to("pack", recipe, tmp_path / "out", cluster, web)
    assert not run.failed
    assert sum(shard.num_documents for shard in read_manifest(run.layout.shards)) == 9
    assert set(Counter(web.asked()).values()) == {1}
    assert len(web.log) == 3 + 3 + 9 + 9  # robots.txt, tdmrep.json, pages, pictures
    assert outcomes(run.layout, 2)["page"] == {"ok": 9}
    shards = {path.name: path.read_bytes() for path in Path(run.layout.shards).iterdir()}
    again = run_to("pack", recipe, tmp_path / "out", cluster, web)
    assert len(web.log) == 24
    assert {path.name: path.read_bytes() for path in Path(again.layout.shards).iterdir()} == shards
    assert isinstance(stored_recipe(again.layout).source, LiveCrawl)


def test_a_list_that_grew_asks_for_what_is_new(web, tmp_path, cluster):
    run_to("crawl", recipe_of(write_list(tmp_path, count=2)), tmp_path / "out", cluster, web)
    before = len(web.log)
    run = run_to("crawl", recipe_of(write_list(tmp_path, count=3)), tmp_path / "out", cluster, web)
    assert sorted(key for _, key in web.log[before:]) == sorted(f"{h}/{p}" for h in HOSTS for p in ("2", "2-64.png"))
    assert outcomes(run.layout, 2)["page"] == {"ok": 9}


def test_another_number_of_parts_is_refused(web, tmp_path, cluster):
    path = write_list(tmp_path)
    run_to("crawl", recipe_of(path), tmp_path / "out", cluster, web)
    with pytest.raises(ConfigError, match="was crawled with 'parts: 2', found 3"):
        run_to("crawl", recipe_of(path, parts=3), tmp_path / "out", cluster, web)


def test_a_crawl_needs_a_local_folder(tmp_path, cluster, web):
    with pytest.raises(ConfigError, match="expected a local folder"):
        run_to("crawl", recipe_of(write_list(tmp_path)), "memory://out", cluster, web)


def test_an_empty_list_is_said(tmp_path, cluster, web):
    (tmp_path / "pages.txt").write_text("# none\n")
    with pytest.raises(ConfigError, match="hold no URL"):
        run_to("crawl", recipe_of(str(tmp_path / "pages.txt")), tmp_path / "out", cluster, web)


DRIVER = """
import json, sys
from pipelines.passes.crawl import crawl_item
from pipelines.layout import Layout
from tests.pipelines.passes.test_crawl import HOSTS, recipe_of
path, out, port = sys.argv[1:]
recipe = recipe_of(path, parts=1, delay_s=0.05)
item = recipe.source.work_items()[0]
there = dict.fromkeys(HOSTS, ("127.0.0.1", int(port)))
print(json.dumps(crawl_item(recipe.source, item, Layout(out), recipe.fetch, there, "print")))
"""


def test_a_crawl_killed_by_the_system_goes_on_and_asks_for_nothing_that_it_has(web, tmp_path):
    command = [sys.executable, "-c", DRIVER, write_list(tmp_path), str(tmp_path / "out"), str(web.address[1])]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while len(web.log) < 15 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert 15 <= len(web.log) < 24
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    assert json.loads(done.stdout) == {
        "image": {"ok": 9}, "page": {"ok": 9}, "robots": {"http_404": 3}, "tdmrep": {"http_404": 3},
    }  # fmt: skip
    twice = [key for key, number in Counter(web.asked()).items() if number > 1]
    assert len(twice) <= 2 * len(HOSTS)  # what each host was asked when the kill came: a page and its picture


def test_the_command_says_how_the_visits_came_out(web, tmp_path, cluster, capsys):
    recipe = tmp_path / "live.yaml"
    recipe.write_text(
        f"source: {{kind: live_crawl, path: {write_list(tmp_path)}, parts: 1, delay_s: 0}}\n"
        f"fetch: {{allow_private_hosts: [{', '.join(HOSTS)}]}}\n"
    )
    there = [word for host in HOSTS for word in ("--connect-to", f"{host}=127.0.0.1:{web.address[1]}")]
    assert main(["crawl", str(recipe), "--out", str(tmp_path / "out"), *there]) == 0
    said = capsys.readouterr().out
    assert "crawled (page): 9 ok\ncrawled (robots): 3 http_404\n" in said
    assert Counter(path.name for path in (tmp_path / "out" / "crawl").glob("*.gz")) == {"00000-00000.warc.gz": 1}


def test_other_sources_know_no_crawl_pass(tmp_path, capsys):
    assert main(["crawl", str(ROOT / "configs/build/demo.yaml"), "--out", str(tmp_path / "out")]) == 2
    assert "the source is 'web_archive'; expected kind: live_crawl" in capsys.readouterr().err
