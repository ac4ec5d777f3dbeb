"""Facts made by hand, for tests of what is decided from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from infimm_data.rules import Rule
from pipelines.facts import Facts
from pipelines.recipe import Step


@dataclass(frozen=True)
class Rules:
    """A filter that is nothing but its rules."""

    level: str
    stated: tuple[Rule, ...]

    def rules(self):
        return self.stated


def step(name, level, *rules):
    """Return a recipe's step that states these rules."""
    return Step(name, Rules(level, rules))


def make_facts(documents, images, owners, item_of=None):
    """documents, images: columns by name; owners: the row in `documents` of each image; item_of: of each document."""
    num_documents, num_images = len(documents["id"]), len(owners)
    items = np.asarray(item_of if item_of is not None else np.zeros(num_documents), dtype=np.int64)
    owners = np.asarray(owners, dtype=np.int64)
    ids = pa.array(documents["id"], pa.string())
    keys = {
        "id": ids.take(pa.array(owners)) if num_images else pa.array([], pa.string()),
        "node": pa.array(range(num_images), pa.int64()),
        "url": pa.array([f"u{n}" for n in range(num_images)], pa.string()),
    }
    status = {"status": pa.array(["ok"] * num_images, pa.string())}
    rows = np.zeros(num_documents, dtype=np.int64)
    for item in set(items.tolist()):
        rows[items == item] = np.arange((items == item).sum())
    return Facts(
        items=tuple(f"item{n}" for n in range(int(items.max(initial=0)) + 1)),
        documents=pa.table({**documents, "id": ids}),
        images=pa.table({**keys, **status, **images}),
        document_item=items,
        document_row=rows,
        image_item=items[owners] if num_images else np.zeros(0, dtype=np.int64),
        image_document=owners,
    )
