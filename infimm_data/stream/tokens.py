"""A document into tokens, labels and the image each token may look at; long documents into pieces.

The form is OpenFlamingo's interleaved one, which InfiMM's code base inherits (INFIMM.md 2.3): `<s>`, text,
`<|endofchunk|><image>` before each image (the first without its `<|endofchunk|>` when no text precedes it), text,
..., `<|endofchunk|></s>`. No spaces around special tokens. Special tokens that stand in the text of a page are
text, never tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infimm_data.document import Document, ImageNode

IGNORED = -100
"""The label of a position without loss; torch's own default for cross-entropy."""

AT_IMAGE, AT_SENTENCE, AT_WORD, INSIDE_WORD = 3, 2, 1, 0
"""How good a place before a token is for a cut."""


def _codes(characters: str) -> npt.NDArray[np.uint32]:
    return np.array([ord(character) for character in characters], dtype=np.uint32)


_KNOWN = 0x3002  # code points that the tables hold; U+3000 is the last that is in one, what comes after is in none
_IS_SPACE = np.array([chr(code).isspace() for code in range(_KNOWN)])
_IS_END, _IS_QUOTE = (np.isin(np.arange(_KNOWN), _codes(characters)) for characters in (".!?…", "\"'”’)]"))
_UNSPACED_ENDS = _codes("。！？")

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What the stream needs of a tokenizer.

    encode: text -> (token ids without special tokens, the character of the text at which each token starts);
    bos, eos, end_of_chunk, image, pad: ids; fingerprint: changes whenever `encode` or an id does.
    """

    encode: Callable[[str], tuple[list[int], list[int]]]
    bos: int
    eos: int
    end_of_chunk: int
    image: int
    pad: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """L tokens of one document, or of a piece of it.

    ids, labels: [L]; image_index: [L], which image of the document (0 is its first) is the latest at or before
    the token, -1 before the first; cuts: [L], how good a cut before the token is (0-3).
    """

    ids: Ints
    labels: Ints
    image_index: Ints
    cuts: Ints

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> Tokens:
        """Return the tokens from `start` up to `stop`."""
        return Tokens(*(array[start:stop] for array in (self.ids, self.labels, self.image_index, self.cuts)))

    @property
    def seen(self) -> list[int]:
        """Return what `image_index` holds, each once, sorted; -1 where a token sees no image."""
        return (np.flatnonzero(np.bincount(self.image_index + 1)) - 1).tolist()

    @property
    def has_loss(self) -> bool:
        """Whether there is a label to learn from."""
        return bool((self.labels != IGNORED).any())


def joined(parts: Sequence[Tokens]) -> Tokens:
    """Return tokens one after the other; the images that they look at are of one document."""
    names = ("ids", "labels", "image_index", "cuts")
    return Tokens(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def tokenise(document: Document, vocabulary: Vocabulary, *, loss_before_first_image: bool = True) -> Tokens:
    """Return all tokens of a document; empty when it has neither text nor image.

    Labels are aligned with the ids (the model shifts): -100 on `<s>`, on `<image>` and on text whose node has
    `loss` False. `<|endofchunk|>` and `</s>` share the loss of the text before them.
    """
    columns = Columns()
    is_text_before, has_loss = False, True
    for node in document.nodes:
        if isinstance(node, ImageNode):
            columns.start_image(vocabulary, needs_end=len(columns.ids) > 0, has_loss=has_loss)
            is_text_before = False
        elif text := node.text.strip():
            has_loss = node.loss
            columns.add_text(("\n\n" if is_text_before else "") + text, vocabulary, has_loss=has_loss)
            is_text_before = True
    if not columns.ids:
        return Tokens(*(np.zeros(0, np.int64) for _ in range(4)))
    columns.add(vocabulary.end_of_chunk, has_loss=has_loss)
    columns.add(vocabulary.eos, has_loss=has_loss)
    columns.start(vocabulary.bos)
    tokens = columns.tokens()
    if not loss_before_first_image and columns.image >= 0:
        tokens.labels[tokens.image_index < 0] = IGNORED
    return tokens


class Columns:
    """The four columns of `Tokens` while they grow; image: the latest image so far."""

    def __init__(self, image: int = -1) -> None:
        """Start empty."""
        self.ids: list[int] = []
        self.labels: list[int] = []
        self.image_index: list[int] = []
        self.cuts: list[int] = []
        self.image = image

    def add(self, *tokens: int, has_loss: bool, cuts: Sequence[int] = (INSIDE_WORD,)) -> None:
        """Add tokens that look at the latest image; cuts: one per token."""
        self.ids.extend(tokens)
        self.labels.extend(tokens if has_loss else [IGNORED] * len(tokens))
        self.image_index.extend([self.image] * len(tokens))
        self.cuts.extend(cuts)

    def start_image(self, vocabulary: Vocabulary, *, needs_end: bool, has_loss: bool) -> None:
        """Add `<|endofchunk|><image>`; the end of the chunk still belongs to the image before."""
        if needs_end:
            self.add(vocabulary.end_of_chunk, has_loss=has_loss)
        self.image += 1
        self.add(vocabulary.image, has_loss=False, cuts=(AT_IMAGE,))

    def add_text(self, text: str, vocabulary: Vocabulary, *, has_loss: bool) -> None:
        """Add an encoded text."""
        ids, starts = vocabulary.encode(text)
        self.add(*ids, has_loss=has_loss, cuts=cut_qualities(text)[starts].tolist())

    def start(self, bos: int) -> None:
        """Put `<s>` in front."""
        self.cuts[0] = INSIDE_WORD  # a piece that holds nothing but `<s>` would teach nothing
        for column, value in ((self.ids, bos), (self.labels, IGNORED), (self.image_index, -1), (self.cuts, 0)):
            column.insert(0, value)

    def tokens(self) -> Tokens:
        """Return the columns as arrays."""
        columns = (self.ids, self.labels, self.image_index, self.cuts)
        return Tokens(*(np.array(column, dtype=np.int64) for column in columns))


def cut_qualities(text: str) -> Ints:
    """Return for each character how good a cut before it is (0-2); white space counts like what follows it.

    None before the first: what stands before a text is its image, and the two stay together.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    qualities = np.full(len(codes) + 1, INSIDE_WORD, dtype=np.int64)
    known = np.minimum(codes, _KNOWN - 1)
    is_space = _IS_SPACE[known]
    edges = np.flatnonzero(np.diff(is_space, prepend=False, append=False))
    starts, stops = edges[::2], edges[1::2]  # of the runs of white space
    before = np.where(starts > 0, known[starts - 1], 0)
    second = np.where(starts > 1, known[np.maximum(starts - 2, 0)], 0)
    lines = np.concatenate([[0], np.cumsum(codes == ord("\n"))])
    ends_sentence = _IS_END[before] | (_IS_END[second] & _IS_QUOTE[before]) | (lines[stops] > lines[starts])
    found = np.where(ends_sentence, AT_SENTENCE, AT_WORD)
    qualities[:-1][is_space] = np.repeat(found, stops - starts)
    qualities[stops] = found
    for end in _UNSPACED_ENDS:
        qualities[1:][codes == end] = AT_SENTENCE
    return qualities


def pieces(tokens: Tokens, max_tokens: int, *, max_images: int | None = None) -> Iterator[Tokens]:
    """Cut tokens into pieces of at most `max_tokens` (>= 1) that see at most `max_images` (>= 1), each of them kept.

    A cut goes before the last `<image>` that fits, else before the last sentence, else the last word, else where
    the row is full. A piece that goes on keeps seeing its last image; its first token has nothing before it, so
    it is never predicted (the only loss that a cut costs).
    """
    start = 0
    while True:
        whole = min(_images_end(tokens, start, max_images), len(tokens))
        if whole - start > max_tokens:
            window = tokens.cuts[start + 1 : start + max_tokens + 1]
            stop = start + max_tokens
            for quality in (AT_IMAGE, AT_SENTENCE, AT_WORD):
                places = np.flatnonzero(window == quality)
                if len(places):
                    stop = start + 1 + int(places[-1])
                    break
        else:
            stop = whole
        yield tokens.part(start, stop)
        start = stop
        if start >= len(tokens):
            return


def _images_end(tokens: Tokens, start: int, max_images: int | None) -> int:
    """Return where the first image stands that is one too many for a piece from `start` on."""
    if max_images is None:
        return len(tokens)
    index = tokens.image_index[start:]
    first = np.flatnonzero(np.diff(index, prepend=-1) != 0)  # where another image comes into sight
    first = first[index[first] >= 0]
    return start + int(first[max_images]) if len(first) > max_images else len(tokens)
