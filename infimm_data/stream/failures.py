"""What the stream skipped, counted by reason and named; too much in a row stops the run."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from infimm_data.errors import ShardError

log = logging.getLogger(__name__)

Kind = Literal["document", "image"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One image that was read, or not. reason: a slug, None where it was; what: its document and file."""

    what: str
    reason: str | None = None


@dataclass(slots=True)
class Failures:
    """Counts what was skipped, by reason, and stops the run when too much fails in a row.

    max_in_a_row: documents, or images, one after the other; counted per reader, so a damaged part of the shards
    stops every rank that meets it.
    """

    max_in_a_row: int
    documents: Counter[str] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)
    _in_a_row: dict[Kind, int] = field(default_factory=lambda: {"document": 0, "image": 0})

    def passed(self, kind: Kind) -> None:
        """Note a document or an image that was read."""
        self._in_a_row[kind] = 0

    def left_out(self, reason: str, number: int, what: str) -> None:
        """Count and name what is good but cannot be trained on."""
        self.documents[reason] += number
        log.warning("left out %d parts reason=%s %s", number, reason, what)

    def counts(self) -> dict[str, int]:
        """Return "document:REASON" and "image:REASON" -> how many were skipped so far."""
        named = (("document", self.documents), ("image", self.images))
        return {f"{kind}:{reason}": number for kind, found in named for reason, number in sorted(found.items())}

    def failed(self, kind: Kind, reason: str, what: str) -> None:
        """Count and name one that was skipped; raises ShardError when it is one too many in a row."""
        (self.documents if kind == "document" else self.images)[reason] += 1
        self._in_a_row[kind] += 1
        log.warning("skipped %s reason=%s %s", kind, reason, what)
        if self._in_a_row[kind] >= self.max_in_a_row:
            raise ShardError(
                f"{what}: {self._in_a_row[kind]} {kind}s in a row cannot be read (last reason: {reason}), at most "
                f"{self.max_in_a_row - 1} are skipped; verify the shards, or raise max_bad_in_a_row"
            )

    def note_images(self, readings: list[Reading]) -> None:
        """Count images in the order of their rows, whichever thread read them first."""
        for reading in readings:
            if reading.reason is None:
                self.passed("image")
            else:
                self.failed("image", reading.reason, reading.what)
