"""Settings of model and training: one YAML file, checked before any work."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from infimm_data.config import Settings
from infimm_data.stream.settings import StreamSettings
from model.attention_backends import BackendName
from model.cross_attention import Gate

SemanticsName = Literal["infimm", "infimm_causal", "openflamingo", "idefics", "flamingo"]

Part = Literal["perceiver", "cross_attention", "embeddings", "language"]
"""What may train. `embeddings`: the input embeddings alone; `language` holds them too. Vision is always frozen."""


class VisionSettings(Settings):
    """The vision tower, by open_clip's own loading."""

    name: str
    """A model of open_clip ("EVA02-L-14-336"), "local-dir:PATH", or "local-dir:package:NAME/INSIDE"."""
    pretrained: str | None = None
    """open_clip's tag or a path to weights, for a model by name. None: random weights (tests only)."""


class PerceiverSettings(Settings):
    """The resampler; the defaults are the published sizes."""

    layers: int = Field(default=6, ge=1)
    latents: int = Field(default=64, ge=1)
    heads: int = Field(default=8, ge=1)
    head_width: int = Field(default=64, ge=1)
    ff_multiple: int = Field(default=4, ge=1)


class CrossAttentionSettings(Settings):
    """The gated blocks; the defaults are those of InfiMM-Zephyr."""

    every: int = Field(default=2, ge=1)
    """A block stands before decoder layer i (from 0) where (i + 1) % every == 0."""
    heads: int = Field(default=8, ge=1)
    head_width: int = Field(default=64, ge=1)
    ff_multiple: int = Field(default=4, ge=1)
    gate_start: float = 0.0
    """Before tanh. 0 as published keeps a trained language model intact; see configs/train/demo.yaml for another."""
    gate: Gate = "scalar"
    """`channel`: one gate per channel of the text, as in InfiMM-HD."""
    semantics: SemanticsName = "infimm"
    """Which image a token sees, and on which tokens a block acts: see model/semantics.py."""
    backend: BackendName = "auto"
    """How attention is computed: see model/attention_backends.py. All give the same; `auto` takes the device's best."""


class LanguageSettings(Settings):
    """The causal language model: exactly one of the two."""

    pretrained: str | None = None
    """Path or hub name of a transformers model."""
    config: dict[str, Any] | None = None
    """A transformers config with `model_type`; starts from random weights. The vocabulary is the tokenizer's."""

    @model_validator(mode="after")
    def _is_one(self) -> LanguageSettings:
        if (self.pretrained is None) == (self.config is None):
            raise ValueError("give either 'pretrained' or 'config' under 'language'")
        if self.config is not None and "model_type" not in self.config:
            raise ValueError("'language.config' needs 'model_type', e.g. llama or mistral")
        return self


class ModelSettings(Settings):
    """The `model` section: the four parts and the tokenizer."""

    tokenizer: str
    """A folder that transformers' AutoTokenizer reads, with `<|endofchunk|>` and `<image>`."""
    vision: VisionSettings
    perceiver: PerceiverSettings | None = PerceiverSettings()
    """None: the tokens of the vision tower themselves are the latents, as in InfiMM-HD."""
    cross_attention: CrossAttentionSettings = CrossAttentionSettings()
    language: LanguageSettings


class OptimizerSettings(Settings):
    """AdamW and its schedule."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak, after the warm-up."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    """On matrices only: not on gates, norms, biases, embeddings and latents."""
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    min_learning_rate: float = Field(default=0.0, ge=0)
    """Where `linear` and `cosine` end."""
    max_grad_norm: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _falls(self) -> OptimizerSettings:
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(f"min_learning_rate {self.min_learning_rate} is above learning_rate {self.learning_rate}")
        return self


class FeatureCacheSettings(Settings):
    """The features of the frozen vision tower, kept on disk: see model/feature_cache.py."""

    folder: str
    """May be shared by runs, also by runs at the same time: other towers and image sides have other entries."""
    max_gb: float = Field(default=100.0, gt=0)
    """Gigabytes (1e9 bytes) of all entries together; what comes after is computed each time."""


class TrainConfig(Settings):
    """A training recipe: configs/train/*.yaml."""

    model: ModelSettings
    stream: StreamSettings = StreamSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    train: tuple[Part, ...] = Field(default=("perceiver", "cross_attention", "embeddings"), min_length=1)
    """What trains; as in pretraining of InfiMM by default."""
    steps: int = Field(ge=1)
    """Optimizer steps in all."""
    rows_per_step: int = Field(ge=1)
    """Rows in one optimizer step."""
    micro_rows: int | None = Field(default=None, ge=1)
    """Rows in one forward pass of one rank; `rows_per_step` is a multiple of it times the ranks. None: one pass."""
    loss_mean: Literal["tokens", "sources"] = "tokens"
    """tokens: the mean over all targets of a step, each times the loss weight of its source. sources: the sum over
    sources of loss weight times the mean over its own targets, as OpenFlamingo weighs pairs against pages: what a
    source counts does not depend on how many of a step's tokens are its own."""
    loss_chunk: int | None = Field(default=None, ge=1)
    """Tokens whose scores over the vocabulary are in memory at once; None: those of a whole forward pass."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 is autocast: what trains stays fp32, frozen towers and decoder layers are kept in bf16."""
    parallel: Literal["auto", "ddp", "fsdp"] = "auto"
    """Of several ranks: ddp keeps all on each; fsdp (FSDP2) shards weights, gradients and moments, and is `auto`."""
    activation_checkpointing: bool = False
    """Compute the activations of each layer again in backward: a third more work for a fraction of the memory."""
    compile: bool = False
    """torch.compile of decoder layers, the vision tower and feed-forwards; rows have one shape, so it compiles once."""
    feature_cache: FeatureCacheSettings | None = None
    tensorboard: bool = True
    """Also write OUT/tensorboard; metrics.jsonl is written in any case."""
    peak_tflops: float | None = Field(default=None, gt=0)
    """Peak of one device in bf16, for MFU; None: the maker's figure where the device is a known one."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of torch; None leaves torch's choice."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of the initial weights; torch takes no larger one."""
    log_every: int = Field(default=10, ge=1)
    """Steps between lines of metrics.jsonl."""
    evaluate_every: int | None = Field(default=None, ge=1)
    """Steps between held-out losses; None: only after the last step. There is one whenever documents are held out."""
    checkpoint_every: int | None = Field(default=None, ge=1)
    """Steps between checkpoints; None: only after the last step."""
    keep_checkpoints: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _divides(self) -> TrainConfig:
        if self.rows_per_step % (self.micro_rows or self.rows_per_step):
            raise ValueError(f"rows_per_step {self.rows_per_step} is no multiple of micro_rows {self.micro_rows}")
        return self
