"""What a pass has dropped so far, in its progress line."""

from __future__ import annotations

import pyarrow as pa

from infimm_data.rules import AtLeast, AtMost, BestFraction, FirstOfGroup, GroupAtMost, OneOf
from pipelines.passes.extract import records
from pipelines.passes.fetch import asked
from pipelines.rates import IN, Rates, would_drop
from tests.pipelines.made_facts import step


def test_shares_are_of_all_that_came_in_with_the_most_frequent_reasons():
    rates = Rates()
    rates.add({IN: 600, "a": 60, "b": 6, "c": 100})
    rates.add({IN: 400, "a": 60, "d": 0})
    assert rates.line() == "1,000 in, 22.6 % dropped (a 12.0 %, c 10.0 %)"


def test_before_anything_came_in_there_is_nothing_to_say():
    assert Rates().line() == ""
    rates = Rates()
    rates.add({IN: 0})
    assert rates.line() == ""


def test_nothing_dropped_names_no_reason():
    rates = Rates()
    rates.add({IN: 3, "a": 0})
    assert rates.line() == "3 in, 0.0 % dropped"


def test_rules_are_asked_in_their_order_of_what_is_left():
    steps = (
        step("length", "document", AtLeast("words", 10, "short"), AtMost("words", 99, "long")),
        step("language", "document", OneOf("language", ("en",), "foreign")),
        step("size", "image", AtLeast("words", 1_000, "small")),
        step("later", "document", AtLeast("images_kept", 1, "no_images"), FirstOfGroup("group", "twin")),
    )
    table = pa.table({"words": [5.0, 50.0, 500.0, None, 20.0], "language": ["de", "en", "en", "en", "de"]})
    assert would_drop(steps, "document", table) == {IN: 5, "short": 2, "long": 1, "foreign": 1}


def test_rules_that_compare_rows_of_the_whole_set_are_not_asked():
    rules = (GroupAtMost("text", 1, "frequent"), BestFraction("score", 0.3, "not_best"), FirstOfGroup("text", "twin"))
    table = pa.table({"text": ["a", "a", None], "score": [1.0, 2.0, 3.0]})
    assert would_drop((step("compared", "document", *rules),), "document", table) == {IN: 3}


def test_an_empty_table_drops_nothing():
    table = pa.table({"words": pa.array([], pa.float64()), "nothing": pa.nulls(0)})
    rules = step("length", "document", AtLeast("words", 10, "short"), AtLeast("nothing", 1, "none"))
    assert would_drop((rules,), "document", table) == {IN: 0, "short": 0, "none": 0}


def test_records_that_became_no_document_are_drops_of_the_extract_pass():
    assert records({"documents": 7, "skipped": {"http_404": 3}, "examples": {}}) == {IN: 10, "http_404": 3}


def test_images_that_did_not_come_are_drops_of_the_fetch_pass():
    assert asked({"ok": 7, "timeout": 3}) == {IN: 10, "timeout": 3}
