"""Generation in batches: greedy, sampled, or by beams; what is done with the scores of `model.decoding`.

A sequence ends at `</s>` or `<|endofchunk|>` unless told otherwise; `<image>` is never generated, as no picture could
stand behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.errors import ConfigError
from infimm_data.stream.images import to_pixels
from infimm_data.stream.templates import TemplateName, chat_prompt
from infimm_data.stream.tokens import Vocabulary
from model.beam_search import beam_search
from model.decoding import Decoding
from model.decoding import Prompt as Prompt  # part of what callers use
from model.infimm import InfiMM


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen; raises ValueError for settings that contradict each other.

    min_new_tokens, max_new_tokens: bounds, the token that ends a sequence not counted. temperature: 0 is greedy.
    top_p: the smallest set of that probability. beams: 1 is none; above it, see `model.beam_search` for
    length_penalty. stop: ids that end a sequence; None: `</s>` and `<|endofchunk|>`; () ends at max_new_tokens alone.
    """

    max_new_tokens: int = 64
    min_new_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    beams: int = 1
    length_penalty: float = 1.0
    stop: tuple[int, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not 0 <= self.min_new_tokens <= self.max_new_tokens:
            raise ValueError(
                f"min_new_tokens {self.min_new_tokens}, expected 0 to max_new_tokens {self.max_new_tokens}"
            )
        if not self.temperature >= 0 or not 0 < self.top_p <= 1 or self.beams < 1:  # NaN is not at least 0
            raise ValueError(
                f"temperature {self.temperature}, top_p {self.top_p}, beams {self.beams}; "
                "expected temperature >= 0, 0 < top_p <= 1, beams >= 1"
            )
        if self.beams > 1 and self.temperature > 0:
            raise ValueError(f"{self.beams} beams at temperature {self.temperature}; expected one or the other")


def prompt_of(
    images: Sequence[Image.Image], vocabulary: Vocabulary, *, side: int, text: str = "",
    template: TemplateName = "plain",
) -> Prompt:  # fmt: skip
    """Return RGB pictures and a text as the model was trained to continue them.

    side: pixels, that of the vision tower; template: plain is `<s><image><|endofchunk|><image>...TEXT`, any other
    the turn of a user who shows the pictures and then asks TEXT, up to where the answer begins.
    """
    pixels = tuple(torch.from_numpy(to_pixels(image, side)) for image in images)
    if template != "plain":
        shown = [ImageNode(url="", role="user") for _ in images]
        asked = Document(id="prompt", nodes=(*shown, TextNode(text=text, role="user", loss=False)))
        return Prompt(tuple(chat_prompt(asked, vocabulary, template).ids.tolist()), pixels)
    ids = [vocabulary.bos]
    for number in range(len(images)):
        ids += [vocabulary.end_of_chunk, vocabulary.image] if number else [vocabulary.image]
    return Prompt((*ids, *vocabulary.encode(text)[0]), pixels)


@torch.inference_mode()
def generate(
    model: InfiMM, prompts: Sequence[Prompt], vocabulary: Vocabulary, sampling: Sampling | None = None
) -> list[list[int]]:
    """Return the new tokens of each prompt, without the one that ended it.

    Raises ValueError when a prompt has not as many images as `<image>` tokens, or no token; ConfigError when it
    has more than the model holds, the new ones counted.
    """
    sampling = sampling or Sampling()
    if not prompts or sampling.max_new_tokens == 0:
        return [[] for _ in prompts]
    longest, most = max(len(prompt.ids) for prompt in prompts), model.max_tokens
    if longest + sampling.max_new_tokens > most:
        asked = f"a prompt of {longest} tokens and {sampling.max_new_tokens} new ones"
        raise ConfigError(f"{asked}: the model holds {most}; shorten the prompt or ask for fewer")
    stop = torch.tensor(
        (vocabulary.eos, vocabulary.end_of_chunk) if sampling.stop is None else sampling.stop, dtype=torch.long
    )

    def forbid(scores: Tensor, length: int) -> None:
        """Forbid what may not be the token that makes a sequence `length` tokens long."""
        scores[:, [vocabulary.image, vocabulary.bos]] = -torch.inf
        if length <= sampling.min_new_tokens:
            scores[:, stop] = -torch.inf

    decoding = Decoding(model, prompts, vocabulary)
    if sampling.beams > 1:
        return beam_search(
            decoding, beams=sampling.beams, length_penalty=sampling.length_penalty,
            max_new_tokens=sampling.max_new_tokens, stop=stop, forbid=forbid,
        )  # fmt: skip
    random = torch.Generator().manual_seed(sampling.seed)
    found: list[list[int]] = [[] for _ in prompts]
    is_open = torch.ones(len(prompts), dtype=torch.bool)
    for length in range(1, sampling.max_new_tokens + 1):
        scores = decoding.scores()
        forbid(scores, length)
        chosen = _choose(scores, sampling, random)
        is_open &= ~torch.isin(chosen, stop)
        if not is_open.any():
            break
        for row in torch.nonzero(is_open).flatten().tolist():
            found[row].append(int(chosen[row]))
        decoding.add(chosen)
    return found


def _choose(scores: Tensor, sampling: Sampling, random: torch.Generator) -> Tensor:
    """Return one token per row of [B, vocabulary] scores."""
    if sampling.temperature == 0:
        return scores.argmax(-1)
    probabilities, order = (scores / sampling.temperature).softmax(-1).sort(-1, descending=True)
    before = probabilities.cumsum(-1) - probabilities
    kept = probabilities.masked_fill(before >= sampling.top_p, 0.0)
    return order.gather(-1, torch.multinomial(kept, 1, generator=random))[:, 0]
