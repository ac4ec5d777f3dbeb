"""The tokenizer: a folder for transformers' AutoTokenizer, checked for the two tokens that InfiMM adds."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.files import resolve
from infimm_data.stream.tokens import Vocabulary
from infimm_data.torchvision_ops import declare_torchvision_ops

END_OF_CHUNK = "<|endofchunk|>"
IMAGE = "<image>"


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A transformers tokenizer, and what the stream needs of it. size: the number of tokens, added ones included."""

    tokenizer: Any
    vocabulary: Vocabulary
    size: int

    def decode(self, ids: list[int]) -> str:
        """Return the text of token ids, without special tokens."""
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def ids_of(self, tokens: Sequence[str]) -> tuple[int, ...]:
        """Return the ids of tokens as they stand in the vocabulary; raises ValueError for one that is not there."""
        known = self.tokenizer.get_vocab()
        unknown = [token for token in tokens if token not in known]
        if unknown:
            raise ValueError(f"'{unknown[0]}' is no token of the vocabulary.{did_you_mean(unknown[0], known)}")
        return tuple(known[token] for token in tokens)

    def save(self, folder: str) -> None:
        """Write the files that `load_tokenizer` reads."""
        self.tokenizer.backend_tokenizer.encode_special_tokens = False
        self.tokenizer.save_pretrained(folder)
        self.tokenizer.backend_tokenizer.encode_special_tokens = True


def load_tokenizer(path: str) -> Tokenizer:
    """Return the tokenizer in a folder (or `package:NAME/INSIDE`).

    Raises ConfigError when there is none, when it is not a fast one (the stream needs the place of each token in
    its text), or when `<|endofchunk|>`, `<image>`, the start or the end token is missing. Without a pad token the
    end token stands in; padding is known by its document id, never by its token (INFIMM.md 1.9, 10).
    """
    declare_torchvision_ops()
    from transformers import AutoTokenizer, PreTrainedConfig  # heavy: only where a tokenizer is needed

    folder = resolve(path)
    if not os.path.isdir(folder):
        raise ConfigError(f"{path}: no such folder; expected a tokenizer (tokenizer.json, tokenizer_config.json)")
    try:
        # A config of its own, as the one in a published folder is InfiMM's, of which transformers would warn.
        tokenizer = AutoTokenizer.from_pretrained(folder, config=PreTrainedConfig(), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path}: not a tokenizer that transformers reads ({reason})") from None
    if not tokenizer.is_fast:
        raise ConfigError(f"{path}: not a fast tokenizer; expected a tokenizer.json in the folder")
    return Tokenizer(tokenizer, _vocabulary(tokenizer, path), len(tokenizer))


def _vocabulary(tokenizer: Any, path: str) -> Vocabulary:
    known = tokenizer.get_vocab()
    for token in (END_OF_CHUNK, IMAGE):
        if token not in known:
            raise ConfigError(f"{path}: no token '{token}'; add it as a special token of the tokenizer")
    if tokenizer.bos_token_id is None or tokenizer.eos_token_id is None:
        raise ConfigError(f"{path}: no start or end token; set bos_token and eos_token in tokenizer_config.json")
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = True  # "<image>" in the text of a page is text
    digest = hashlib.blake2b(backend.to_str().encode(), digest_size=8).hexdigest()
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, known[END_OF_CHUNK], known[IMAGE])
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def encode(text: str) -> tuple[list[int], list[int]]:
        encoding = backend.encode(text, add_special_tokens=False)
        return encoding.ids, [start for start, _ in encoding.offsets]

    return Vocabulary(
        encode=encode,
        bos=ids[0],
        eos=ids[1],
        end_of_chunk=ids[2],
        image=ids[3],
        pad=pad,
        fingerprint=f"{digest}-{'-'.join(map(str, ids))}",
    )
