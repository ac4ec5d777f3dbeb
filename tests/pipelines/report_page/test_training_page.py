"""The report of a training run: what was logged is drawn, what was said is shown, nothing else is needed."""

from __future__ import annotations

import json

import pytest
from selectolax.lexbor import LexborHTMLParser

from pipelines.cli import main
from pipelines.report_page.training_page import training_page, write_training_page

LOG = [
    {"step": 10, "loss": 5.0, "fill": 0.9, "data_wait": 0.1, "useful_mfu": 0.2, "hardware_mfu": 0.4, "strange": 1},
    {"step": 10, "heldout_loss": 5.5},
    {"step": 20, "loss": 4.0, "fill": 0.8, "data_wait": 0.0, "loss_by_source": {"<b>web": 4.0, "captions": 3.0}},
    {"step": 20, "heldout_loss": 4.5},
]  # fmt: skip
SAMPLES = [
    {"pictures": [{"jpeg": "AAAA", "text": "A ring."}, {"jpeg": '"><script>', "text": "<script>alert(1)</script>"}]},
    {"step": 10, "captions": ["nothing", "x"]},
    {"step": 20, "captions": ["a ring", "<img src=x onerror=alert(1)>"]},
]


@pytest.fixture(scope="module")
def read():
    return LexborHTMLParser(training_page(LOG, SAMPLES))


def test_each_logged_field_is_drawn(read):
    said = read.css_first("#loss").text() + read.css_first("#speed").text()
    for text in ("training", "held out", "useful_mfu", "hardware_mfu", "fill", "data_wait", "strange"):
        assert text in said
    assert "Loss by source: source 1 is <b>web, source 2 is captions" in said


def test_captions_stand_beside_their_picture_by_step(read):
    first, second = read.css("article.said")
    assert [line.text() for line in first.css("li")] == ["step 10 nothing", "step 20 a ring", "the page A ring."]
    assert first.css_first("img").attributes["src"] == "data:image/jpeg;base64,AAAA"
    assert second.css("img") == [], "what is no base64 is no picture"
    assert "onerror" in second.text()


def test_nothing_runs(read):
    assert read.css("script") == []
    names = {name for node in read.css("*") for name in node.attributes}
    assert [name for name in names if name.startswith("on") or name == "style"] == []


def test_a_run_with_little_in_its_log_has_a_page():
    assert b"This run kept none" in training_page([{"step": 1, "heldout_loss": 0.0}], [])


def test_captions_of_many_steps_are_shown_from_the_first_to_the_last():
    many = [SAMPLES[0], *({"step": step, "captions": ["a", "b"]} for step in range(1, 101))]
    lines = LexborHTMLParser(training_page(LOG, many)).css_first("article.said").css("li")
    steps = [line.text() for line in lines][:-1]
    assert steps[0] == "step 1 a"
    assert steps[-1] == "step 100 a"
    assert len(steps) == 6


def test_a_line_that_was_cut_off_is_left_out(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOG) + '{"step": 3')
    assert main(["report", str(tmp_path)]) == 0
    assert f"look at: {tmp_path}/report/index.html" in capsys.readouterr().out
    before = (tmp_path / "report" / "index.html").read_bytes()
    write_training_page(str(tmp_path))
    assert (tmp_path / "report" / "index.html").read_bytes() == before


def test_a_run_that_logged_nothing_is_one_line(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_text("")
    assert main(["report", str(tmp_path)]) == 2
    assert "no metrics.jsonl with a logged step" in capsys.readouterr().err
