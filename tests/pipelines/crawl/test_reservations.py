"""tdmrep.json: its patterns, its order, and what is made of a file that is none."""

from __future__ import annotations

import json
import time

import pytest

from pipelines.crawl.reservations import MAX_RULES, is_reserved, read_reservations


def rules(*entries):
    """entries: (location, tdm-reservation)."""
    found = [{"location": location, "tdm-reservation": value} for location, value in entries]
    return read_reservations(json.dumps(found).encode(), "a.example")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/", "/a.jpg"), ("/a/", "/a/b.jpg?c"), ("/a", "/ab"), ("/i/*.jpg", "/i/x/y.jpg?z"),
        ("/i/*.jpg$", "/i/a.jpg.jpg"), ("/whole$", "/whole"), ("*.png", "/x.png"), ("/a*", "/a"), ("/a*$", "/abc"),
        ("/*a*a*a$", "/aaa"), ("a/", "/a/b"),
        ("/foo-%24", "/foo-$"), ("/foo-%2a", "/foo-*"), ("/a%7Eb", "/a~b"), ("/a~b", "/a%7eb"), ("/é", "/%C3%A9"),
        ("/%c3%a9", "/%C3%A9"), ("/a%2fb", "/a%2Fb"),
    ],
)  # fmt: skip
def test_a_pattern_matches_as_in_robots_txt(pattern, path):
    assert is_reserved(rules((pattern, 1)), path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/a/", "/a"), ("/A", "/a"), ("/i/*.jpg$", "/i/x.jpg?z"), ("/i/*.jpg", "/i/x.png"), ("/whole$", "/wholes"),
        ("/*a*a*a$", "/aa"), ("/ab*b$", "/ab"), ("/a*b$", "/ac"), ("/a%2fb", "/a/b"), ("/foo-%24", "/foo-"),
    ],
)  # fmt: skip
def test_what_a_pattern_does_not_say_is_not_reserved(pattern, path):
    assert not is_reserved(rules((pattern, 1)), path)


def test_the_first_rule_that_matches_counts():
    found = rules(("/open/", 0), ("/", 1), ("/open/no/", 1))
    assert [is_reserved(found, path) for path in ("/open/a", "/open/no/a", "/a")] == [False, False, True]


@pytest.mark.parametrize("value", [1, "1"])
def test_one_reserves(value):
    assert is_reserved(rules(("/", value)), "/a")


@pytest.mark.parametrize("value", [0, "0", 2, "yes", True, None, [1], 1e999])
def test_another_value_states_nothing(value):
    assert not is_reserved(rules(("/", value)), "/a")


@pytest.mark.parametrize("location", [None, "", 1, ["/"]])
def test_a_rule_without_a_pattern_is_passed_over(location):
    assert is_reserved(rules((location, 0), ("/", 1)), "/a")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"\xff\xfe", b'{"location": "/", "tdm-reservation": 1}', b"null", b'[{"location": "/"',
        b"[1, [], null]", b"[" * 100_000, b"[" + b"9" * 100_000 + b"]",
    ],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_what_is_no_array_of_rules_reserves_nothing(body):
    assert read_reservations(body, "a.example") == ()


def test_a_byte_order_mark_is_read_over():
    body = b'\xef\xbb\xbf[{"location": "/", "tdm-reservation": 1}]'
    assert is_reserved(read_reservations(body, "a.example"), "/a")


def test_of_endless_rules_the_first_count():
    found = rules(*[(f"/{n}$", 1) for n in range(MAX_RULES)], ("/", 1))
    assert (is_reserved(found, "/0"), is_reserved(found, f"/{MAX_RULES - 1}"), is_reserved(found, "/a")) == (
        True, True, False,
    )  # fmt: skip


def test_a_pattern_full_of_wildcards_costs_no_time():
    found = rules(("/" + "*a" * 10_000 + "*b$", 1))
    start = time.monotonic()
    assert not is_reserved(found, "/" + "a" * 20_000)
    assert time.monotonic() - start < 5  # by a regular expression it would take longer than anyone lives
