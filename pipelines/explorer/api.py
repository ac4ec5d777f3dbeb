"""What the pages of the explorer ask for: addresses and queries to plain data, pictures, recipes. All of it reads."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.files import exists, join
from pipelines.explorer.browse import Browser, Wanted
from pipelines.explorer.loading import Loading
from pipelines.explorer.thresholds import Thresholds
from pipelines.explorer.tokens import Packed, Reading, picture_of
from pipelines.layout import Layout
from pipelines.passes.outcome import Decisions
from pipelines.report import funnel_or_none
from pipelines.report_page.page import style_sheet
from pipelines.study import Study
from pipelines.thumbnails import thumbnail

SIDES = (96, 480)  # pixels of the longer side that pictures are shown with; any other number is not drawn
MOST_CARDS = 32  # documents of one answer
MOST_CHANGES = 256  # thresholds changed at once; recipes have some dozens
_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",  # our own icon
}
_STATIC = re.compile(r"[a-z]+\.(html|css|js|svg)")

Query = Mapping[str, list[str]]


@dataclass(frozen=True)
class Answer:
    """Bytes of a media type; file: the name under which a browser is to save them, "" where it shows them."""

    data: bytes
    kind: str = "application/json"
    status: int = 200
    file: str = ""


class Api:
    """Answers for one build. One question at a time is decided; reading documents goes on beside it."""

    def __init__(self, layout: Layout, reading: Reading | None) -> None:
        """Start reading the measures of the build; raises ConfigError where there is none that decided.

        reading: how training reads it, None where tokens cannot be shown.
        """
        self._loading = Loading(layout)
        is_packed = exists(join(layout.shards, "manifest.json"))
        self._packed = Packed(layout.shards, reading) if reading is not None and is_packed else None
        self._lock = threading.Lock()
        self._decided: tuple[tuple[str, ...], Decisions] | None = None
        self._answers: dict[str, Callable[[str, Query], Answer]] = {
            "build": self._build, "progress": self._progress, "recount": self._recount, "cards": self._cards,
            "recipe": self._recipe, "documents": self._documents, "document": self._document, "cluster": self._cluster,
            "tokens": self._tokens, "image": self._image, "packed": self._packed_image,
        }  # fmt: skip

    @property
    def _thresholds(self) -> Thresholds:
        return self._loading.thresholds()

    @property
    def _study(self) -> Study:
        return self._loading.study()

    @property
    def _browser(self) -> Browser:
        return Browser(self._study)

    def answer(self, path: str, query: Query) -> Answer:
        """Return what lies at a path below the token. What is not there is 404, what makes no sense 400."""
        if path in ("", "index.html") or _STATIC.fullmatch(path):
            return _static(path or "index.html")
        head, _, rest = path.removeprefix("api/").partition("/")
        found = self._answers.get(head) if path.startswith("api/") else None
        if found is None:
            return problem("there is nothing under this address", 404)
        try:
            return found(rest, query)
        except InfiMMError as error:
            return problem(str(error), 400)

    def _build(self, rest: str, query: Query) -> Answer:
        thresholds, layout = self._thresholds, self._loading.layout
        funnel = funnel_or_none(layout) or {}
        reasons = [one.reason for one in thresholds.now.funnel if one.level == "document" and one.dropped]
        return _json({
            "source": self._loading.recipe.source_kind,
            "documents": len(thresholds.now.documents.line),
            "images": len(thresholds.now.images.line),
            "shards": funnel.get("shards"),
            "sliders": [asdict(slider) for slider in thresholds.sliders],
            "reasons": list(dict.fromkeys(reasons)),
            "has_tokens": self._packed is not None,
        })  # fmt: skip

    def _progress(self, rest: str, query: Query) -> Answer:
        return _json(self._loading.progress)

    def _changes(self, query: Query) -> list[str]:
        asked = query.get("change", [])
        if len(asked) > MOST_CHANGES:
            raise ConfigError(f"{len(asked)} changes at once; expected at most {MOST_CHANGES}")
        return asked

    def _decisions(self, query: Query) -> Decisions:
        """Return the decisions under the changes of a query; the latest are kept for the pages that show them."""
        asked = tuple(self._changes(query))
        if not asked:
            return self._study.decisions
        with self._lock:
            if self._decided is None or self._decided[0] != asked:
                self._decided = asked, self._thresholds.decisions(asked)
            return self._decided[1]

    def _recount(self, rest: str, query: Query) -> Answer:
        with self._lock:
            return _json(self._thresholds.recount(self._changes(query)))

    def _cards(self, rest: str, query: Query) -> Answer:
        """Answer documents by their rows, which a recount names: their texts lie on disk, and counts wait for none."""
        rows = [row for text in query.get("row", [])[:MOST_CARDS] if (row := _number(text)) is not None]
        study = self._study
        known = [row for row in rows if row < study.facts.num_documents]
        return _json({"rows": self._browser.cards(known, study.decisions)})

    def _recipe(self, rest: str, query: Query) -> Answer:
        text = self._thresholds.recipe(self._changes(query))
        return Answer(text.encode(), "application/yaml; charset=utf-8", file="recipe.yaml")

    def _documents(self, rest: str, query: Query) -> Answer:
        wanted = Wanted(*(_one(query, name) for name in ("state", "reason", "text")))
        return _json(self._browser.find(wanted, _number(_one(query, "start")) or 0, self._decisions(query)))

    def _document(self, rest: str, query: Query) -> Answer:
        row = self._study.find(rest)
        return _missing("document") if row is None else _json(self._browser.read(row, self._decisions(query)))

    def _cluster(self, rest: str, query: Query) -> Answer:
        row, measure = self._study.find(rest), _one(query, "measure")
        names = self._study.facts.documents.column_names
        if row is None or measure not in names or not measure.endswith("_group"):
            return _missing("cluster")
        return _json(self._browser.cluster(row, measure, self._decisions(query)))

    def _tokens(self, rest: str, query: Query) -> Answer:
        row = self._study.find(rest)
        if self._packed is None or row is None or self._study.is_taken_down("document", row):
            return _missing("packed document")
        found = self._packed.read(rest)
        return _missing("packed document: it was dropped") if found is None else _json(found)

    def _image(self, rest: str, query: Query) -> Answer:
        row = _number(rest)
        data = self._study.picture(row) if row is not None and row < self._study.facts.num_images else None
        return _picture(data, query)

    def _packed_image(self, rest: str, query: Query) -> Answer:
        key, _, number = rest.partition("/")
        sample = self._packed.sample(key) if self._packed is not None else None
        return _picture(None if sample is None else picture_of(sample, _number(number) or 0), query)


def _json(data: Any) -> Answer:
    return Answer(json.dumps(data, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace"))


def problem(text: str, status: int) -> Answer:
    """Return what went wrong, in words for the page."""
    return Answer(json.dumps({"problem": text}).encode(), status=status)


def _missing(what: str) -> Answer:
    return problem(f"no such {what}", 404)


def _picture(data: bytes | None, query: Query) -> Answer:
    side = _number(_one(query, "side"))
    small = None if data is None else thumbnail(data, side if side in SIDES else SIDES[0])
    return _missing("picture") if small is None else Answer(small, "image/jpeg")


def _static(name: str) -> Answer:
    if name == "style.css":  # the theme of the report, and what only the explorer has
        own = files("pipelines.explorer").joinpath("static", "explorer.css").read_text(encoding="utf-8")
        return Answer((style_sheet() + own).encode(), _KINDS["css"])
    place = files("pipelines.explorer").joinpath("static", name)
    return Answer(place.read_bytes(), _KINDS[name.rpartition(".")[2]]) if place.is_file() else _missing("page")


def _one(query: Query, name: str) -> str:
    return query.get(name, [""])[0]


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else None
