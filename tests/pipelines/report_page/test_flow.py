"""The flow: what goes into a step and does not come out of it is named."""

from __future__ import annotations

from pipelines.report_page.flow import Loss, Stretch, flow, most_first, reasons, stretches


def line(step, level, reason, came_in, dropped, threshold=""):
    return {
        "step": step,
        "level": level,
        "reason": reason,
        "came_in": came_in,
        "dropped": dropped,
        "threshold": threshold,
    }


FUNNEL = {
    "dump": {"skipped": {"no_content": 3}, "edited": {"c4_lines": {"short_line": 9}}, "documents": 10},
    "documents": {"in": 10, "kept": 6},
    "images": {"in": 40, "kept": 20, "lost_with_document": 12},
    "steps": [
        line("language", "document", "unwanted", 10, 3, "en"),
        line("language", "document", "uncertain", 7, 0),
        line("image_size", "image", "small", 30, 5, "64"),
        line("image_size", "image", "wide", 25, 3),
        line("image_count", "document", "too_few", 7, 1, "1"),
    ],
}


def test_documents_flow_from_step_to_step():
    assert stretches(FUNNEL, "document") == [
        Stretch("language", 10, (Loss("unwanted", 3, "en"),)),
        Stretch("image_count", 7, (Loss("too_few", 1, "1"),)),
    ]
    assert stretches(FUNNEL, "document")[-1].left == 6


def test_images_that_go_with_their_document_are_a_loss_between_the_steps():
    assert stretches(FUNNEL, "image") == [
        Stretch("with their document", 40, (Loss("document_dropped", 10),)),
        Stretch("image_size", 30, (Loss("small", 5, "64"), Loss("wide", 3))),
        Stretch("with their document", 22, (Loss("document_dropped", 2),)),
    ]


def test_the_flow_says_counts_losses_and_thresholds():
    text = flow("Documents", stretches(FUNNEL, "document"), start="10 <b>")
    assert "10 → 7" in text
    assert "−3</span> unwanted (threshold en), 30.0 %" in text
    assert "10 &lt;b&gt;" in text


def test_an_empty_flow_is_a_flow():
    empty = FUNNEL | {"steps": [], "documents": {"in": 0, "kept": 0}}
    assert stretches(empty, "document") == []
    assert "nothing" in flow("Documents", [], start="nothing")


def test_reasons_stand_most_first():
    assert [name for name, *_ in reasons(FUNNEL)] == [
        "short_line (c4_lines, part of a text)", "small (image)", "no_content (record)", "unwanted (document)",
        "wide (image)", "too_few (document)",
    ]  # fmt: skip


def test_what_is_left_over_is_one_row():
    assert most_first([("a", 1, 0), ("b", 3, 1), ("c", 2, 2)], 1) == [("b", 3, 1), ("2 others", 3, 2)]
