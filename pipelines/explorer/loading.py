"""Reads a build in the background: first what the sliders need, then what documents are shown with.

Whoever asks for a part waits until it is there; meanwhile it is said how far the reading is.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa

from infimm_data.errors import InfiMMError
from pipelines.explorer.compared import ComparedImages
from pipelines.explorer.thresholds import Thresholds, slider_measures
from pipelines.facts import DATE, Facts
from pipelines.item_tables import load_facts
from pipelines.layout import Layout
from pipelines.passes.group import add_document_groups, add_stored_comparisons
from pipelines.stored import stored_items, stored_recipe
from pipelines.study import Study, study_of

log = logging.getLogger(__name__)

READY = ""
"""The stage of a build that is read and compared."""


class Loading:
    """The parts of one build as they come."""

    def __init__(self, layout: Layout) -> None:
        """Start reading; raises ConfigError where there is no build that decided."""
        self.layout, self.recipe = layout, stored_recipe(layout)
        self._items = [item.key for item in stored_items(layout)]
        self._thresholds: Future[Thresholds] = Future()
        self._study: Future[Study] = Future()
        self._stage, self._done, self._of = "starting", 0, 0
        threading.Thread(target=self._load, daemon=True, name="loading").start()

    def thresholds(self) -> Thresholds:
        """Return the sliders once they are there; raises what ended the reading."""
        return self._thresholds.result()

    def study(self) -> Study:
        """Return all measures once they are there; raises what ended the reading."""
        return self._study.result()

    @property
    def progress(self) -> dict[str, Any]:
        """What is done now ("" where nothing is left to do), and how many of how many work items are."""
        return {"stage": self._stage, "done": self._done, "of": self._of}

    def _load(self) -> None:
        try:
            groups = ComparedImages()
            measured = self._read("reading what the thresholds compare", slider_measures(self.recipe))
            self._say("counting")
            self._thresholds.set_result(Thresholds(self.layout, self.recipe, measured, groups))
            whole = self._read("sliders are ready; reading documents and pictures", None)
            self._study.set_result(study_of(self.layout, self.recipe, whole, groups))
            self._say("documents are ready; comparing all pictures, until then a looser threshold takes longer")
            groups.learn(measured, self.recipe.steps)
            self._say(READY)
        except InfiMMError as error:
            self._end(error)
        except Exception as error:
            log.exception("reading ended")
            self._end(error)

    def _end(self, error: Exception) -> None:
        """Hand an error on to whoever waits for a part."""
        self._say(READY)
        for part in (self._thresholds, self._study):
            if not part.done():
                part.set_exception(error)

    def _say(self, stage: str, of: int = 0) -> None:
        self._stage, self._done, self._of = stage, 0, of

    def _read(self, stage: str, measures: Collection[str] | None) -> Facts:
        """Return the facts of all work items, several read at once: most of the work needs no lock of Python's."""
        self._say(stage, len(self._items))
        is_dated = DATE in {name.removeprefix("-") for name in self.recipe.dedup.rank}
        shares = [self._items] if is_dated else [[item] for item in self._items]  # dates are ranked over the whole set

        def read(share: Sequence[str]) -> Facts:
            found = load_facts(self.layout, share, self.recipe, measures)
            self._done += len(share)
            return found

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            facts = joined(list(pool.map(read, shares)))
        facts = add_document_groups(facts, self.recipe.steps, self.layout, self._items)
        return add_stored_comparisons(facts, self.recipe.steps, self.layout, self._items)


def joined(parts: Sequence[Facts]) -> Facts:
    """Return the facts of a build from those of its work items, in their order."""
    documents = np.cumsum([0, *(one.num_documents for one in parts)])
    items = np.cumsum([0, *(len(one.items) for one in parts)])
    return Facts(
        items=tuple(item for one in parts for item in one.items),
        documents=pa.concat_tables([one.documents for one in parts], promote_options="permissive"),
        images=pa.concat_tables([one.images for one in parts], promote_options="permissive"),
        document_item=np.concatenate([one.document_item + start for one, start in zip(parts, items[:-1], strict=True)]),
        document_row=np.concatenate([one.document_row for one in parts]),
        image_item=np.concatenate([one.image_item + start for one, start in zip(parts, items[:-1], strict=True)]),
        image_document=np.concatenate(
            [one.image_document + start for one, start in zip(parts, documents[:-1], strict=True)]
        ),
        rank=parts[0].rank,
        dates=np.concatenate([one.dates for one in parts]),
    )
