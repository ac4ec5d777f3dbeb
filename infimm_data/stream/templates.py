r"""Conversations into tokens: the chat templates of Zephyr, Vicuna and LLaMA-2, with loss on the answers alone.

`<s>`, `</s>`, eoc (`<|endofchunk|>`) and `<image>` are tokens, all else is text, encoded as the tokenizer encodes
what stands between two tokens; `{a}` is an answer and the only text with loss:

    zephyr   <s><|system|>\n{s}</s>\n<|user|>\n{q}</s>\n<|assistant|>\n{a}</s>\n      image: eoc <image>
    vicuna   <s>{s} USER: {q} ASSISTANT: {a}eoc USER: {q} ASSISTANT: {a}eoc            image: <image>
    llama2   <s>[INST] <<SYS>>\n{s}\n<</SYS>>\n\n{q} [/INST] {a} </s><s>[INST] {q} ...   image: eoc <image>

Zephyr is that of InfiMM's processor, Vicuna that of the InfiMM-HD demo, where eoc is the end (INFIMM.md 2.2, 2.3);
LLaMA-2 is Meta's (llama/generation.py, chat_completion), an image as in InfiMM's processor, since what
InfiMM-Llama trained with is not published. What ends an answer (`</s>`, Vicuna's eoc) has its loss. A text without
its outer white space stands where its node stands: pieces of a turn are joined without anything between them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from infimm_data.document import Document, ImageNode, Node, TextNode
from infimm_data.stream.tokens import INSIDE_WORD, Columns, Tokens, Vocabulary, cut_qualities, joined, pieces

TemplateName = Literal["plain", "zephyr", "vicuna", "llama2"]
"""`plain` is the interleaved form of `infimm_data.stream.tokens`, which knows no roles."""

VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
"""What Vicuna was trained with where a conversation brings no system prompt of its own (INFIMM.md 2.3)."""


class Exchange(NamedTuple):
    """A question and its answer; latest: the number of the document's last image before it, -1 for none."""

    question: tuple[Node, ...]
    answer: tuple[Node, ...]
    latest: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A document with roles: its system prompt ("" for none) and its exchanges."""

    system: str
    exchanges: tuple[Exchange, ...]
    images: tuple[ImageNode, ...]


def conversation_of(document: Document) -> Conversation | None:
    """Return a document as a conversation; None where no node has a role.

    An exchange ends where an answer does. Turns of one role after each other are one turn; a system turn that does
    not come first, and a node without a role, belong to the question they stand in.
    """
    if all(node.role is None for node in document.nodes):
        return None
    system: list[str] = []
    exchanges: list[Exchange] = []
    question: list[Node] = []
    answer: list[Node] = []
    shown = latest = -1
    for node in document.nodes:
        is_opening = not (question or answer or exchanges)
        if node.role == "system" and is_opening and isinstance(node, TextNode):
            system.append(node.text.strip())
            continue
        if answer and node.role != "assistant":
            exchanges.append(Exchange(tuple(question), tuple(answer), latest))
            question, answer, latest = [], [], shown
        (answer if node.role == "assistant" else question).append(node)
        shown += isinstance(node, ImageNode)
    exchanges.append(Exchange(tuple(question), tuple(answer), latest))
    return Conversation("\n\n".join(filter(None, system)), tuple(exchanges), document.images)


class _Writer:
    """Collects the tokens of an exchange; texts between two tokens are encoded as one, as a tokenizer does.

    visible: the image that its first tokens look at, -1 for none; next_image: the number of the first one it shows.
    """

    def __init__(self, vocabulary: Vocabulary, visible: int, next_image: int) -> None:
        self.vocabulary = vocabulary
        self._columns = Columns(image=visible)
        self._next_image = next_image
        self._texts: list[tuple[str, bool]] = []

    def text(self, text: str, *, has_loss: bool = False) -> None:
        if text:
            self._texts.append((text, has_loss))

    def token(self, token: int, *, has_loss: bool = False) -> None:
        self._encode()
        self._columns.add(token, has_loss=has_loss)

    def image(self, *, needs_end: bool) -> None:
        if needs_end:
            self.token(self.vocabulary.end_of_chunk)
        self._encode()
        self._columns.image = self._next_image
        self._next_image += 1
        self._columns.add(self.vocabulary.image, has_loss=False)

    def content(self, nodes: Sequence[Node], *, needs_end: bool) -> bool:
        """Add the nodes of a turn; return whether its last text has loss."""
        is_text_before = has_loss = False
        for node in nodes:
            if isinstance(node, ImageNode):
                self.image(needs_end=needs_end)
                is_text_before = False
            elif text := node.text.strip():
                has_loss = node.loss and node.role == "assistant"
                self.text(("\n\n" if is_text_before else "") + text, has_loss=has_loss)
                is_text_before = True
        return has_loss

    def tokens(self) -> Tokens:
        self._encode()
        return self._columns.tokens()

    def _encode(self) -> None:
        """Encode the texts that wait; a token has the loss of the text in which it starts.

        A cut may lie inside an answer, never inside anything else.
        """
        if not self._texts:
            return
        ids, starts = self.vocabulary.encode("".join(text for text, _ in self._texts))
        first = end = 0
        for text, has_loss in self._texts:
            begin, end = end, end + len(text)
            stop = bisect_left(starts, end, lo=first)
            places = [start - begin for start in starts[first:stop]]
            cuts = cut_qualities(text)[places].tolist() if has_loss else [INSIDE_WORD] * len(places)
            self._columns.add(*ids[first:stop], has_loss=has_loss, cuts=cuts)
            first = stop
        self._texts = []


def _zephyr(write: _Writer, exchange: Exchange, system: str | None) -> None:
    if system is not None:
        write.token(write.vocabulary.bos)
        write.text(f"<|system|>\n{system}")
        write.token(write.vocabulary.eos)
    if exchange.question:
        write.text("\n<|user|>\n")
        write.content(exchange.question, needs_end=True)
        write.token(write.vocabulary.eos)
    write.text("\n<|assistant|>\n")
    if exchange.answer:
        has_loss = write.content(exchange.answer, needs_end=True)
        write.token(write.vocabulary.eos, has_loss=has_loss)


def _vicuna(write: _Writer, exchange: Exchange, system: str | None) -> None:
    if system is not None:
        write.token(write.vocabulary.bos)
        write.text(system or VICUNA_SYSTEM)
    if exchange.question:
        write.text(" USER: ")
        write.content(exchange.question, needs_end=False)
    write.text(" ASSISTANT:")
    if exchange.answer:
        _answer(write, exchange, write.vocabulary.end_of_chunk, needs_end=False)


def _llama2(write: _Writer, exchange: Exchange, system: str | None) -> None:
    write.token(write.vocabulary.bos)
    write.text("[INST] ")
    if system:
        write.text(f"<<SYS>>\n{system}\n<</SYS>>\n\n")
    write.content(exchange.question, needs_end=True)
    write.text(" [/INST]")
    if exchange.answer:
        _answer(write, exchange, write.vocabulary.eos, needs_end=True, after=" ")


def _answer(write: _Writer, exchange: Exchange, end: int, *, needs_end: bool, after: str = "") -> None:
    """Add an answer whose first space is its own: the prompt of a generation ends before it."""
    has_loss = any(isinstance(node, TextNode) and node.loss and node.text.strip() for node in exchange.answer)
    write.text(" ", has_loss=has_loss)
    has_loss = write.content(exchange.answer, needs_end=needs_end)
    write.text(after, has_loss=has_loss)
    write.token(end, has_loss=has_loss)


_Template = Callable[[_Writer, Exchange, "str | None"], None]
"""Writes an exchange up to where its answer begins, and the answer if it has one; system: None but for the first."""

TEMPLATES: dict[TemplateName, tuple[_Template, str]] = {
    "zephyr": (_zephyr, "\n"),
    "vicuna": (_vicuna, ""),
    "llama2": (_llama2, ""),
}
"""How an exchange is written, and what stands after the last one."""


def chat_prompt(document: Document, vocabulary: Vocabulary, template: TemplateName) -> Tokens:
    """Return a conversation up to where the model's next answer begins. template: any but `plain`.

    Raises ValueError when the document has no roles.
    """
    conversation = conversation_of(document)
    if conversation is None:
        raise ValueError(f"document {document.id}: no node has a role, so it is no conversation")
    chat = _Chat(vocabulary, template, conversation)
    exchanges = conversation.exchanges
    open_end = exchanges if not exchanges[-1].answer else (*exchanges, Exchange((), (), len(conversation.images) - 1))
    return joined([chat.exchange(one, is_first=number == 0) for number, one in enumerate(open_end)])


def chat_pieces(
    conversation: Conversation, vocabulary: Vocabulary, template: TemplateName, max_tokens: int
) -> tuple[list[Tokens], int]:
    """Return a conversation as pieces of at most `max_tokens`, none without loss, and how many exchanges do not fit.

    One that is longer is split between exchanges. Each piece is a conversation of its own: it starts with `<s>` and
    the system prompt, and shows again the image that it goes on about. An answer that is longer than a piece goes
    on in pieces of its own, cut at sentences. A question that alone fills a piece is left out with its answer: half
    a question teaches nothing. So is a question without an answer, which is not counted.
    """
    chat = _Chat(vocabulary, template, conversation)
    found: list[Tokens] = []
    part: list[Tokens] = []
    num_too_long = 0
    for exchange in (one for one in conversation.exchanges if one.answer):
        tokens = chat.exchange(exchange, is_first=not part)
        if part and sum(map(len, (*part, tokens))) + len(chat.end) > max_tokens:
            found.append(chat.closed(part))
            part, tokens = [], chat.exchange(exchange, is_first=True)
        if len(tokens) + len(chat.end) <= max_tokens:
            part.append(tokens)
        elif chat.question_length(exchange) < max_tokens:
            found += pieces(chat.closed([tokens]), max_tokens)
        else:
            num_too_long += 1
    if part:
        found.append(chat.closed(part))
    return [piece for piece in found if piece.has_loss], num_too_long


class _Chat:
    """One conversation in one template; end: ids of what stands after the last exchange."""

    def __init__(self, vocabulary: Vocabulary, template: TemplateName, conversation: Conversation) -> None:
        self._vocabulary, self._conversation = vocabulary, conversation
        self._template, end = TEMPLATES[template]
        self.end = vocabulary.encode(end)[0] if end else []

    def exchange(self, exchange: Exchange, *, is_first: bool) -> Tokens:
        """Return an exchange as the first of a piece, with what it needs to be understood, or as a later one."""
        if not is_first:
            write = _Writer(self._vocabulary, exchange.latest, exchange.latest + 1)
            self._template(write, exchange, None)
            return write.tokens()
        again: tuple[Node, ...] = ()
        if exchange.latest >= 0 and not (exchange.question and isinstance(exchange.question[0], ImageNode)):
            again = (self._conversation.images[exchange.latest],)
        write = _Writer(self._vocabulary, -1, exchange.latest + 1 - len(again))
        again_asked = exchange._replace(question=(*again, *exchange.question))
        self._template(write, again_asked, self._conversation.system)
        return write.tokens()

    def closed(self, exchanges: Sequence[Tokens]) -> Tokens:
        """Return exchanges as one piece, with what stands after the last; it looks where the token before it looks."""
        columns = Columns(image=int(exchanges[-1].image_index[-1]))
        columns.add(*self.end, has_loss=False, cuts=[INSIDE_WORD] * len(self.end))
        return joined([*exchanges, columns.tokens()])

    def question_length(self, exchange: Exchange) -> int:
        """Return how many tokens stand before the answer when the exchange is the first of a piece."""
        return len(self.exchange(exchange._replace(answer=()), is_first=True))
