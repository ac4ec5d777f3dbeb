"""Questions and annotations by id: joined as they are read, in step or not, with nobody lost."""

from __future__ import annotations

from pipelines.annotations.joining import join_rows
from pipelines.records.files import Record
from pipelines.sources.contract import Skipped


def rows(*ids, **fields):
    return [Record("a.json", n, {"id": name, **fields}) for n, name in enumerate(ids)]


def joined(questions, annotations):
    found = list(join_rows(iter(questions), iter(annotations), "id"))
    good = [(row.data["id"], row.data.get("q"), row.data.get("a")) for row in found if isinstance(row, Record)]
    return good, [row.detail for row in found if isinstance(row, Skipped)]


def test_rows_in_step_are_joined_without_anything_waiting():
    drawn = []

    def annotations():
        for row in rows(1, 2, 3, a="yes"):
            drawn.append(row.data["id"])
            yield row

    found = join_rows(iter(rows(1, 2, 3, q="why")), annotations(), "id")
    assert next(found).data == {"id": 1, "q": "why", "a": "yes"}
    assert drawn == [1]


def test_rows_in_another_order_are_joined_all():
    good, bad = joined(rows(1, 2, 3, q="why"), rows(3, 1, 2, a="yes"))
    assert sorted(good) == [(n, "why", "yes") for n in (1, 2, 3)]
    assert bad == []


def test_a_question_without_annotation_comes_as_it_is_and_an_annotation_without_question_is_named():
    good, bad = joined(rows(1, 2, q="why"), rows(2, 9, a="yes"))
    assert good == [(2, "why", "yes"), (1, "why", None)]
    assert bad == ["an annotation of id 9, which nobody asks"]


def test_damage_twins_and_rows_without_an_id_are_named_and_their_neighbours_stay():
    questions = [
        Skipped(reason="damaged_record", detail="broken"),
        *rows(1, 1, q="why"),
        Record("a.json", 7, {"q": "x"}),
        Record("a.json", 8, "text"),
        *rows(2, q="why"),
    ]
    good, bad = joined(questions, rows(1, 2, a="yes"))
    assert sorted(row[0] for row in good if row[2]) == [1, 2]
    assert {"broken", "no id; expected a text or a number"} <= set(bad)


def test_the_fields_of_the_question_count():
    (row,) = join_rows(
        iter([Record("a.json", 5, {"id": 1, "x": "q"})]),
        iter([Record("a.json", 9, {"id": 1, "x": "a", "y": "a"})]),
        "id",
    )
    assert row == Record("a.json", 5, {"id": 1, "x": "q", "y": "a"})
