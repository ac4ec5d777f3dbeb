"""Records of sentences and unordered images, as MMC4 and its relatives hold them, into documents.

Each image stands before the sentence that it goes with, and images in the order of the sentences: their order in
the record says nothing. (OpenFlamingo's loader keeps the record's order beside marks in sentence order, so that
from the second image on a mark may show another picture.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from infimm_data.assignment import assign_images
from infimm_data.document import ImageNode, Node, TextNode
from pipelines.interleaved.lists import BrokenImage, BrokenRecord, as_list
from pipelines.records.values import as_number

Assignment = Literal["stored", "computed"]
"""Where an image's sentence comes from: the record's `matched_text_index`, or its similarity matrix anew."""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Sentences, and images that are not placed yet; matrix: [images, sentences], or None where there is none."""

    sentences: Sequence[str]
    images: Sequence[ImageNode | BrokenImage]
    matched: Sequence[Any]
    matrix: Any


def read_matched(record: Mapping[str, Any], image: Any) -> Unmatched:
    """Return what an MMC4 record holds; image: makes a node of an entry of `image_info` and its position.

    Raises BrokenRecord where `text_list` or `image_info` is missing or something else.
    """
    sentences = sentences_of(as_list(record, "text_list"))
    entries = as_list(record, "image_info")
    images = [
        image(entry, number)
        if isinstance(entry, dict)
        else BrokenImage(number, f"it is {type(entry).__name__}, expected an object")
        for number, entry in enumerate(entries)
    ]
    matched = [entry.get("matched_text_index") if isinstance(entry, dict) else None for entry in entries]
    return Unmatched(sentences, images, matched, record.get("similarity_matrix"))


def sentences_of(found: Sequence[Any]) -> list[str]:
    """Return the sentences; raises BrokenRecord where one is no text."""
    for number, sentence in enumerate(found):
        if not isinstance(sentence, str):
            raise BrokenRecord("broken_record", f"text {number} is {type(sentence).__name__}, expected a text")
    return list(found)


def place_images(
    unmatched: Unmatched, assignment: Assignment, min_similarity: float | None
) -> Iterator[Node | BrokenImage]:
    """Yield the nodes: before each sentence its images, sentences without one between them joined by a space.

    min_similarity: with "computed", images whose best sentence lies below are BrokenImage; None is off. Raises
    BrokenRecord where a matrix is asked for and is not one of images x sentences.
    """
    if assignment == "stored":
        places = [_stored_place(one, len(unmatched.sentences)) for one in unmatched.matched]
        images = list(unmatched.images)
        problem = f"matched_text_index is no number below {len(unmatched.sentences)}"
    else:
        matrix = _checked_matrix(unmatched.matrix, len(unmatched.images), len(unmatched.sentences))
        places = _computed_places(unmatched.images, matrix, min_similarity)
        images = [_with_similarity(*one) for one in zip(unmatched.images, places, matrix, strict=True)]
        bound = "" if min_similarity is None else f" of at least {min_similarity}"
        problem = f"no sentence has a similarity{bound}"
    before: dict[int, list[ImageNode]] = {}
    for number, (image, place) in enumerate(zip(images, places, strict=True)):
        if isinstance(image, BrokenImage):
            yield image
        elif place is None:
            yield BrokenImage(number, problem)
        else:
            before.setdefault(place, []).append(image)
    yield from _in_sentence_order(unmatched.sentences, before)


def _computed_places(
    images: Sequence[ImageNode | BrokenImage], matrix: Sequence[Sequence[float]], min_similarity: float | None
) -> list[int | None]:
    """Assign among the images that are whole: a broken one takes no sentence from them."""
    whole = [number for number, image in enumerate(images) if isinstance(image, ImageNode)]
    places: list[int | None] = [None] * len(images)
    if whole:
        found = assign_images([matrix[number] for number in whole], min_similarity)
        for number, place in zip(whole, found, strict=True):
            places[number] = place
    return places


def _with_similarity(
    image: ImageNode | BrokenImage, place: int | None, row: Sequence[float]
) -> ImageNode | BrokenImage:
    if isinstance(image, BrokenImage) or place is None:
        return image
    return replace(image, scores={**image.scores, "matched_text_index": float(place), "matched_sim": row[place]})


def _stored_place(found: Any, num_sentences: int) -> int | None:
    number = as_number(found)
    is_place = number is not None and number.is_integer() and 0 <= number < num_sentences
    return int(number) if number is not None and is_place else None


def _checked_matrix(found: Any, num_images: int, num_sentences: int) -> list[list[float]]:
    """Return the matrix as numbers, NaN where an entry is none; raises BrokenRecord on another shape."""
    rows = found if isinstance(found, list) else []
    if len(rows) != num_images or not all(isinstance(row, list) and len(row) == num_sentences for row in rows):
        expected = f"expected {num_images} images x {num_sentences} sentences"
        raise BrokenRecord("broken_record", f"'similarity_matrix' has another shape, {expected}")
    return [[number if (number := as_number(one)) is not None else float("nan") for one in row] for row in rows]


def _in_sentence_order(sentences: Sequence[str], before: Mapping[int, Sequence[ImageNode]]) -> Iterator[Node]:
    run: list[str] = []
    for number, sentence in enumerate(sentences):
        if number in before:
            if run:
                yield TextNode(text=" ".join(run))
                run = []
            yield from before[number]
        if sentence.strip():
            run.append(sentence.strip())
    if run:
        yield TextNode(text=" ".join(run))
