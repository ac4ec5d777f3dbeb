"""Where everything lies below OUT: one function per kind of file, so that no pass spells a path."""

from __future__ import annotations

import re
from dataclasses import dataclass

from infimm_data.errors import ConfigError
from infimm_data.files import file_names, join

_NUMBERED = re.compile(r"\d{5,}\.parquet")


@dataclass(frozen=True)
class Layout:
    """Paths of one build; `out` is a folder, local or any fsspec URL. `item` is a work item's `key`."""

    out: str

    @property
    def recipe(self) -> str:
        """The resolved recipe."""
        return join(self.out, "recipe.yaml")

    def extracted(self, item: str) -> str:
        """Documents of a work item before the recipe's edits; where there are none, they lie in `documents`."""
        return join(self.out, "extracted", f"{item}.parquet")

    @property
    def crawl(self) -> str:
        """The folder of a live crawl's WARC files."""
        return join(self.out, "crawl")

    @property
    def crawled_parts(self) -> str:
        """How many parts a live crawl is divided into."""
        return join(self.crawl, "parts.json")

    def crawled(self, part: int) -> str:
        """What came of a finished part of a live crawl."""
        return join(self.crawl, f"{part:05d}.json")

    def documents(self, item: str) -> str:
        """Documents of a work item, as all passes after the edits read them."""
        return join(self.out, "documents", f"{item}.parquet")

    def document_scores(self, item: str) -> str:
        """Measures of the documents of a work item."""
        return join(self.out, "scores", "documents", f"{item}.parquet")

    def image_scores(self, item: str) -> str:
        """Measures of the image nodes of a work item, taken before any fetch."""
        return join(self.out, "scores", "images", f"{item}.parquet")

    def pair_scores(self, name: str, item: str) -> str:
        """Scores of a model over image-text pairs of a work item; name: the step's config name."""
        return join(self.out, "scores", name, f"{item}.parquet")

    def assigned(self, name: str, item: str) -> str:
        """Which sentence the images of a work item go with; name: the step's config name."""
        return join(self.out, "scores", f"{name}.assigned", f"{item}.parquet")

    def images(self, item: str) -> str:
        """What was fetched for a work item: one row per URL."""
        return join(self.out, "images", f"{item}.parquet")

    def image_tar(self, item: str) -> str:
        """The bytes of the images of a work item."""
        return join(self.out, "images", f"{item}.tar")

    def groups(self, name: str) -> str:
        """The groups that one step found over the whole set; name: the step's config name."""
        return join(self.out, "groups", f"{name}.parquet")

    def decisions_folder(self, level: str) -> str:
        """The decisions of all work items; level: "documents" or "images"."""
        return join(self.out, "decisions", level)

    def decisions(self, level: str, item: str) -> str:
        """Kept or not, by which step and why."""
        return join(self.decisions_folder(level), f"{item}.parquet")

    @property
    def decided_items(self) -> str:
        """The work items on which the last run decided, in dump order."""
        return join(self.out, "decisions", "items.json")

    @property
    def shards(self) -> str:
        """The folder of shards, what training reads."""
        return join(self.out, "shards")

    def purge(self, name: str) -> str:
        """What was taken down: urls.txt, which every decision honours, and audit.jsonl."""
        return join(self.out, "purge", name)

    def report(self, name: str) -> str:
        """A file of the report."""
        return join(self.out, "report", name)


def refuse_numbered(layout: Layout) -> None:
    """Raise ConfigError where work items have numbers for names, as they had before they were called by their key."""
    found = next((name for name in file_names(join(layout.out, "documents")) if _NUMBERED.fullmatch(name)), None)
    if found is not None:
        raise ConfigError(
            f"{layout.out}: holds documents/{found} of an older version, which numbered its work items; build into "
            "another folder, or remove this one"
        )
