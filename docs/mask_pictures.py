"""The picture that explains the token-level image mask: documents of demo pictures, drawn by the code that packs."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from infimm_data.document import ImageNode, Node, Origin, TextNode, new_document
from infimm_data.shards import Sample, write_manifest, write_shard
from infimm_data.stream.explain import explain, find_row
from infimm_data.stream.reader import Reader
from infimm_data.stream.settings import StreamSettings
from model.tokenizer import load_tokenizer
from pipelines.demo.draw import draw
from pipelines.demo.pictures import encode
from pipelines.demo.scene import single_scene
from pipelines.row_picture import draw_row

SIDE = 96  # pixels of the pictures
SHAPES = ("ring", "star", "heart", "cross")
DOCUMENTS: tuple[tuple[str | int, ...], ...] = (
    ("This page begins with text that looks at no picture, as none stands before it.", 0, "A ring on paper.", 1, "Here"
     " we see a star. What follows in this page looks at the star, and no longer at the ring above."),
    (2, "A picture of a heart, with a caption as sets of pictures and captions have it."),
    ("The last page says little before its picture.", 3, "It shows a cross, and then the row ends."),
)  # fmt: skip


def write(folder: Path) -> None:
    """Pack three documents into one row and draw it as `row.png` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as shards:
        write_manifest(shards, [write_shard(shards, 0, map(_sample, range(len(DOCUMENTS))))])
        settings = StreamSettings(row_tokens=128, min_fill=0.0)
        vocabulary = load_tokenizer("package:pipelines.demo/data/tokenizer").vocabulary
        reader = Reader(shards, vocabulary, settings, image_side=SIDE)
        row = explain(reader, *find_row(reader, 0))
    draw_row(row, row.batch.image_index[0].tolist(), str(folder / "row.png"), title="one row of training")


def _sample(number: int) -> Sample:
    """Return one of the documents as a shard holds it."""
    nodes: list[Node] = []
    files: dict[str, bytes] = {}
    for part in DOCUMENTS[number]:
        if isinstance(part, str):
            nodes.append(TextNode(text=part))
            continue
        name = f"{len(files)}.png"
        scene = single_scene(random.Random(part), shape=SHAPES[part])
        files[name] = encode(draw(scene, SIDE), "png")
        nodes.append(ImageNode(url=f"https://pictures.example/{number}/{name}", file=name))
    return Sample(new_document(tuple(nodes), Origin(dump="docs", offset=number)), files)
