"""A loaded explorer over the made build, for all tests of its room."""

from __future__ import annotations

import pytest

from filters.table import FILTERS
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.tokens import Vocabulary
from pipelines.explorer.api import Api
from pipelines.explorer.tokens import Reading
from pipelines.layout import Layout
from pipelines.sources.table import SOURCES
from tests.pipelines.made_source import Brightness, MadeSource

SPECIAL = {1: "<s>", 2: "</s>", 3: "<|endofchunk|>", 4: "<image>", 0: "<pad>"}


def encode(text):
    """A token per character."""
    return [ord(letter) for letter in text], list(range(len(text)))


def decode(ids):
    return "".join(SPECIAL.get(one, chr(one)) for one in ids)


LETTERS = Vocabulary(encode=encode, bos=1, eos=2, end_of_chunk=3, image=4, pad=0, fingerprint="letters")


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """The made source and its filter have names in a recipe."""
    monkeypatch.setitem(SOURCES, "made", MadeSource)
    monkeypatch.setitem(FILTERS, "brightness", Brightness)


@pytest.fixture(scope="session")
def reading():
    """How a made training recipe reads shards."""
    return Reading("made.yaml", LETTERS, StreamSettings(row_tokens=512), decode)


@pytest.fixture(scope="session")
def api(first, reading):
    """Answers about the made build."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SOURCES, "made", MadeSource)
        patch.setitem(FILTERS, "brightness", Brightness)
        return Api(Layout(str(first)), reading)
