"""Documents with lengths like those of OBELICS, from what was published of it.

115B text tokens and 353M images in 141M documents (Laurençon et al. 2023, abstract): 815 tokens and 2.5 images on
average, 1 to 30 images a document (its filters). Lengths are log-normal; the published means do not give the spread,
so tests take several. One character is one token (the toy vocabulary).
"""

import numpy as np

from infimm_data.document import ImageNode, Node, Origin, TextNode, new_document
from infimm_data.shards import Sample

MEAN_TOKENS, MEAN_IMAGES, MAX_IMAGES = 815, 2.5, 30
WORD = "words in sentences of a page. "


def obelics_like(count: int, *, seed: int = 0, sigma: float = 1.0) -> list[Sample]:
    """Samples with empty images at random places between paragraphs. sigma: of the logarithm of the length."""
    rng = np.random.default_rng(seed)
    lengths = np.exp(rng.normal(np.log(MEAN_TOKENS) - sigma**2 / 2, sigma, count)).astype(int) + 10
    images = np.minimum(rng.geometric(1 / MEAN_IMAGES, count), MAX_IMAGES)
    return [_sample(rng, number, int(lengths[number]), int(images[number])) for number in range(count)]


def _sample(rng: np.random.Generator, number: int, length: int, images: int) -> Sample:
    text = (WORD * (length // len(WORD) + 1))[:length]
    cuts = sorted(rng.integers(0, length, images).tolist())
    nodes: list[Node] = []
    for image, (start, stop) in enumerate(zip([0, *cuts], [*cuts, length], strict=True)):
        nodes.append(TextNode(text=text[start:stop]))
        if image < images:
            nodes.append(ImageNode(url=f"http://example.org/{number}/{image}.png", file=f"{image}.png"))
    origin = Origin(dump="obelics-like", offset=number)
    return Sample(new_document(tuple(nodes), origin), {f"{image}.png": b"" for image in range(images)})
