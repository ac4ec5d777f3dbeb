"""A row with a list of turns (LLaVA, ShareGPT, OpenAI messages) as nodes, and back to the row that it was.

| | names read |
|---|---|
| the list of turns | conversations, messages, conversation |
| of a turn: who, what | from or role; value or content (a text, or a list of text and image parts) |
| who | human, user; gpt, assistant, chatgpt, model; system |
| images, in the order of their placeholders | images or image: a name, or a list of names |
| a system prompt beside the turns | system |

What else a row holds stays in the document's `record`, with its numbers, its order and its white space.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from infimm_data.document import Document, ImageNode, Node, Role, TextNode

PLACEHOLDER = "<image>"
TURNS = ("conversations", "messages", "conversation")
WHO = ("from", "role")
WHAT = ("value", "content")
IMAGES = ("images", "image")
OTHER_MEDIA = ("videos", "video", "audios", "audio")  # LLaMA-Factory's and LLaVA-Video's names
ROLES: dict[str, Role] = {
    "human": "user", "user": "user",
    "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "model": "assistant",
    "system": "system",
}  # fmt: skip

Path = list[str | int]


class NotAConversation(ValueError):  # noqa: N818 -- an outcome with a reason slug, counted by the source
    """A row that cannot be read as a conversation; `reason` is the slug that the funnel counts."""

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the slug beside the detail."""
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn. pieces: texts as they stand, None for a placeholder, an image part's own name as ("image", name).

    texts: for each text of the row its path in the row and how many pieces it became.
    """

    role: Role
    pieces: tuple[str | tuple[Literal["image"], str] | None, ...]
    texts: tuple[tuple[Path, int], ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a text nor an image."""
        return all(isinstance(piece, str) and not piece.strip() for piece in self.pieces)


@dataclass(slots=True)
class Conversation:
    """A row as it was read. images: the names for the placeholders, in order; the turns may be in any order."""

    row: dict[str, Any]
    turns: list[Turn] = field(default_factory=list)
    images: list[str] = field(default_factory=list)

    @property
    def num_placeholders(self) -> int:
        """Placeholders in all turns."""
        return sum(piece is None for turn in self.turns for piece in turn.pieces)


def first_key(row: dict[str, Any], names: Sequence[str]) -> str | None:
    """Return the first of the names that the row has."""
    for name in names:  # not a generator: this is asked four times a turn
        if name in row:
            return name
    return None


def turns_of(row: Any) -> tuple[str, list[Any]]:
    """Return the name of the list of turns and the list; raises NotAConversation."""
    if not isinstance(row, dict):
        raise NotAConversation("not_an_object", f"found {type(row).__name__}, expected an object")
    name = first_key(row, TURNS)
    if name is None or not isinstance(row[name], list) or not row[name]:
        raise NotAConversation("no_conversation", f"keys {', '.join(row)[:200]}; expected one of {', '.join(TURNS)}")
    return name, row[name]


def read_conversation(row: Any, placeholder: str = PLACEHOLDER) -> Conversation:
    """Return a row as turns; raises NotAConversation naming what is wrong."""
    name, turns = turns_of(row)
    found = Conversation(row, images=image_names(row))
    if isinstance(row.get("system"), str) and row["system"]:
        found.turns.append(Turn("system", (row["system"],), ((["system"], 1),)))
    for number, turn in enumerate(turns):
        found.turns.append(_turn(turn, [name, number], placeholder))
    return found


def image_names(row: dict[str, Any]) -> list[str]:
    """Return the names of a row's images; raises NotAConversation where they are no names, or where it shows films."""
    if (other := next((key for key in OTHER_MEDIA if row.get(key)), None)) is not None:
        raise NotAConversation("other_media", f"'{other}' is {str(row[other])[:80]!r}; only images are read")
    name = first_key(row, IMAGES)
    names = None if name is None else row[name]
    if names is None or names == "":
        return []
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(one, str) and one for one in names):
        raise NotAConversation("bad_image_list", f"'{name}' is {str(names)[:80]!r}; expected names of files")
    return names


def _turn(turn: Any, path: Path, placeholder: str) -> Turn:
    if not isinstance(turn, dict):
        raise NotAConversation("bad_turn", f"turn {path[-1]} is {type(turn).__name__}, expected an object")
    who, what = first_key(turn, WHO), first_key(turn, WHAT)
    if who is None or what is None:
        keys = ", ".join(turn)[:100]
        raise NotAConversation("bad_turn", f"turn {path[-1]} has the keys {keys}; expected from, value")
    role = ROLES.get(turn[who]) if isinstance(turn[who], str) else None
    if role is None:
        raise NotAConversation(
            "unknown_role", f"turn {path[-1]} is of {str(turn[who])[:40]!r}; known: {', '.join(ROLES)}"
        )
    content = turn[what]
    if isinstance(content, str):
        pieces = split_text(content, placeholder)
        return Turn(role, pieces, (([*path, what], len(pieces)),))
    if not isinstance(content, list):
        raise NotAConversation("bad_turn", f"turn {path[-1]}: '{what}' is {type(content).__name__}, expected a text")
    return _turn_of_parts(role, content, [*path, what], placeholder)


def _turn_of_parts(role: Role, parts: list[Any], path: Path, placeholder: str) -> Turn:
    """Read a list of parts, as OpenAI's messages and transformers' chat templates have it."""
    pieces: list[Any] = []
    texts: list[tuple[Path, int]] = []
    for number, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            split = split_text(part["text"], placeholder)
            texts.append(([*path, number, "text"], len(split)))
            pieces += split
        elif kind in ("image", "image_url"):
            source = part.get("image") or part.get("image_url") or part.get("url") or part.get("path")
            source = source.get("url") if isinstance(source, dict) else source
            pieces.append(("image", source) if isinstance(source, str) else None)
            texts.append(([], 1))
        else:
            raise NotAConversation("bad_turn", f"part {number} is {str(part)[:80]}; expected a text or an image")
    return Turn(role, tuple(pieces), tuple(texts))


def split_text(text: str, placeholder: str) -> tuple[str | None, ...]:
    """Return the texts around the placeholders, empty ones left out, and None for each placeholder."""
    pieces: list[str | None] = []
    for number, piece in enumerate(text.split(placeholder)):
        pieces += [None] if number else []
        pieces += [piece] if piece else []
    return tuple(pieces)


def nodes_of(conversation: Conversation, urls: Sequence[str]) -> tuple[Node, ...]:
    """Return the nodes; urls: of the images in the order in which they are shown, inline ones included."""
    shown = iter(urls)
    nodes: list[Node] = []
    for turn in conversation.turns:
        for piece in turn.pieces:
            if isinstance(piece, str):
                nodes.append(TextNode(text=piece, role=turn.role, loss=turn.role == "assistant"))
            else:
                nodes.append(ImageNode(url=next(shown), role=turn.role))
    return tuple(nodes)


def names_shown(conversation: Conversation) -> list[str]:
    """Return the names of the images in the order in which they are shown; raises NotAConversation on a mismatch."""
    if conversation.num_placeholders != len(conversation.images):
        found = f"{conversation.num_placeholders} placeholders for {len(conversation.images)} images"
        raise NotAConversation("placeholder_mismatch", found)
    names = iter(conversation.images)
    pieces = [piece for turn in conversation.turns for piece in turn.pieces if not isinstance(piece, str)]
    return [next(names) if piece is None else piece[1] for piece in pieces]


def record_of(conversation: Conversation, placeholder: str = PLACEHOLDER) -> str:
    """Return the record of the document: the row without its texts, and where each of them stood.

    Raises NotAConversation when the row holds what JSON cannot: nesting without end, a number beyond all bounds.
    """
    texts = [text for turn in conversation.turns for text in turn.texts]
    for path, _ in texts:
        if path:
            _put(conversation.row, path, None)
    data = {"row": conversation.row, "texts": texts, "placeholder": placeholder}
    try:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (RecursionError, ValueError) as error:
        raise NotAConversation("not_json", str(error)) from None


def _put(row: Any, path: Path, value: str | None) -> None:
    for step in path[:-1]:
        row = row[step]
    row[path[-1]] = value


class NodesChanged(ValueError):  # noqa: N818 -- an answer: the row has to be made anew
    """The nodes of a document are not those that its record tells of."""


def written_row(document: Document) -> dict[str, Any]:
    """Return a document as a row of LLaVA's JSON; one that was read from a row of any style as that very row.

    Raises NodesChanged when a document has lost or gained nodes since it was read.
    """
    if not document.record:
        return new_row(document)
    record = json.loads(document.record)
    if sum(number for _, number in record["texts"]) != len(document.nodes):
        raise NodesChanged(f"document {document.id}: it has not the nodes that its record tells of")
    nodes = iter(document.nodes)
    for path, number in record["texts"]:
        found = [next(nodes) for _ in range(number)]
        if path:
            texts = (node.text if isinstance(node, TextNode) else record["placeholder"] for node in found)
            _put(record["row"], path, "".join(texts))
    return dict(record["row"])


def new_row(document: Document) -> dict[str, Any]:
    """Return a new row with the document's id; a node without a role is the assistant's."""
    row: dict[str, Any] = {"id": document.id}
    urls = [node.url for node in document.images]
    if urls:
        row["image"] = urls[0] if len(urls) == 1 else urls
    who = {"user": "human", "system": "system"}
    turns: list[dict[str, str]] = []
    for node in document.nodes:
        name = who.get(node.role or "", "gpt")
        text = node.text if isinstance(node, TextNode) else PLACEHOLDER
        if turns and turns[-1]["from"] == name:
            turns[-1]["value"] += "\n" + text
        else:
            turns.append({"from": name, "value": text})
    return {**row, "conversations": turns}
