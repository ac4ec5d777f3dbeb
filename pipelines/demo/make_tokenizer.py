"""Trains the demo's tokenizer: byte-level BPE on text of the demo's own articles.

    python -m pipelines.demo.make_tokenizer [DIRECTORY]

Writes what `transformers.AutoTokenizer.from_pretrained` reads. The same command always writes the same bytes.
Any UTF-8 text comes back unchanged, as every byte is a token. Cost: about 2 seconds.
"""

from __future__ import annotations

import json
import logging
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from pipelines.demo.captions import contents, describe, paragraph
from pipelines.demo.prose import HEADINGS, LEAD_INS, NAMING_LEAD_INS, fillers, title
from pipelines.demo.scene import random_scene

DIRECTORY = Path(__file__).parent / "data" / "tokenizer"
SPECIAL_TOKENS = ("<s>", "</s>", "<unk>", "<pad>", "<|endofchunk|>", "<image>")
"""In the order of their ids, 0-5. `<|endofchunk|>` and `<image>` are those of InfiMM."""

VOCABULARY = 1280
"""Tokens in all; a multiple of 128, which matrix units like, and enough for one token per word of the articles."""

MAX_LENGTH = 2048
_SEED = 20_001  # of the training text; the dump has another
_ARTICLES = 4_000

log = logging.getLogger(__name__)


def training_text() -> Iterator[str]:
    """Yield the text of generated articles, one string each."""
    rng = random.Random(_SEED)
    for _ in range(_ARTICLES):
        scene = random_scene(rng)
        lead = rng.choice(NAMING_LEAD_INS).format(contents(scene, rng))
        parts = (title(rng), fillers(rng, 4), rng.choice(LEAD_INS), lead, rng.choice(HEADINGS))
        yield "\n\n".join((*parts, describe(scene, rng), paragraph(scene, rng)))


def train() -> Tokenizer:
    """Return the trained tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=2,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        show_progress=False,
    )
    tokenizer.train_from_iterator(training_text(), trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def config() -> dict[str, Any]:
    """Return tokenizer_config.json: the names of the special tokens, and no clean-up of spaces."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "additional_special_tokens": ["<|endofchunk|>", "<image>"],
        "model_max_length": MAX_LENGTH,
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
    }


def write(directory: Path = DIRECTORY) -> None:
    """Train and write tokenizer.json and tokenizer_config.json into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = train()
    tokenizer.save(str(directory / "tokenizer.json"), pretty=False)
    text = json.dumps(config(), indent=1, sort_keys=True) + "\n"
    (directory / "tokenizer_config.json").write_text(text, encoding="utf-8")
    log.info("tokens=%d directory=%s", tokenizer.get_vocab_size(), directory)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    write(*map(Path, sys.argv[1:2]))
