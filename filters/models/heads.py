"""Heads: small networks over CLIP's image vectors, as LAION published theirs and `weights/train_head.py` writes ours.

Read are safetensors and PyTorch state dicts (`weights_only`, so nothing in them runs). A published head is known by
the names and shapes of its weights, all of which must be there and no other; ours say in their metadata what they
are. Computed in float64 and rounded, so a number does not depend on how many images were asked at once.
"""

from __future__ import annotations

import hashlib
import json
import pickle  # its error only; see above
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

from infimm_data.errors import ConfigError
from infimm_data.files import read_bytes, resolve

MAX_BYTES = 256 << 20  # the largest published head (NSFW over H-14) has 22 MB
METADATA = "infimm.head"  # of a safetensors file of ours
DIGITS = 6  # of what is stored

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """weight: [out, in]; bias: [out]; relu: whether the negative is cut off behind it."""

    weight: Array
    bias: Array
    relu: bool


@dataclass(frozen=True)
class Head:
    """A loaded head. mean, deviation: [D] of the vectors it was trained on, None where they go in as they are.

    is_probability: whether a sigmoid ends it; else its output is the value (an aesthetic score of about 1 to 10).
    clip: whose vectors it reads, as `clip_name` says it, "" where that is not known; digest: sha256 of its file.
    """

    layers: tuple[Layer, ...]
    mean: Array | None
    deviation: Array | None
    is_probability: bool
    clip: str
    digest: str

    @property
    def width(self) -> int:
        """D, the numbers of a vector."""
        return int(self.layers[0].weight.shape[1])

    def __call__(self, vectors_ND: npt.NDArray[Any]) -> Array:
        """Return one number per unit vector, [N]."""
        hidden = vectors_ND.astype(np.float64)
        if self.mean is not None and self.deviation is not None:
            hidden = (hidden - self.mean) / self.deviation
        for layer in self.layers:
            hidden = hidden @ layer.weight.T + layer.bias
            hidden = np.maximum(hidden, 0.0) if layer.relu else hidden
        value = hidden[:, 0]
        value = 1.0 / (1.0 + np.exp(-np.clip(value, -500.0, 500.0))) if self.is_probability else value
        return np.asarray(np.round(value, DIGITS))


@dataclass(frozen=True)
class Published:
    """A head as its authors published it.

    layers: prefix of the names of each linear layer, and whether ReLU follows it; sizes: in, between, out. Dropout
    does nothing here. has_norm: `norm.mean` and `norm.variance` stand before.
    """

    name: str
    layers: tuple[tuple[str, bool], ...]
    sizes: tuple[int, ...]
    has_norm: bool
    is_probability: bool
    clip: str

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every weight by its name."""
        found: dict[str, tuple[int, ...]] = {}
        if self.has_norm:
            found |= {"norm.mean": (self.sizes[0],), "norm.variance": (self.sizes[0],)}
        for (prefix, _), size_in, size_out in zip(self.layers, self.sizes, self.sizes[1:], strict=False):
            found |= {f"{prefix}weight": (size_out, size_in), f"{prefix}bias": (size_out,)}
        return found


def _numbered(numbers: tuple[int, ...], relu: tuple[int, ...]) -> tuple[tuple[str, bool], ...]:
    return tuple((f"layers.{number}.", number in relu) for number in numbers)


# LAION-AI/CLIP-based-NSFW-Detector: src/models.py and models/*.pth (the Keras originals, converted by its authors);
# LAION-AI/aesthetic-predictor: sa_0_4_*_linear.pth; christophschuhmann/improved-aesthetic-predictor.
PUBLISHED = (
    Published(
        "LAION's NSFW detector over ViT-L-14",
        (("linear_1.", True), ("linear_2.", True), ("linear_3.", True), ("linear_4.", False)),
        (768, 64, 512, 256, 1), True, True, "ViT-L-14 openai",
    ),
    Published(
        "LAION's NSFW detector over ViT-B-32",
        (("linear_1.", True), ("linear_2.", True), ("linear_3.", False)),
        (512, 32, 32, 1), True, True, "ViT-B-32 openai",
    ),
    Published(
        "LAION's NSFW detector over ViT-H-14",  # no ReLU before the last layer, no sigmoid: as published
        _numbered((0, 3, 6, 9, 12, 15, 16), (0, 3, 6, 9, 12)),
        (1024, 1024, 2048, 1024, 256, 128, 16, 1), False, False, "ViT-H-14 laion2b_s32b_b79k",
    ),
    Published(
        "LAION's aesthetic predictor V2, linear", _numbered((0, 2, 4, 6, 7), ()),
        (768, 1024, 128, 64, 16, 1), False, False, "ViT-L-14 openai",
    ),
    Published(
        "LAION's aesthetic predictor V2, ReLU", _numbered((0, 3, 6, 9, 11), (0, 3, 6, 9)),
        (768, 1024, 128, 64, 16, 1), False, False, "ViT-L-14 openai",
    ),
    Published(
        "LAION's aesthetic predictor V1 over ViT-L-14", (("", False),), (768, 1), False, False, "ViT-L-14 openai"
    ),
    Published(  # over B-32 and over B-16: the weights do not tell which
        "LAION's aesthetic predictor V1 over ViT-B", (("", False),), (512, 1), False, False, ""
    ),
)  # fmt: skip

CHECKSUMS = {
    # As several public loaders pin it, birder-project/vision-data-curation for one.
    "sac+logos+ava1-l14-linearMSE.pth": "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0",
}
"""sha256 of published files by name, where it is public: a file of that name must be that file."""


_WHERE = (
    "heads are not shipped: LAION's lie in github.com/LAION-AI/CLIP-based-NSFW-Detector (models/) and "
    "github.com/christophschuhmann/improved-aesthetic-predictor; others are trained by filters.weights.train_head"
)


def load_head(path: str) -> Head:
    """Return the head in a file (a path, a URL that fsspec knows, or `package:`).

    Raises ConfigError when it is not there, is no head, or is not the published file whose name it has.
    """
    try:
        data = read_bytes(resolve(path))
    except (FileNotFoundError, IsADirectoryError):
        raise ConfigError(f"{path}: no such file; {_WHERE}") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: {len(data)} bytes, expected a head of at most {MAX_BYTES}")
    digest = hashlib.sha256(data).hexdigest()
    expected = CHECKSUMS.get(path.rpartition("/")[2], digest)
    if digest != expected:
        raise ConfigError(f"{path}: its sha256 is {digest}, the published file's {expected}; fetch it again")
    weights, described = _read(path, data)
    if not all(np.isfinite(weight).all() for weight in weights.values()):
        raise ConfigError(f"{path}: some of its weights are not finite numbers; it is damaged")
    return _described(path, weights, described, digest) if described else _published(path, weights, digest)


def _read(path: str, data: bytes) -> tuple[dict[str, Array], str]:
    """Return the weights by name, and what a file of ours says of itself."""
    if data.startswith(b"\x89HDF"):
        raise ConfigError(f"{path}: a Keras file; LAION publishes the same heads as .pth, in PyTorch's format")
    import torch
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        if _is_safetensors(data):
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            found = {name: weight.astype(np.float64) for name, weight in load(data).items()}
            return found, header.get("__metadata__", {}).get(METADATA, "")
        if not data.startswith(b"PK"):
            raise ValueError("neither safetensors nor the zip that PyTorch saves")
        state = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
        return {str(name): weight.double().numpy() for name, weight in state.items()}, ""
    except (*_READ_ERRORS, SafetensorError) as error:
        problem = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigError(f"{path}: no head ({problem}); expected safetensors or a PyTorch state dict") from None


# What torch and safetensors were seen to raise on files that are something else.
_READ_ERRORS = (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, AttributeError, KeyError)


def _is_safetensors(data: bytes) -> bool:
    return len(data) > 8 and data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data)


def _published(path: str, weights: Mapping[str, Array], digest: str) -> Head:
    shapes = {name: weight.shape for name, weight in weights.items()}
    for known in PUBLISHED:
        if known.shapes() == shapes:
            layers = tuple(Layer(weights[f"{at}weight"], weights[f"{at}bias"], relu) for at, relu in known.layers)
            return _head(weights, layers, known.is_probability, known.clip, digest)
    found = ", ".join(f"{name} {list(shape)}" for name, shape in sorted(shapes.items())) or "nothing"
    names = "; ".join(known.name for known in PUBLISHED)
    raise ConfigError(f"{path}: its weights ({found[:500]}) are those of no known head. Known: {names}; our own.")


def _described(path: str, weights: Mapping[str, Array], described: str, digest: str) -> Head:
    """Return a head of ours: `norm.*`, then `linear_1` to `linear_n` with ReLU in between."""
    try:
        says = json.loads(described)
        output, clip = str(says["output"]), str(says["clip"])
        names = tuple(f"linear_{at}." for at in range(1, sum(name.endswith(".weight") for name in weights) + 1))
        layers = tuple(Layer(weights[f"{at}weight"], weights[f"{at}bias"], relu=at != names[-1]) for at in names)
        sizes = (*(layer.weight.shape[1] for layer in layers), 1)
        expected = Published("ours", tuple((at, False) for at in names), sizes, True, True, clip).shapes()
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ConfigError(f"{path}: a head of ours that is incomplete ({error!r}); train it again") from None
    if expected != {name: weight.shape for name, weight in weights.items()} or not layers:
        raise ConfigError(f"{path}: a head of ours whose layers do not fit each other; train it again")
    return _head(weights, layers, output == "probability", clip, digest)


def _head(
    weights: Mapping[str, Array], layers: tuple[Layer, ...], is_probability: bool, clip: str, digest: str
) -> Head:
    mean, variance = weights.get("norm.mean"), weights.get("norm.variance")
    deviation = None if variance is None else np.sqrt(variance) + 1e-10  # so that a constant number divides by no 0
    return Head(layers, mean, deviation, is_probability, clip, digest)
