"""The report of a finished build: all that was asked of it is there, and nothing hostile comes through."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from selectolax.lexbor import LexborHTMLParser

from filters.table import FILTERS
from pipelines.build import build
from pipelines.cli import main
from pipelines.layout import Layout
from pipelines.report import funnel_or_none
from pipelines.report_page.build_page import build_page, write_build_page
from pipelines.report_page.samples import SIDE
from pipelines.run import Run
from pipelines.sources.table import SOURCES
from pipelines.study import load_study
from tests.pipelines.made_source import STEPS, WEB, Brightness, MadeSource, make_recipe

HOSTILE = "<script>document.title='run'</script><img src=x onerror=alert(1)><a href='javascript:alert(1)'>x</a>"


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The made source and its filter have names in a recipe."""
    monkeypatch.setitem(SOURCES, "made", MadeSource)
    monkeypatch.setitem(FILTERS, "brightness", Brightness)


@pytest.fixture(scope="module")
def study(first):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "made", MadeSource)
        patch.setitem(FILTERS, "brightness", Brightness)
        return load_study(Layout(str(first)))


@pytest.fixture(scope="module")
def text(study):
    return build_page(study, funnel_or_none(study.layout)).decode()


@pytest.fixture(scope="module")
def read(text):
    return LexborHTMLParser(text)


def section(read, key):
    return read.css_first(f"#{key}")


def test_the_flow_ends_with_what_the_shards_hold(study, read):
    counts = [node.text() for node in section(read, "flow").css(".count")]
    kept = sum(shard.num_documents for shard in study.shards)
    assert any(count.endswith(f"→ {kept}") for count in counts)
    assert "too_few_words (threshold 10)" in section(read, "flow").text()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("reasons", "image_too_small (image)"),
        ("documents", "num_words: 24 measured; kept: at least 10"),
        ("images", "brightness: "),
        ("sizes", "images per document"),
        ("thresholds", "brightness: brightness, threshold 0.4"),
        ("dropped", "too_few_words: 3 (threshold 10)"),
        ("duplicates", "near_duplicate_text: 3 documents in 1 cluster"),
        ("pictures", "in 3 documents"),
        ("sites", "site0.example"),
        ("failures", "http_404"),
        ("passes", "extract"),
        ("provenance", "min_words: 10"),
        ("provenance", "sha256 of this recipe.yaml: "),
        ("sites", "Languages were not measured"),
        ("sizes", "Tokens are estimated, four for every three words"),
    ],
)
def test_each_section_says_what_it_is_for(key, said, read):
    assert said in section(read, key).text()


def test_the_checksum_of_every_shard_is_there(study, read):
    said = section(read, "provenance").text()
    assert study.shards
    assert all(shard.sha256 in said for shard in study.shards)


def test_kept_documents_show_their_pictures_small_and_encoded_anew(read):
    pictures = section(read, "kept").css("img")
    assert pictures
    for picture in pictures:
        kind, _, data = picture.attributes["src"].partition(",")
        assert kind == "data:image/jpeg;base64"
        assert max(Image.open(io.BytesIO(base64.b64decode(data))).size) <= SIDE


def test_nothing_is_loaded_from_elsewhere_and_nothing_runs(read):
    assert read.css("script, iframe, object, embed, link, form, base") == []
    for node in read.css("*"):
        for name, value in node.attributes.items():
            assert not name.startswith("on")
            assert name != "style"
            if name in ("src", "href", "xlink:href"):
                assert value.startswith(("#", "data:image/jpeg;base64,"))


def test_the_same_build_gives_the_same_page(first, study, text):
    again = build_page(load_study(Layout(str(first))), funnel_or_none(study.layout))
    assert again.decode() == text


def test_the_page_of_a_hostile_document_shows_it_as_text(cluster, web, tmp_path):
    dump = tmp_path / "dump"
    dump.mkdir()
    page = {
        "url": f"https://a.example/{HOSTILE}",
        "nodes": [f"{HOSTILE} {'word ' * 20}", {"image": "https://a/1-40.png"}],
    }
    (dump / "0.json").write_text(json.dumps([page]))
    run = Run(make_recipe(str(dump), STEPS[:1]), Layout(str(tmp_path / "out")), cluster, {WEB: web.address})
    build(run)
    read = LexborHTMLParser(Path(write_build_page(run.layout)).read_text())
    assert HOSTILE in section(read, "kept").text()
    test_nothing_is_loaded_from_elsewhere_and_nothing_runs(read)


def test_what_was_taken_down_is_not_shown_again(first, cluster, tmp_path):
    out = shutil.copytree(first, tmp_path / "out")
    layout = Layout(str(out))
    study = load_study(layout)
    kept = next(row for row in range(24) if study.verdict("document", row).is_kept and study.image_rows(row))
    (document,) = study.documents([kept])
    listed = tmp_path / "urls.txt"
    listed.write_text(document.origin.url + "\n")
    assert main(["purge", str(out), "--urls", str(listed)]) == 0
    after = load_study(layout)
    assert all(after.picture(row) is None for row in after.image_rows(kept).values())
    shown = Path(layout.report("index.html")).read_text()
    assert document.origin.url not in shown
    assert "purged (document)" in shown


def test_the_command_writes_the_page_and_says_where(first, tmp_path, capsys):
    out = shutil.copytree(first, tmp_path / "out")
    assert main(["report", str(out)]) == 0
    assert f"look at: {out}/report/index.html" in capsys.readouterr().out
    assert (out / "report" / "index.html").stat().st_size > 10_000


def test_a_folder_without_a_build_is_one_line(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "no report/funnel.json there" in capsys.readouterr().err
