"""Models in the published layout: config.json and weights, read into the parts of a model, and written.

    InfiMM.from_pretrained(FOLDER)    InfiMM.from_config(CONFIG)    model.save_pretrained(FOLDER)

Of the published config.json (INFIMM.md 1.1, 1.6): `visual` (EVA's fields), `language` (a transformers config) and
`cross_attn_every_n_layers`. It says nothing of the resampler and of the width of the gated blocks: that is taken from
the shapes of the weights, with heads 64 wide. Entries of our own, all optional, say it outright:

    "layout": "infimm" | "hd"   hd: no resampler, 12 heads, feed-forward not wider, a gate per channel
    "perceiver": {"layers", "latents", "heads", "head_width", "ff_multiple"} | null
    "cross_attention": {"heads", "head_width", "ff_multiple", "gate", "semantics"}
    "visual": {"open_clip": {"embed_dim", "vision_cfg", "text_cfg"}}    a tower that is no EVA; image_mean, image_std
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from infimm_data.errors import ConfigError
from model.config import CrossAttentionSettings, LanguageSettings, PerceiverSettings
from model.language import load_language, stack_of
from model.perceiver import PerceiverResampler
from model.published_names import BUFFERS, LANGUAGE, PERCEIVER, first_name, published_name
from model.published_vision import build_vision, rotary_of, visual_of
from model.vision import VisionTower
from model.weight_files import read_json, read_weights, write_json, write_weights

log = logging.getLogger(__name__)

Shapes = Mapping[str, tuple[int, ...]]

_NAMED = 3  # names of each kind that an error spells out
_BUFFER_TOLERANCE = 2e-2  # relative and absolute: buffers are stored in bf16, which has 3 digits
_HEAD, _EMBEDDINGS = f"{LANGUAGE}lm_head.weight", ("embed_tokens.weight", "embed_in.weight")
_NOT_SIZES = {"_name_or_path", "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version"}


def read_folder(path: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return config.json and the weights of a folder, by their published names; raises ConfigError."""
    folder = Path(path)
    if not folder.is_dir():
        raise ConfigError(f"{path}: no such folder; expected config.json and weights")
    return read_json(folder / "config.json"), read_weights(folder)


def build_parts(about: Mapping[str, Any], shapes: Shapes | None = None) -> dict[str, Any]:
    """Return the arguments of `InfiMM` for a published config.

    shapes: of the weights, by published name, where there are some. Raises ConfigError for what is missing or wrong.
    """
    for key in ("visual", "language", "cross_attn_every_n_layers"):
        if key not in about:
            raise ConfigError(f"config.json: no '{key}'; expected visual, language and cross_attn_every_n_layers")
    for key in ("visual", "language"):
        if not isinstance(about[key], dict):
            raise ConfigError(f"config.json: '{key}' is {type(about[key]).__name__}, expected an object")
    vision = build_vision(about["visual"])
    language = _language(about)
    try:
        perceiver, blocks = _sizes(about, shapes or {})
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigError(f"config.json: {'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None
    return {
        "vision": vision,
        "perceiver": perceiver and PerceiverResampler(vision.width, **perceiver.model_dump()),
        "language": language,
        "settings": blocks,
        "media_width": vision.width,
        "about": dict(about),
    }


def _language(about: Mapping[str, Any]) -> nn.Module:
    given = {key: value for key, value in about["language"].items() if key not in _NOT_SIZES}
    if "vocab_size" not in given:
        raise ConfigError("config.json: language has no 'vocab_size'")
    is_mistral = "sliding_window" in given or str(about.get("tokenizer_type", "")).startswith("Zephyr")
    given.setdefault("model_type", "mistral" if is_mistral else "llama")
    given.setdefault("tie_word_embeddings", False)  # published models are untied, whatever the top level says
    return load_language(LanguageSettings(config=given), vocabulary=given["vocab_size"])


def _sizes(about: Mapping[str, Any], shapes: Shapes) -> tuple[PerceiverSettings | None, CrossAttentionSettings]:
    """Return the sizes of resampler and blocks: as the config says, else as the weights are, else as published."""
    gates = _shapes(shapes, r"gated_cross_attn_layer\w*\.(\d+\.)?attn_gate$")
    gate = gates.most_common(1)[0][0] if gates else (1,)
    looks_hd = gate != (1,) and not any(name.startswith(PERCEIVER) for name in shapes)
    layout = about.get("layout", "hd" if looks_hd else "infimm")
    if layout not in ("infimm", "hd"):
        raise ConfigError(f"config.json: layout '{layout}', expected 'infimm' or 'hd'")
    is_hd = layout == "hd"
    blocks: dict[str, Any] = {"heads": 12, "ff_multiple": 1, "gate": "channel"} if is_hd else {}
    own = dict(about.get("cross_attention") or {})
    found = _block_sizes(shapes, own, r"gated_cross_attn_layer\w*\.(\d+\.)?", "attn", "ff")
    if gates:
        found["gate"] = "scalar" if gate == (1,) else "channel"
    blocks |= found | own | {"every": about["cross_attn_every_n_layers"]}
    settings = CrossAttentionSettings(**blocks)
    if "perceiver" in about:
        if about["perceiver"] is None:
            return None, settings
    elif is_hd:
        return None, settings
    own = dict(about.get("perceiver") or {})
    sizes = _block_sizes(shapes, own, r"perceiver\.layers\.\d+\.", "0", "1")
    numbers = [int(match[1]) for name in shapes if (match := re.match(r"model\.perceiver\.layers\.(\d+)\.", name))]
    if numbers:
        sizes["layers"] = max(numbers) + 1
    if len(latents := shapes.get(f"{PERCEIVER}latents", ())) == 2:
        sizes["latents"] = latents[0]
    perceiver = PerceiverSettings(**(sizes | own))
    if perceiver != PerceiverSettings(**own):
        log.warning("perceiver=%s not the published sizes: read from the weights", perceiver)
    return perceiver, settings


def _block_sizes(shapes: Shapes, own: Mapping[str, Any], start: str, attention: str, ff: str) -> dict[str, Any]:
    """Return heads and feed-forward multiple as most weights of a kind have them; {} without weights.

    What does not fit them is found when the weights are checked one by one.
    """
    inner: Counter[int] = Counter()
    for name, axis, times in (("to_q", 0, 1), ("to_kv", 0, 2), ("to_out", 1, 1)):
        for shape, count in _shapes(shapes, rf"{start}{attention}\.{name}\.weight$").items():
            inner[shape[axis] // times if len(shape) == 2 else 0] += count
    multiples: Counter[int] = Counter()
    for name, wide, narrow in (("1", 0, 1), ("3", 1, 0)):
        for shape, count in _shapes(shapes, rf"{start}{ff}\.{name}\.weight$").items():
            multiples[shape[wide] // max(shape[narrow], 1) if len(shape) == 2 else 0] += count
    sizes: dict[str, Any] = {}
    if inner and (most := inner.most_common(1)[0][0]):
        width = own.get("head_width") or (most // own["heads"] if own.get("heads") else 64)
        if width and most % width == 0:
            sizes |= {"heads": most // width, "head_width": width}
    if multiples and (most := multiples.most_common(1)[0][0]):
        sizes["ff_multiple"] = most
    return sizes


def _shapes(shapes: Shapes, pattern: str) -> Counter[tuple[int, ...]]:
    """Count the shapes of the weights whose name ends as `pattern`."""
    return Counter(shape for name, shape in shapes.items() if re.search(pattern, name))


@contextlib.contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Within it, parameters of new modules take no memory, while buffers are computed as always.

    For a model whose weights are read next: `torch.device("meta")` would lose the buffers, which no file holds. It
    holds for all threads: build no other module meanwhile.
    """
    module_class: Any = nn.Module
    register = module_class.register_parameter

    def register_empty(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None:
            parameter = nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
        register(module, name, parameter)

    module_class.register_parameter = register_empty
    try:
        yield
    finally:
        module_class.register_parameter = register


def _names(model: nn.Module) -> dict[str, str]:
    """Return published name -> our name of every weight of a model that a file holds."""
    parts = cast(Any, model)
    root, visual = stack_of(parts.language).root, visual_of(parts.vision) or {}
    has_swiglu = bool(visual.get("naiveswiglu"))
    names = {published_name(name, root=root, has_swiglu=has_swiglu): name for name in model.state_dict()}
    if parts.language.config.tie_word_embeddings:
        names.pop(_HEAD, None)
    return names


def fill(
    model: nn.Module, weights: Mapping[str, Tensor], where: str, *, dtype: torch.dtype | None, device: str
) -> None:
    """Put published weights into a model of the same sizes; raises ConfigError when they do not fit one by one."""
    root = stack_of(cast(Any, model).language).root
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        first = first_name(name, root=root)
        if first in found and not _is_same(found[first], tensor):
            raise ConfigError(f"{where}: '{name}' differs from the same weight under its other name")
        found.setdefault(first, tensor)
    buffers = {name: found.pop(name) for name in list(found) if BUFFERS.search(name)}
    head = found.get(_HEAD)
    if head is not None and cast(Any, model).language.config.tie_word_embeddings:
        if not any(_is_same(head, found[name]) for name in found if name.endswith(_EMBEDDINGS)):
            raise ConfigError(f"{where}: '{_HEAD}' differs from the embeddings, but config.json says they are one")
        del found[_HEAD]
    names, own = _names(model), model.state_dict()
    _check(found, {name: tuple(own[ours].shape) for name, ours in names.items()}, where)
    _check_buffers(model, buffers, where)
    dtype = dtype or _most_common_dtype(found)
    loaded = {ours: found[name].to(device, dtype) for name, ours in names.items()}
    model.load_state_dict(loaded, strict=False, assign=True)  # strict but for a tied head: checked above
    cast(Any, model).language.tie_weights()
    model.to(device)


def _is_same(one: Tensor, other: Tensor) -> bool:
    """Say so without reading them where both are one place of a file."""
    return one.shape == other.shape and (one.data_ptr() == other.data_ptr() or torch.equal(one, other))


def _most_common_dtype(weights: Mapping[str, Tensor]) -> torch.dtype:
    sizes: Counter[torch.dtype] = Counter()
    for tensor in weights.values():
        sizes[tensor.dtype] += tensor.numel()
    return sizes.most_common(1)[0][0]


def _check(found: Mapping[str, Tensor], expected: Shapes, where: str) -> None:
    """Raise ConfigError saying which weights are missing, extra or of another shape; the first few of each by name."""
    missing = [f"'{name}'" for name in sorted(expected.keys() - found.keys())]
    extra = [f"'{name}'" for name in sorted(found.keys() - expected.keys())]
    other = [
        f"'{name}' {list(found[name].shape)} instead of {list(expected[name])}"
        for name in sorted(expected.keys() & found.keys())
        if tuple(found[name].shape) != expected[name]
    ]
    problems = [
        f"{len(names)} {kind}: {', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"
        for kind, names in (("missing", missing), ("extra", extra), ("of another shape", other))
        if names
    ]
    if problems:
        raise ConfigError(f"{where}: weights do not fit config.json: {'; '.join(problems)}")


def _check_buffers(model: nn.Module, buffers: Mapping[str, Tensor], where: str) -> None:
    """Compare stored rotary constants with those the model computes from its config."""
    parts = cast(Any, model)
    for name, stored in buffers.items():
        if name.startswith(LANGUAGE):
            own = getattr(parts.language, stack_of(parts.language).root).rotary_emb.inv_freq
        else:
            own = rotary_of(parts.vision, name.rpartition("_")[2])
        if own is None or own.shape != stored.shape:
            shape = "none" if own is None else list(own.shape)
            raise ConfigError(f"{where}: '{name}' {list(stored.shape)}, by config.json it is {shape}")
        if not torch.allclose(own.float(), stored.float(), rtol=_BUFFER_TOLERANCE, atol=_BUFFER_TOLERANCE):
            raise ConfigError(f"{where}: '{name}' differs from what config.json gives; check its rotary settings")


def config_of(model: nn.Module) -> dict[str, Any]:
    """Return the published config.json of a model; raises ConfigError when its vision tower has none."""
    parts = cast(Any, model)
    visual = visual_of(parts.vision) if isinstance(parts.vision, VisionTower) else None
    if visual is None:
        raise ConfigError(f"vision {type(parts.vision).__name__}: no published config describes it")
    settings, perceiver = parts.settings, parts.perceiver
    own = ("heads", "head_width", "ff_multiple", "gate", "semantics")
    return {
        "model_type": "infimm",
        **(parts.about or {}),
        "visual": visual,
        "language": parts.language.config.to_diff_dict() | {"vocab_size": parts.language.config.vocab_size},
        "cross_attn_every_n_layers": settings.every,
        "cross_attention": {name: getattr(settings, name) for name in own},
        "perceiver": None if perceiver is None else perceiver.sizes,
    }


def save_folder(model: nn.Module, folder: str, about: Mapping[str, Any], *, max_shard_bytes: int) -> None:
    """Write a model's config.json (last) and its weights under their published names, each once."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    own = model.state_dict()
    weights = {name: own[ours] for name, ours in _names(model).items()}
    write_weights(place, weights, max_shard_bytes=max_shard_bytes)
    write_json(place / "config.json", about)
