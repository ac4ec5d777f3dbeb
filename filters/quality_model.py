"""Is the text of the kind that a trained classifier wants: mathematics, by default?

fastText over words and pairs of words, in two stages as InfiMM-WebMath chose its pages (Han et al. 2024, section 3):
one with high recall from seeds, one with high precision from scores of a language model. `weights/train_quality.py`
trains either; the shipped `weights/math.ftz` is a small one of the first kind, its card `weights/math.json` says what
it is worth. Any fastText classifier with labels serves instead. About 0.3 ms a page of 2 KB.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from filters.models.fasttext_model import LABEL, load_fasttext
from infimm_data.document import Document, Measure
from infimm_data.errors import ConfigError, did_you_mean
from infimm_data.files import resolve
from infimm_data.rules import AtLeast, Level, Rule, check_bounds

SHIPPED = Path(__file__).parent / "weights" / "math.ftz"
READ_CHARACTERS = 20_000  # of a document's start: about 3,000 words, and a bound on the time per page
LONGEST_TOKEN = 100  # characters; longer ones are addresses, keys and base64 (WebMath drops them too)
_NUMBER = "<num>"
_UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f"  # kana, Han, Thai: a token per character
_TOKEN = re.compile(rf"\\[a-zA-Z]+|[{_UNSPACED}]|[^\W\d_{_UNSPACED}]+|\d[\d.,]*|[^\w\s\ud800-\udfff]")
_ADDRESS = re.compile(r"(?:https?://|www\.)\S+")
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-") | dict.fromkeys("‘’ʼ", "'") | dict.fromkeys("“”", '"'))


@dataclass(frozen=True, kw_only=True)
class QualityModel:
    """min_quality: inclusive, 0..1, of the probability of `label`; None keeps all and only stores it.

    model: path of a fastText classifier, or `package:`; None is the shipped one for mathematics. label: which of its
    labels is wanted, without fastText's prefix. WebMath keeps 0.4 and above in its first stage, for recall; what its
    second keeps is not printed. A text without a token has no quality and is dropped.
    """

    level: ClassVar[Level] = "document"
    file_settings: ClassVar[tuple[str, ...]] = ("model",)
    model: str | None = None
    label: str = "math"
    min_quality: float | None = 0.4

    def __post_init__(self) -> None:
        """Raise ConfigError on a bound that is no number."""
        check_bounds(self)

    def measure(self, document: Document) -> Mapping[str, Measure]:
        """Return `quality` (0..1), None without a token; raises ConfigError when the model lacks the label."""
        line = quality_line(document.start_of_text(READ_CHARACTERS))
        if not line:
            return {"quality": None}
        path = resolve(self.model) if self.model else str(SHIPPED)
        return {"quality": round(probability(path, self.label, [line])[0], 4)}

    def rules(self) -> tuple[Rule, ...]:
        """Return the threshold, if one is set."""
        return () if self.min_quality is None else (AtLeast("quality", self.min_quality, "quality_low"),)


def probability(path: str, label: str, lines: list[str]) -> list[float]:
    """Return the probability of a label for each line; raises ConfigError when the model cannot be had or lacks it."""
    model = load_fasttext(path)
    known = [name.removeprefix(LABEL) for name in model.get_labels()]
    if label not in known:
        raise ConfigError(f"{path}: no label '{label}'.{did_you_mean(label, known)} It has: {', '.join(known[:20])}")
    labels, values = model.predict(lines, k=len(known))
    found = []
    for names, numbers in zip(labels, values, strict=True):
        told = dict(zip(names, numbers, strict=True))
        found.append(min(1.0, float(told.get(f"{LABEL}{label}", 0.0))))  # fastText adds 1e-5 to each probability
    return found


def quality_line(text: str) -> str:
    r"""Return the text as the classifier reads it: one line of lower-case words, \commands, signs and <num>.

    As WebMath normalises (section 3.6): numbers become one token, dashes and quotes one form, layout goes, tokens above
    100 characters are dropped. Its lemmas are left out: they would need a tagger on every page.
    """
    folded = unicodedata.normalize("NFKC", _ADDRESS.sub(" ", text)).translate(_DASHES)
    words = (_NUMBER if word[0].isdigit() else word.lower() for word in _TOKEN.findall(folded))
    return " ".join(word for word in words if len(word) <= LONGEST_TOKEN)
