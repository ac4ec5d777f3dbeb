"""Paragraphs are counted over the whole set, however it is cut, before any page is edited."""

from __future__ import annotations

import pytest

from filters.paragraph_quality import ParagraphQuality
from filters.repeated_paragraph import RepeatedParagraph
from infimm_data.document import Document, Origin, TextNode
from infimm_data.tables import DOCUMENTS, document_row, open_table, read_documents, read_metadata
from pipelines.passes.edit import edit
from tests.pipelines.here import Here, make_run

SITE = [
    [("https://a.example/1", "menu\n\nfirst story"), ("https://b.example/1", "menu\n\nanother site")],
    [],
    [
        ("https://a.example/2", "Menu\n\nsecond story"),
        ("https://a.example/1?utm_source=x", "first story\n\ntaken again"),
        ("https://a.example/print/2", "menu\n\nsecond story"),
    ],
]


def edited(tmp_path, *items, steps=None, cluster=None, **dedup):
    run = make_run(
        tmp_path, steps or {"repeated_paragraph": RepeatedParagraph()}, range(len(items)), cluster=cluster, **dedup
    )
    for item, pages in zip(run.keys, items, strict=True):
        with open_table(run.layout.extracted(item), DOCUMENTS, fingerprint="x") as table:
            for number, (url, text) in enumerate(pages):
                document = Document(id=f"{item}-{number}", nodes=(TextNode(text=text),), origin=Origin(url=url))
                table.add(document_row(document))
    edit(run)
    return run, [[document.text for document in read_documents(run.layout.documents(item))] for item in run.keys]


def test_what_stands_on_two_pages_of_a_site_goes_from_all_of_them(tmp_path):
    """The story of page 1 stands in two takes of it, that of page 2 on its print version with the same text."""
    run, texts = edited(tmp_path, *SITE)
    assert texts == [
        ["first story", "menu\n\nanother site"],
        [],
        ["second story", "first story\n\ntaken again", "second story"],
    ]
    assert [read_metadata(run.layout.documents(item))[1]["edited"]["repeated_paragraph"] for item in run.keys] == [
        {"paragraph_repeated_on_site": 1},
        {},
        {"paragraph_repeated_on_site": 2},
    ]


def test_more_pages_may_be_allowed(tmp_path):
    assert edited(tmp_path, *SITE, steps={"repeated_paragraph": RepeatedParagraph(pages=2)})[1][0][0].startswith("menu")


@pytest.mark.parametrize(("memory", "num_cpus"), [(1_000_000, 1), ("2GB", 5)])
def test_the_same_paragraphs_go_however_the_work_is_cut(tmp_path, memory, num_cpus):
    pages = [(f"https://a.example/{n}", f"menu {n % 40}\n\nstory {n}") for n in range(300)]
    _, texts = edited(tmp_path, pages[:100], pages[100:], cluster=Here(num_cpus), memory=memory)
    assert [*texts[0], *texts[1]] == [f"story {n}" for n in range(300)]


def test_what_earlier_edits_drop_is_not_counted(tmp_path):
    steps = {"paragraph_quality": ParagraphQuality(), "repeated_paragraph": RepeatedParagraph()}
    prose = "The keeper of the old lighthouse wrote a letter to the town, and it was read in the hall."
    pages = [(f"https://a.example/{n}", f"menu\n\n{prose}") for n in range(2)]
    run, texts = edited(tmp_path, pages, steps=steps)
    assert texts == [[prose, prose]]  # the same text once the menu is gone: two takes of one page
    counts = read_metadata(run.layout.documents(run.keys[0]))[1]["edited"]
    assert (counts["paragraph_quality"] != {}, counts["repeated_paragraph"]) == (True, {})


def test_a_second_run_counts_and_edits_nothing(tmp_path):
    run, _ = edited(tmp_path, *SITE)
    assert not list((tmp_path / "groups").glob("*.shuffle"))
    run.cluster.names.clear()
    run.prints = {item.key: f"print{item.index}" for item in run.items}
    edit(run)
    assert run.reports[-1].results == []
    assert run.cluster.names == ["edit"]


def test_a_page_that_repeats_nothing_new_leaves_the_others_as_they_are(tmp_path):
    run, _ = edited(tmp_path, *SITE)
    run.prints = {item.key: f"print{item.index}" for item in run.items} | {run.keys[1]: "changed"}
    edit(run)
    assert len(run.reports[-1].results) == 1
