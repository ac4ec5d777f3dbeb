"""The two tables: ours beside the published rows, and pages that hostile answers cannot break."""

import json

from model.evaluation.tables import instruction_table, pretraining_table, write_tables


def result(task, score, **rest):
    about = {"limit": None, "dataset": None, "zero_shot": None}
    return {"task": task, "score": score, "interval": [score - 1, score + 1], **about, **rest}


def test_our_rows_stand_with_their_number_of_shots():
    table = pretraining_table({("coco", 4): result("coco", 101.26), ("vqav2", 8): result("vqav2", 50.0, limit=10)})
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["InfiMM-Zephyr-7B, 0 shots"] == ("78.8", "60.7", "33.7", "15.2", "17.1")
    assert rows["IDEFICS-9B, 4 shots"] == ("93", "59.7", "55.4", "27.6", "45.5")
    assert rows["this model, 0 shots"] == ("-",) * 5
    assert rows["this model, 4 shots"] == ("101.3 [100.3, 102.3]", "-", "-", "-", "-")
    assert "this model, 0 shots, no example at all" in str(
        pretraining_table({("coco", 0): result("coco", 1.0, zero_shot="nothing")})
    )
    assert rows["this model, 8 shots"][2] == "50.0* [49.0, 51.0]"


def test_mme_shows_perception_and_cognition():
    table = instruction_table({("mme", 0): result("mme", 1400.0, cognition=300.0)})
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["this model"][1] == "1400.0 / 300.0 [1399.0, 1401.0]"
    assert rows["Otter-9B"] == ("-", "1292 / 306", "24.6", "22.69", "-", "32.2", "-")


def test_answers_are_text_on_the_page(tmp_path):
    folder = tmp_path / "vqav2" / "0-shot"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({**result("vqav2", 1.0), "shots": 0}))
    entry = {"rank": "best", "id": "1", "question": "<script>", "references": ["<b>"], "answer": "</html><img src=x>"}
    (folder / "gallery.json").write_text(json.dumps([{**entry, "points": 1.0, "picture": None}]))
    write_tables(str(tmp_path))
    page = (tmp_path / "tables.html").read_text()
    assert "&lt;/html&gt;&lt;img src=x&gt;" in page
    assert "<script>" not in page
    assert "| this model, 0 shots | - | - | 1.0 [0.0, 2.0] | - | - |" in (tmp_path / "tables.md").read_text()
