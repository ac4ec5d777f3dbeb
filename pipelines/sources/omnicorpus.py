"""OmniCorpus (Li et al. 2024): parallel lists of texts and image URLs, with the scores that its makers took.

Fields as the cards of OpenGVLab/OmniCorpus-CC (README.md at commit 926d239, `dataset_info`) and OmniCorpus-CC-210M on
huggingface.co list them; those of the similarity variant as OmniCorpus' own loader reads them (OpenGVLab/OmniCorpus,
mllm_openflamingo/open_flamingo/train/data.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from infimm_data.document import Document, ImageNode
from pipelines.interleaved.lists import (
    BrokenImage,
    BrokenRecord,
    as_list,
    as_mapping,
    document_of,
    image_node,
    interleave,
    numbers,
    per_image,
)
from pipelines.interleaved.matched import Unmatched, place_images, sentences_of
from pipelines.records.files import Record
from pipelines.records.frame import RowSource
from pipelines.sources.contract import Skipped

IMAGE_SCORES = ("aesthetic_prob", "unsafe_prob", "p_hash_dup_count", "d_hash_dup_count")
DOCUMENT_MEASURES = ("fluency_prob", "non_advertisement_prob", "politics_prob", "porn_prob", "toxic_prob")


@dataclass(frozen=True, slots=True, kw_only=True)
class OmniCorpus(RowSource):
    """path, split, max_record_bytes: as `RowSource`; most often .parquet or .jsonl.

    Rows of the similarity variant (`sentences`, `matrix`, `images_info`, each entry alone or in a list of one) have no
    order: images are assigned to sentences on the matrix as it stands (OmniCorpus' own loader takes a softmax of each
    row first). min_similarity: of that variant, an image whose best sentence lies below is lost; None keeps all.

    Image scores: aesthetic_prob, unsafe_prob, p_hash_dup_count, d_hash_dup_count (matched_sim in the similarity
    variant); document measures: fluency_prob, non_advertisement_prob, politics_prob, porn_prob, toxic_prob.
    """

    kind: ClassVar[str] = "omnicorpus"
    columns: ClassVar[tuple[str, ...]] = (
        "images", "texts", "metadata", "general_metadata", "sentences", "matrix", "images_info", "url",
    )  # fmt: skip

    min_similarity: float | None = None

    def documents(self, record: Record) -> Iterator[Document | Skipped]:
        """Yield the document of a row."""
        general = as_mapping(record.data.get("general_metadata"))
        url = general.get("url") or record.data.get("url")
        yield from document_of(record, self._nodes(record), url=url, measures=numbers(general, DOCUMENT_MEASURES))

    def _nodes(self, record: Record) -> Iterator[Any]:
        if record.data.get("sentences") is not None:
            yield from place_images(_unmatched(record.data), "computed", self.min_similarity)
            return
        texts, urls = as_list(record.data, "texts"), as_list(record.data, "images")
        details = per_image(record.data.get("metadata"), urls)
        images = [_image(url, number, found) for number, (url, found) in enumerate(zip(urls, details, strict=True))]
        yield from interleave(texts, images)


def _image(url: Any, number: int, found: Mapping[str, Any]) -> ImageNode | BrokenImage | None:
    scores = numbers(found, IMAGE_SCORES)
    return image_node(url, number, width=found.get("width"), height=found.get("height"), scores=scores)


def _unmatched(data: Mapping[str, Any]) -> Unmatched:
    sentences = sentences_of([_alone(one) for one in as_list(data, "sentences")])
    images = []
    for number, entry in enumerate(as_list(data, "images_info")):
        found = as_mapping(entry)
        images.append(_image(_alone(found.get("name")), number, found) or BrokenImage(number, "it has no name"))
    matrix = data.get("matrix")
    if not isinstance(matrix, list):
        raise BrokenRecord("broken_record", f"'matrix' is {type(matrix).__name__}, expected a list")
    is_wrapped = all(isinstance(row, list) and len(row) == 1 and isinstance(row[0], list) for row in matrix)
    return Unmatched(sentences, images, [None] * len(images), [row[0] for row in matrix] if is_wrapped else matrix)


def _alone(found: Any) -> Any:
    """Return the entry of a list of one, which is how the similarity variant holds sentences and names."""
    return found[0] if isinstance(found, list) and len(found) == 1 else found
