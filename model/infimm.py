"""InfiMM: vision tower, perceiver resampler, and gated cross-attention between the layers of a causal LM.

Media and masks are arguments of the call and never stored on a layer, so the model is re-entrant. Attribute names
follow the published checkpoint by a simple rule, see `model.published`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from infimm_data.errors import ConfigError
from infimm_data.stream.tokens import IGNORED
from model.attention_backends import prepare
from model.config import CrossAttentionSettings, ModelSettings, Part
from model.cross_attention import GatedCrossAttentionBlock, MediaKeys
from model.language import attention_mask, load_language, run_layers, sliding_window_of
from model.loss import loss_sums, shifted
from model.media import plan_media
from model.perceiver import PerceiverResampler
from model.published import build_parts, config_of, fill, parameters_on_meta, read_folder, save_folder
from model.semantics import SEMANTICS
from model.tokenizer import Tokenizer
from model.vision import VisionTower, load_vision


@dataclass(frozen=True, slots=True)
class Media:
    """Images as the blocks take them: keys and values of each block (by its layer), for N images."""

    keys: dict[int, MediaKeys]
    num_images: int


@dataclass(frozen=True, slots=True)
class Output:
    """logits [B, T, vocabulary], None where they were not wanted or the loss took its scores in chunks.

    loss_sum: cross-entropy in nats summed over num_targets tokens (None without labels). weighted: each target's times
    its weight, the same where there are no weights. by_source [S]: loss_sum per source, None without sources.
    """

    logits: Tensor | None
    loss_sum: Tensor | None = None
    num_targets: int = 0
    weighted: Tensor | None = None
    by_source: Tensor | None = None

    @property
    def loss(self) -> Tensor:
        """Mean cross-entropy in nats per target; raises ValueError when labels were not given."""
        if self.loss_sum is None:
            raise ValueError("no loss: the model was called without labels")
        return self.loss_sum / max(self.num_targets, 1)


class InfiMM(nn.Module):
    """The whole model; call it with the fields of a `Batch`."""

    def __init__(
        self,
        vision: nn.Module,
        perceiver: nn.Module | None,
        language: nn.Module,
        settings: CrossAttentionSettings,
        *,
        media_width: int,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """vision: [N, C, H, W] -> [N, P, V]; perceiver: [N, P, V] -> [N, L, V]; media_width: V.

        perceiver: None lets the tokens attend to the vision tower's P tokens. about: the published config.json that
        the model is built from, if it is; `save_pretrained` writes what it holds. Raises ConfigError when the interval
        of the blocks leaves none.
        """
        super().__init__()
        self.vision, self.perceiver, self.language = vision, perceiver, language
        self.settings, self.about = settings, about
        self.backend = settings.backend
        self.recomputes = False  # activations in backward instead of keeping them
        self.is_uniform = False  # every parameter takes part in every step, also without images: ranks wait for it
        config = cast(Any, language).config
        self.sliding_window = sliding_window_of(language)
        layers = [i for i in range(config.num_hidden_layers) if (i + 1) % settings.every == 0]
        if not layers:
            raise ConfigError(
                f"cross-attention before each layer {settings.every} of {config.num_hidden_layers}: no token would see "
                f"an image; expected an interval of at most {config.num_hidden_layers}"
            )
        self.cross_attention = nn.ModuleDict(
            {
                str(i): GatedCrossAttentionBlock(
                    config.hidden_size,
                    media_width,
                    heads=settings.heads,
                    head_width=settings.head_width,
                    ff_multiple=settings.ff_multiple,
                    gate=settings.gate,
                    gate_start=settings.gate_start,
                )
                for i in layers
            }
        )

    @classmethod
    def from_config(cls, about: Mapping[str, Any]) -> InfiMM:
        """Return the model of a published config.json, with random weights; no memory under `torch.device("meta")`.

        Raises ConfigError for what the config lacks.
        """
        return cls(**build_parts(about))

    @classmethod
    def from_pretrained(cls, path: str, *, dtype: torch.dtype | None = None, device: str = "cpu") -> InfiMM:
        """Return the model of a folder in the published layout, in evaluation mode.

        path: a local folder with config.json and weights: safetensors, or pytorch_model.bin, in one file or several
        with an index; with or without the second names that the published files have. dtype: None takes the one of
        most weights. Weights that need no conversion stay in the file and are read when they are used.

        Raises ConfigError naming the weights that are missing, extra, of another shape, or different under their
        second name, and what the config lacks.
        """
        about, weights = read_folder(path)
        with parameters_on_meta():
            model = cls(**build_parts(about, {name: tuple(tensor.shape) for name, tensor in weights.items()}))
        fill(model, weights, path, dtype=dtype, device=device)
        return model.eval()

    def save_pretrained(
        self, folder: str, *, tokens: Mapping[str, int] | None = None, max_shard_bytes: int = 5_000_000_000
    ) -> None:
        """Write config.json and weights that `from_pretrained` and the published code read.

        tokens: entries of the config that only a tokenizer knows, e.g. image_token_id. Raises ConfigError when the
        vision tower is one that no config describes.
        """
        save_folder(self, folder, {**config_of(self), **(tokens or {})}, max_shard_bytes=max_shard_bytes)

    def forward(
        self,
        input_ids: Int[Tensor, "B T"],
        *,
        document_ids: Int[Tensor, "B T"],
        position_ids: Int[Tensor, "B T"],
        image_index: Int[Tensor, "B T"],
        images: Shaped[Tensor, "N C H W"],
        features: Float[Tensor, "N P V"] | None = None,
        labels: Int[Tensor, "B T"] | None = None,
        weights: Float[Tensor, "B T"] | None = None,
        sources: Int[Tensor, "B T"] | None = None,
        num_sources: int = 1,
        loss_chunk: int | None = None,
        wants_logits: bool = True,
    ) -> Output:
        """Return logits, and with labels the loss (labels are aligned with input_ids; the shift happens here).

        features: the vision tower's of the N images, where they are known already. weights, sources: of each token as a
        target, see `model.loss`; loss_chunk: tokens whose scores are in memory at once, None for all. In chunks, or
        with wants_logits False, no logits are returned.
        """
        hidden_BTD = self.hidden(
            input_ids,
            document_ids=document_ids,
            key_document_ids=document_ids,
            position_ids=position_ids,
            image_index=image_index,
            media=self.media(images) if features is None else self.media_of_features(features),
        )
        if labels is None:
            return Output(self.logits(hidden_BTD))
        num_targets = int((labels[:, 1:] != IGNORED).sum())
        terms = shifted(labels, weights, sources, num_sources=num_sources)
        scores: list[Tensor] = []

        def head(hidden_MD: Tensor) -> Tensor:
            scores_ME = self.logits(hidden_MD)
            if wants_logits and loss_chunk is None:
                scores.append(scores_ME)
            return scores_ME

        sums = loss_sums(hidden_BTD.flatten(0, 1), head, terms, chunk_tokens=loss_chunk)
        logits = scores[0].view(*input_ids.shape, -1) if scores else None
        return Output(logits, sums.total, num_targets, sums.weighted, sums.by_source)

    def media(self, images_NCHW: Shaped[Tensor, "N C H W"]) -> Media:
        """Encode images once: what every block needs of them, for training and for a whole generation."""
        if len(images_NCHW) == 0 and self.is_uniform:
            images_NCHW = images_NCHW.new_zeros(1, *images_NCHW.shape[1:])  # which no token sees
        return self.media_of_features(self.vision(images_NCHW)) if len(images_NCHW) else Media({}, 0)

    def media_of_features(self, features_NPV: Float[Tensor, "N P V"]) -> Media:
        """As `media`, from the vision tower's features."""
        if self.perceiver is not None:
            wanted = next(self.perceiver.parameters()).dtype  # a frozen tower may be in bf16 beside it
            latents_NLV = self.perceiver(features_NPV.to(wanted))
        else:
            latents_NLV = features_NPV
        return Media({i: block.attn.media_keys(latents_NLV) for i, block in self._blocks()}, len(latents_NLV))

    def hidden(
        self,
        input_ids_BT: Int[Tensor, "B T"],
        *,
        document_ids: Int[Tensor, "B T"],
        key_document_ids: Int[Tensor, "B S"],
        position_ids: Int[Tensor, "B T"],
        image_index: Int[Tensor, "B T"],
        media: Media,
        cache: Any = None,
    ) -> Float[Tensor, "B T D"]:
        """Return the last hidden states. key_document_ids: of all S keys, the cached ones first."""
        acts = SEMANTICS[self.settings.semantics].acts(image_index, document_ids)
        plan = plan_media(image_index, acts, num_images=media.num_images)
        some_keys = next(iter(media.keys.values()), None)
        attend = prepare(self.backend, plan, some_keys[0]) if some_keys and len(plan.tokens) else None
        blocks = dict(self._blocks())

        def between(i: int, hidden_BTD: Tensor) -> Tensor:
            if i not in blocks or (plan.is_empty and not self.is_uniform):
                return hidden_BTD
            return cast(Tensor, blocks[i](hidden_BTD, media.keys.get(i), plan, attend))

        mask = attention_mask(document_ids, key_document_ids, sliding_window=self.sliding_window)
        return run_layers(
            self.language, input_ids_BT, position_ids_BT=position_ids, mask_BTS=mask, between=between, cache=cache,
            recompute=self.recomputes and torch.is_grad_enabled(),
        )  # fmt: skip

    def logits(self, hidden: Float[Tensor, "*tokens D"]) -> Float[Tensor, "*tokens E"]:
        """Return the scores over the vocabulary."""
        return cast(Tensor, cast(Any, self.language).lm_head(hidden))

    def _blocks(self) -> list[tuple[int, GatedCrossAttentionBlock]]:
        return [(int(i), cast(GatedCrossAttentionBlock, block)) for i, block in self.cross_attention.items()]

    @property
    def num_tokens(self) -> int:
        """Rows of the embeddings: a token's id is below it."""
        return int(cast(Any, self.language).get_input_embeddings().num_embeddings)

    @property
    def max_tokens(self) -> int:
        """Tokens of a sequence for which the language model has positions; what it says beyond them is nonsense."""
        return int(getattr(cast(Any, self.language).config, "max_position_embeddings", None) or sys.maxsize)

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return next(self.parameters()).device

    def set_trainable(self, parts: tuple[Part, ...]) -> None:
        """Freeze everything but `parts`; vision never trains. Raises ConfigError for a part that the model lacks."""
        self.requires_grad_(False)
        for part in parts:
            if part == "perceiver" and self.perceiver is None:
                raise ConfigError("train: 'perceiver', but the model has none; leave it out")
            chosen = cast(Any, self.language).get_input_embeddings() if part == "embeddings" else getattr(self, part)
            chosen.requires_grad_(True)


def build_model(settings: ModelSettings, tokenizer: Tokenizer, *, seed: int = 0) -> InfiMM:
    """Return the model of a recipe: vision loaded, language loaded or random, the rest random from `seed`.

    Raises ConfigError when a part cannot be loaded.
    """
    vision = load_vision(settings.vision)
    torch.manual_seed(seed)
    language = load_language(settings.language, vocabulary=tokenizer.size)
    sizes = settings.perceiver
    perceiver = None if sizes is None else PerceiverResampler(vision.width, **sizes.model_dump())
    return InfiMM(vision, perceiver, language, settings.cross_attention, media_width=vision.width)


def vision_of(model: InfiMM) -> VisionTower:
    """Return the model's open_clip tower; raises TypeError when it was built with another one."""
    if not isinstance(model.vision, VisionTower):
        raise TypeError(f"vision is {type(model.vision).__name__}: expected a VisionTower")
    return model.vision
