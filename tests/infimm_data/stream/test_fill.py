"""Filling rows by cuts: every token stays, once and in its order; conversations are never cut."""

import dataclasses

import numpy as np
import pytest

from infimm_data.stream.failures import Failures
from infimm_data.stream.fill import fill_up
from infimm_data.stream.rows import plan_rows
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.tokens import AT_WORD, tokenise
from tests.infimm_data.stream.obelics_like import obelics_like


def settings(**changed) -> StreamSettings:
    return StreamSettings(row_tokens=792, **changed)


def planned(vocabulary, chosen: StreamSettings):
    return plan_rows(obelics_like(128, seed=3, sigma=0.5), vocabulary, chosen, seed=(0,), failures=Failures(1))


def fill(rows) -> float:
    return sum(len(piece.tokens) for row in rows for piece in row) / (792 * len(rows))


def test_it_fills_rows_as_far_as_is_asked_and_cuts_nothing_otherwise(vocabulary):
    never, full = planned(vocabulary, settings(min_fill=0)), planned(vocabulary, settings(min_fill=0.97))
    assert fill(never) < 0.94
    assert fill(full) >= 0.97
    assert max(sum(len(piece.tokens) for piece in row) for row in full) <= 792
    assert sum(map(len, never)) < sum(map(len, full)) < 1.5 * sum(map(len, never))


@pytest.mark.parametrize("chosen", [settings(), settings(min_fill=0.99), settings(max_images=3)])
def test_every_token_of_every_document_stays_once(vocabulary, chosen):
    documents: dict[str, list] = {}
    for row in planned(vocabulary, chosen):
        for piece in row:
            documents.setdefault(piece.sample.document.id, []).append(piece)
    for sample in obelics_like(128, seed=3, sigma=0.5):
        parts = sorted(documents[sample.document.id], key=lambda piece: piece.start)
        whole = tokenise(sample.document, vocabulary)
        assert {piece.total for piece in parts} == {len(whole)}
        for name in ("ids", "image_index", "cuts"):
            assert np.array_equal(np.concatenate([getattr(p.tokens, name) for p in parts]), getattr(whole, name))
        for piece in parts[1:]:
            assert piece.tokens.cuts[0] >= AT_WORD or len(parts) == 1


def test_no_row_shows_more_images_than_it_may(vocabulary):
    rows = planned(vocabulary, settings(max_images=3))
    assert max(sum(piece.num_images for piece in row) for row in rows) == 3


def test_a_conversation_is_never_cut(vocabulary):
    rows = planned(vocabulary, settings(min_fill=0))
    whole = [[dataclasses.replace(piece, is_whole=True) for piece in row] for row in rows]
    filled = fill_up(whole, settings(min_fill=1))
    before = sorted((piece.sample.document.id, piece.start, len(piece.tokens)) for row in rows for piece in row)
    after = sorted((piece.sample.document.id, piece.start, len(piece.tokens)) for row in filled for piece in row)
    assert before == after


def test_nothing_stays_nothing():
    assert fill_up([], settings()) == []
