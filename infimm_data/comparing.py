"""What filters answer whose question is about the whole set: near copies, repeated paragraphs, counts, embeddings.

They are asked besides what `infimm_data.rules` lists; the passes of `pipelines.dedup` ask them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from infimm_data.document import Document


@runtime_checkable
class GroupsDocuments(Protocol):
    """A filter that compares documents with each other: those with equal signatures are one group."""

    def signature(self, document: Document) -> bytes:
        """Return what is compared, stored once per document; b"" for a document that has no twin by rule.

        Digests of 16 bytes (`infimm_data.links.digest`), but for a filter that is `GroupsNearCopies` as well.
        """
        ...


@dataclass(frozen=True)
class LiveImages:
    """The images that are still wanted at a step, in dump order, one row each.

    phash: 64-bit perceptual hashes; sha256: hex digests of the files; document: a number of the document of each.
    at_once: how many of them a filter may hold beside what `allocate` gives it (`infimm_data.near_groups`).
    """

    phash: npt.NDArray[np.uint64]
    sha256: npt.NDArray[np.object_]
    document: npt.NDArray[np.int64]
    at_once: int = 1 << 40
    allocate: Callable[[int, npt.DTypeLike], npt.NDArray[Any]] = np.empty


@runtime_checkable
class GroupsImages(Protocol):
    """A filter that compares fetched images with each other, or with those of benchmarks.

    compares: what of an image it looks at, "phash" and "sha256"; only that is filled in.
    """

    compares: ClassVar[tuple[str, ...]]

    def compare(self, images: LiveImages) -> Mapping[str, npt.NDArray[Any]]:
        """Return one or more measures, a value for each image; the same names for any images."""
        ...


@runtime_checkable
class CountsImageGroups(Protocol):
    """A filter over images that counts groups of equal or similar ones: what it compares is a key of each image alone.

    Asked of one set of images after the other it needs its pairs found once, as those of a subset are among them.
    """

    def similar(self, keys: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the positions of both ends of each pair of distinct keys that are one image, perhaps repeatedly."""
        ...

    def counted(
        self, groups: npt.NDArray[np.int64], documents: npt.NDArray[np.int64]
    ) -> Mapping[str, npt.NDArray[np.float64]]:
        """Return the measures; groups, documents: a number of each image's group and document, in reading order."""
        ...


@runtime_checkable
class EditsRepeated(Protocol):
    """An edit that must know what stands on other pages: paragraphs are counted over the whole set first.

    pages: inclusive, on how many pages what has one key may stand.
    """

    pages: int

    def keys(self, document: Document) -> list[bytes]:
        """Return the 16-byte keys of what is counted on a page, each once."""
        ...

    def edit_repeated(self, document: Document, repeated: Collection[bytes]) -> tuple[Document, Mapping[str, int]]:
        """Return the document without what has a key among `repeated`, and how many parts went, by reason slug."""
        ...


@runtime_checkable
class GroupsNearCopies(Protocol):
    """A filter that also joins documents whose signatures differ: near copies of a text.

    signature_bytes: length of every signature that is not empty.
    """

    @property
    def signature_bytes(self) -> int:
        """Bytes of a signature."""
        ...

    def keys(self, signatures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
        """Return [documents, keys]: documents are compared where they share a key; signatures: [documents, bytes]."""
        ...

    def alike(self, left: npt.NDArray[np.uint8], right: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Return which pairs of different signatures that share a key join; left, right: [pairs, bytes]."""
        ...


@runtime_checkable
class CountsImageUrls(Protocol):
    """A filter that asks how often an image stands in the whole set, by its URL alone: before any fetch."""

    def image_key(self, url: str) -> str:
        """Return what is counted for a URL (as `short_url` gives it); "" is not counted."""
        ...


@runtime_checkable
class ComparesEmbeddings(Protocol):
    """A filter that compares images by the vectors that an earlier step stored in scores/.

    embeddings_of: the config name of that step. clusters: how many the vectors are cut into, None: by their number.
    iterations, seed: of the search for the clusters.
    """

    embeddings_of: str
    clusters: int | None
    iterations: int
    seed: int
