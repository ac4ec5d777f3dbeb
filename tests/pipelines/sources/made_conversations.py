"""A small LLaVA set on disk: rows of every kind that hygiene knows, and their pictures."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

from PIL import Image


def picture(grey: int, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16), (grey, grey, grey)).save(buffer, kind)
    return buffer.getvalue()


def llava(name, image, *turns, **fields):
    """A row; turns: "q: text" or "a: text"."""
    who = {"q": "human", "a": "gpt"}
    said = [{"from": who[turn[0]], "value": turn[3:]} for turn in turns]
    return {"id": name, **({"image": image} if image else {}), **fields, "conversations": said}


GOOD = [
    llava("000000000000", "coco/0.jpg", "q: <image>\nWhat is it? ", "a: A dark square.\n", "q: Sure?", "a: Yes."),
    llava(1, "coco/1.jpg", "q: Tell me.\n<image>", "a: A grey square."),
    llava("text", None, "q: Hello", "a: Hi, how are you?", model=""),
    llava("gif", "coco/gif.jpg", "q: <image>\nWhat?", "a: A picture of a GIF."),
]
SPOILT = [
    llava("broken", "coco/broken.jpg", "q: <image>\nWhat?", "a: Nothing."),
    llava("missing", "coco/none.jpg", "q: <image>\nWhat?", "a: Nobody knows."),
    llava("suffix", "coco/other.jpg", "q: <image>\nWhat?", "a: A GIF under its own name."),
    llava("first", None, "a: Me first.", "q: Who?", "a: You."),
    llava("no place", "coco/1.jpg", "q: What is grey?", "a: The square."),
    llava("two places", "coco/1.jpg", "q: <image><image>What?", "a: One square."),
    llava("empty", None, "q: Why?", "a: "),
    llava("text", None, "q: Another", "a: row of the same name."),
    llava("text", None, "q: Hello", "a: Hi, how are you?", model=""),
    llava("climbs", "../secret.jpg", "q: <image>\nWhat?", "a: A secret."),
    llava("links", "coco/link.jpg", "q: <image>\nWhat?", "a: A secret."),
    {"id": 5},
]


def write_set(folder: Path, rows=None) -> str:
    """Write rows and pictures; return the path of the JSON file."""
    images = folder / "images/coco"
    images.mkdir(parents=True, exist_ok=True)
    (folder / "secret.jpg").write_bytes(picture(9))
    for number in range(2):
        (images / f"{number}.jpg").write_bytes(picture(100 * number))
    (images / "gif.jpg").write_bytes(picture(50, "GIF"))
    (images / "other.gif").write_bytes(picture(60, "GIF"))
    (images / "broken.jpg").write_bytes(picture(70)[:-100])
    if not (images / "link.jpg").is_symlink():
        os.symlink(folder / "secret.jpg", images / "link.jpg")
    path = folder / "llava.json"
    path.write_text(json.dumps([*GOOD, *SPOILT] if rows is None else rows, ensure_ascii=False))
    return str(path)


def recipe_text(path: str, *, fix: bool, steps: str = "- {filter: image_loss}") -> str:
    images = f"{Path(path).parent}/images"
    source = f"{{kind: conversations, path: {path}, images_root: {images}, fix: {str(fix).lower()}}}"
    return f"source: {source}\nsteps:\n{steps}\n"
