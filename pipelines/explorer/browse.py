"""Documents to browse: searched by text and by verdict, read with their pictures, twins beside each other."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infimm_data.document import Document, ImageNode, short_url
from infimm_data.files import file_system
from infimm_data.rules import Mask
from pipelines.passes.outcome import Decisions
from pipelines.passes.verdicts import shown
from pipelines.study import Study

PAGE = 25  # documents of one answer
SEARCH_S = 1.0  # of one answer; what is not searched by then is asked for again from there
EXCERPT = 200  # characters
TWINS = 8  # documents of a cluster that are shown beside each other
COMPARED = 6_000  # characters of a document that are compared with its twin's, word by word: the cost is quadratic

_WORD = re.compile(r"\S+\s*")


@dataclass(frozen=True)
class Wanted:
    """What to look for. state: "kept", "dropped" or "all"; reason: of the drop; text: in URL or text, in any case."""

    state: str = "all"
    reason: str = ""
    text: str = ""


class Browser:
    """Looks documents up for the pages of the explorer."""

    def __init__(self, study: Study) -> None:
        """Nothing is read yet."""
        self.study = study

    def find(self, wanted: Wanted, start: int, decisions: Decisions) -> dict[str, Any]:
        """Return documents from row `start` on, and the row to go on from (None: that was all)."""
        mask = self._mask(wanted, decisions)
        rows: list[int] = []
        after: int | None = None
        started = time.monotonic()
        for last, found in self._matching(wanted.text, start, mask):
            rows += found.tolist()
            is_long = time.monotonic() - started > SEARCH_S
            if len(rows) > PAGE or (is_long and last < self.study.facts.num_documents):
                after = rows[PAGE] if len(rows) > PAGE else last
                break
        rows = rows[:PAGE]
        return {"rows": self.cards(rows, decisions), "next": after}

    def _mask(self, wanted: Wanted, decisions: Decisions) -> Mask:
        verdicts = decisions.documents
        mask: Mask = np.ones(len(verdicts.line), dtype=bool)
        if wanted.state in ("kept", "dropped"):
            mask = verdicts.kept == (wanted.state == "kept")
        if wanted.reason:
            lines = [at for at, one in enumerate(decisions.funnel) if one.reason == wanted.reason]
            mask = mask & np.isin(verdicts.line, lines)
        return mask

    def _matching(self, text: str, start: int, mask: Mask) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
        """Yield (row after the last, matching rows) of stretches of the documents from `start` on."""
        if not text:
            yield len(mask), start + np.flatnonzero(mask[start:])[: PAGE + 1]
            return
        for place, item in enumerate(self.study.facts.items):
            at, end = (int(edge) for edge in np.searchsorted(self.study.facts.document_item, [place, place + 1]))
            if end <= start or not mask[at:end].any():
                continue
            fs, inside = file_system(self.study.layout.documents(item))
            with fs.open(inside, "rb") as file:
                parquet = pq.ParquetFile(file)
                for group in range(parquet.num_row_groups):
                    size = parquet.metadata.row_group(group).num_rows
                    if at + size > start:
                        here = mask[at : at + size] & _holds(parquet.read_row_group(group, ["url", "nodes"]), text)
                        rows = at + np.flatnonzero(here)
                        yield at + size, rows[rows >= start]
                    at += size

    def _card(self, row: int, document: Document, decisions: Decisions) -> dict[str, Any]:
        verdict = self.study.verdict("document", row, decisions)
        gone = self.study.is_taken_down("document", row)
        pictures = [at for at in self.study.image_rows(row).values() if decisions.images.kept[at]]
        return {
            "row": row,
            "id": document.id,
            "url": short_url(document.origin.url),
            "is_kept": verdict.is_kept,
            "verdict": verdict.text,
            "excerpt": "" if gone else document.text[:EXCERPT],
            "picture": pictures[0] if pictures else None,
            "images": len(document.images),
        }

    def cards(self, rows: Sequence[int], decisions: Decisions) -> list[dict[str, Any]]:
        """Return documents in short."""
        return [self._card(row, one, decisions) for row, one in zip(rows, self.study.documents(rows), strict=True)]

    def read(self, row: int, decisions: Decisions) -> dict[str, Any]:
        """Return a document as a reader would see it, with what was measured and decided at each image."""
        (document,) = self.study.documents([row])
        images = self.study.image_rows(row)
        gone = self.study.is_taken_down("document", row)
        nodes = [] if gone else [self._node(at, node, images, decisions) for at, node in enumerate(document.nodes)]
        groups = [name for name in self.study.facts.documents.column_names if name.endswith("_group")]
        return {
            **self._card(row, document, decisions),
            "date": document.origin.date,
            "licence": document.origin.licence,
            "dump": f"{document.origin.dump} at {document.origin.offset}",
            "nodes": nodes,
            "measures": _shown(self.study.measures("document", row)),
            "clusters": [name for name in groups if self.study.facts.document_groups(name)[row] >= 0],
        }

    def _node(self, at: int, node: Any, images: dict[int, int], decisions: Decisions) -> dict[str, Any]:
        if not isinstance(node, ImageNode):
            return {"text": node.text, "role": node.role}
        row = images.get(at)
        found = {"alt": node.alt, "caption": node.caption, "url": short_url(node.url), "role": node.role, "row": row}
        if row is None:
            return {**found, "is_kept": False, "verdict": "not known to the build", "measures": {}}
        verdict = self.study.verdict("image", row, decisions)
        said = {"is_kept": verdict.is_kept, "verdict": verdict.text, "is_there": self.study.picture(row) is not None}
        return {**found, **said, "measures": _shown(self.study.measures("image", row))}

    def cluster(self, row: int, measure: str, decisions: Decisions) -> dict[str, Any]:
        """Return the near-duplicates of a document beside each other, each with what differs from the first."""
        groups = self.study.facts.document_groups(measure)
        every = np.flatnonzero(groups == groups[row]) if groups[row] >= 0 else np.array([row])
        gone = {one for one in every.tolist() if self.study.is_taken_down("document", one)}
        rows = [row, *(one for one in every.tolist() if one != row and one not in gone)][:TWINS]
        documents = self.study.documents(rows)
        first = documents[0].text[:COMPARED]
        members = [
            {**self._card(one, document, decisions), "parts": differences(first, document.text[:COMPARED])}
            for one, document in zip(rows, documents, strict=True)
        ]
        return {"size": len(every), "members": members}


def differences(first: str, other: str) -> list[tuple[bool, str]]:
    """Return `other` in parts: (whether the part is not in `first`, its text), compared word by word."""
    ours, theirs = (_WORD.findall(text) for text in (first, other))
    matcher = difflib.SequenceMatcher(None, [w.strip() for w in ours], [w.strip() for w in theirs], autojunk=False)
    parts = []
    for kind, _, _, start, stop in matcher.get_opcodes():
        if stop > start:
            parts.append((kind != "equal", "".join(theirs[start:stop])))
    return parts


def _holds(table: pa.Table, text: str) -> Mask:
    """Return which documents of a table hold a text, in any case, in their URL or one of their texts."""
    found = pc.match_substring(table.column("url"), text, ignore_case=True)
    mask: Mask = pc.fill_null(found, False).to_numpy().astype(bool)
    nodes = table.column("nodes").combine_chunks()
    texts = pc.struct_field(pc.list_flatten(nodes), "text")
    hits = pc.fill_null(pc.match_substring(texts, text, ignore_case=True), False)
    mask[pc.list_parent_indices(nodes).to_numpy()[hits.to_numpy(zero_copy_only=False)]] = True
    return mask


def _shown(measures: dict[str, Any]) -> dict[str, str]:
    return {name: shown(value) for name, value in measures.items()}
