"""CLIP's text tower: texts into unit vectors, each padded to the longest of its batch where that changes nothing.

open_clip pads every text to 77 tokens. In a causal tower the vector is read at the end token, which sees nothing of
what follows, so the padding can go, and a batch holds as many texts as have the tokens of `texts_per_batch` full ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

_TOKENIZED_AT_ONCE = 1024  # texts; bounds the lists of Python numbers that tokenizers make


class TextTower:
    """The text side of a model that open_clip loaded, on one device."""

    def __init__(self, model: Any, tokenizer: Any, *, device: str, texts_per_batch: int) -> None:
        """texts_per_batch: texts of full length in one call of the model, 1 or more."""
        self.model = model
        self.tokenizer = tokenizer
        self.device = device
        self.texts_per_batch = texts_per_batch
        self._tower = model.text if hasattr(model, "text") else model
        self._is_causal = _reads_nothing_behind_its_end(model, self._tower)

    def vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the unit vectors [U, D] of the texts, in their order; [0, 0] of none."""
        import torch

        if not texts:
            return np.empty((0, 0), dtype=np.float32)
        starts = range(0, len(texts), _TOKENIZED_AT_ONCE)
        tokens_UT = torch.cat([self.tokenizer(list(texts[at : at + _TOKENIZED_AT_ONCE])) for at in starts])
        lengths = self._lengths(tokens_UT)
        order = np.argsort(-lengths, kind="stable")  # longest first: the first of a batch is its length
        vectors: list[npt.NDArray[np.float32]] = []
        at = 0
        while at < len(order):
            length = int(lengths[order[at]])
            rows = order[at : at + self.texts_per_batch * tokens_UT.shape[1] // length]
            vectors.append(self._encode(tokens_UT[torch.from_numpy(rows), :length]))
            at += len(rows)
        found = np.empty((len(texts), vectors[0].shape[1]), dtype=np.float32)
        found[order] = np.concatenate(vectors)
        return found

    def _lengths(self, tokens_UT: torch.Tensor) -> npt.NDArray[np.int64]:
        """Return how many tokens of each text its vector depends on."""
        import torch

        if not self._is_causal:
            return np.full(len(tokens_UT), tokens_UT.shape[1], dtype=np.int64)
        pool, end = _pool(self.model, self._tower)
        # As open_clip finds the end token: the largest number there is, or the one that the config names.
        ends_U = tokens_UT.argmax(dim=-1) if pool == "argmax" else torch.eq(tokens_UT, end or 0).int().argmax(dim=-1)
        return np.asarray((ends_U + 1).numpy(), dtype=np.int64)

    def _encode(self, tokens_NT: torch.Tensor) -> npt.NDArray[np.float32]:
        import torch

        tokens_NT = tokens_NT.to(self.device)
        length = tokens_NT.shape[1]
        with torch.inference_mode():
            if not self._is_causal:
                vectors_ND = self.model.encode_text(tokens_NT, normalize=True)
            else:
                # open_clip's own code, with its table of positions and its mask cut to the length.
                prefix = "text." if self._tower is not self.model else ""
                cut = {
                    f"{prefix}positional_embedding": self._tower.positional_embedding[:length],
                    f"{prefix}attn_mask": self._tower.attn_mask[:length, :length],
                }
                answer = torch.func.functional_call(self.model, cut, kwargs={"text": tokens_NT})
                vectors_ND = answer["text_features"] if isinstance(answer, dict) else answer[1]
            return np.asarray(vectors_ND.float().cpu().numpy())


def _reads_nothing_behind_its_end(model: Any, tower: Any) -> bool:
    """Return whether a tower is causal and read at its end token: OpenAI's, LAION's, EVA's; not SigLIP's or CoCa's."""
    import open_clip

    is_known = type(model) in (open_clip.CLIP, open_clip.CustomTextCLIP) and hasattr(tower, "positional_embedding")
    is_causal = is_known and getattr(tower, "attn_mask", None) is not None and getattr(tower, "cls_emb", None) is None
    return is_causal and _pool(model, tower)[0] in ("argmax", "eos")


def _pool(model: Any, tower: Any) -> tuple[str, int | None]:
    """Return how the tower is read, and the number of its end token where the config names one."""
    if tower is model:
        return model.text_pool_type, model.text_eos_id
    return tower.pool_type, getattr(tower, "eos_id", None)
