"""A toy vocabulary (one token per character) and shards of drawn documents."""

import io
from collections.abc import Callable

import pytest
from PIL import Image

from infimm_data.document import ImageNode, Node, Origin, TextNode, new_document
from infimm_data.shards import Sample, write_manifest, write_shard
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.tokens import Vocabulary

BOS, EOS, PAD, EOC, IMAGE = 0, 1, 2, 3, 4


def encode(text: str) -> tuple[list[int], list[int]]:
    return [10 + ord(character) for character in text], list(range(len(text)))


def decode(ids) -> str:
    special = {BOS: "<s>", EOS: "</s>", PAD: "", EOC: "<eoc>", IMAGE: "<image>"}
    return "".join(special.get(int(i)) if int(i) in special else chr(int(i) - 10) for i in ids)


ENCODE_ALL = Vocabulary(encode=encode, bos=BOS, eos=EOS, end_of_chunk=EOC, image=IMAGE, pad=PAD, fingerprint="toy")


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return ENCODE_ALL


def png(grey: int, size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (grey, grey, grey)).save(buffer, "PNG")
    return buffer.getvalue()


def sample(number: int, *parts: str | bytes, loss: bool = True) -> Sample:
    """A document whose text parts are strings and whose images are encoded files."""
    nodes: list[Node] = []
    files: dict[str, bytes] = {}
    for part in parts:
        if isinstance(part, str):
            nodes.append(TextNode(text=part, loss=loss))
        else:
            name = f"{len(files)}.png"
            files[name] = part
            nodes.append(ImageNode(url=f"http://example.org/{number}/{name}", file=name))
    return Sample(new_document(tuple(nodes), Origin(dump="toy", offset=number)), files)


@pytest.fixture
def shards(tmp_path) -> Callable[..., str]:
    def write(samples: list[Sample], per_shard: int = 8) -> str:
        folder = str(tmp_path / "shards")
        starts = range(0, len(samples), per_shard)
        infos = [write_shard(folder, i, samples[start : start + per_shard]) for i, start in enumerate(starts)]
        write_manifest(folder, infos)
        return folder

    return write


def many(count: int) -> list[Sample]:
    """Documents of different lengths with 0-2 images; the grey of an image tells document and place."""
    made = []
    for i in range(count):
        parts: list[str | bytes] = [f"document {i} begins. " + "word " * (i % 7)]
        parts += [part for j in range(i % 3) for part in (png(i * 2 + j), f"after image {j} of {i}.")]
        made.append(sample(i, *parts))
    return made


SETTINGS = StreamSettings(row_tokens=96, seed=3, window_documents=8)
