"""A piece of a document: tokens that stay together in a row, and the sample whose images they look at."""

from __future__ import annotations

from dataclasses import dataclass, replace

from infimm_data.shards import Sample
from infimm_data.stream.tokens import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """See the module.

    source: the number of its dataset; start, total: its first token in its document as written, and the tokens of
    that; is_whole: it is a conversation, which no cut leaves one.
    """

    tokens: Tokens
    sample: Sample
    source: int
    start: int
    total: int
    is_whole: bool

    @property
    def num_images(self) -> int:
        """Images that its tokens look at."""
        return sum(number >= 0 for number in self.tokens.seen)

    def cut(self, length: int) -> tuple[Piece, Piece]:
        """Return its first `length` tokens and the others."""
        first, rest = self.tokens.part(0, length), self.tokens.part(length, len(self.tokens))
        return replace(self, tokens=first), replace(self, tokens=rest, start=self.start + length)
