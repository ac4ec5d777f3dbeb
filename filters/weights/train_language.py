"""Train the shipped language identifier: `python -m filters.weights.train_language SENTENCES.tsv.gz`.

Input: a gzipped TSV, one `ISO 639-1 slug<TAB>sentence` per line. Writes `language.ftz` and its card
`language.json` beside this file (or to --out). One sentence in seven is held out by a hash of its text, and the
shipped model never saw it, so the card's figures are those of the shipped bytes. A language is claimed when at
least .95 of its held-out sentences are recognised. Takes about a minute on one core.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filters.models.fasttext_model import LABEL
from filters.weights.fasttext_training import train_fasttext
from infimm_data.errors import ConfigError
from infimm_data.text import letters

HELD_OUT = 37  # of 256 hash values: one sentence in seven
CLAIM = 0.95  # accuracy on held-out sentences from which a language is claimed
CONFIDENT = 0.5  # filters.language's default min_confidence; the card tells what it buys

Rows = Sequence[tuple[str, str]]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Training:
    """fastText's settings, chosen by the held-out accuracy on the 75 languages.

    Measured: n-grams up to 5 characters and one-vs-all loss gained .01 over n-grams to 4 and softmax; a learning
    rate of 2 lost .02; 180,000 rows quantised one number at a time (3.8 MB) lose nothing against 300,000 rows of
    float, in pairs of numbers (3.2 MB) they lose .004; pieces of sentences gained .004. bucket: rows for hashed
    n-grams; a large matrix is also what gets zeroed pages, see `fasttext_training`.
    """

    dim: int = 16
    minn: int = 1
    maxn: int = 5
    bucket: int = 180_000
    epoch: int = 14
    lr: float = 1.0
    minCount: int = 12  # noqa: N815 -- fastText's own name
    loss: str = "ova"
    seed: int = 1


def read_sentences(path: Path) -> list[tuple[str, str]]:
    """Return (slug, letters of the sentence) per line; raises ConfigError naming the first line that is none."""
    rows = []
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, 1):
                slug, tab, sentence = line.rstrip("\n").partition("\t")
                if not tab or not slug.isalnum():
                    raise ConfigError(f"{path}, line {number}: expected 'slug<TAB>sentence', found {line[:60]!r}")
                if read := letters(sentence):
                    rows.append((slug, read))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as gzipped UTF-8 ({error})") from None
    return rows


def split(rows: Rows) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return (training, held-out) rows, decided by a hash of the sentence, so equal sentences stay together."""
    training: list[tuple[str, str]] = []
    held_out: list[tuple[str, str]] = []
    for slug, sentence in rows:
        first = hashlib.blake2b(sentence.encode("utf-8"), digest_size=1).digest()[0]
        (held_out if first < HELD_OUT else training).append((slug, sentence))
    return training, held_out


def with_pieces(rows: Rows) -> list[tuple[str, str]]:
    """Return the rows and their halves and thirds, so that headings and captions are recognised too.

    Cut between words, of at least three per piece; a line that writes no spaces is cut between letters.
    """
    pieces = list(rows)
    for slug, sentence in rows:
        words = sentence.split(" ")
        for parts in (2, 3):
            if len(words) >= 3 * parts:
                pieces += [(slug, " ".join(words[_part(len(words), at, parts)])) for at in range(parts)]
            elif len(words) < parts and len(sentence) >= 8 * parts:
                pieces += [(slug, sentence[_part(len(sentence), at, parts)]) for at in range(parts)]
    return pieces


def _part(length: int, at: int, parts: int) -> slice:
    return slice(length * at // parts, length * (at + 1) // parts)


def train(rows: Rows, out: Path, training: Training) -> None:
    """Train on `rows` and write the quantised model to `out`; same rows, same bytes."""
    train_fasttext(with_pieces(rows), out, asdict(training))


def evaluate(model: Any, held_out: Rows) -> dict[str, dict[str, float | int]]:
    """Return per language: held-out sentences, accuracy (recall), precision; "all" holds what is known of all."""
    labels, confidences = model.predict([sentence for _, sentence in held_out])
    found = [str(label[0]).removeprefix(LABEL) for label in labels]
    true = [slug for slug, _ in held_out]
    right = [a == b for a, b in zip(true, found, strict=True)]
    per_true, per_found = Counter(true), Counter(found)
    per_right = Counter(slug for slug, ok in zip(true, right, strict=True) if ok)
    report: dict[str, dict[str, float | int]] = {
        slug: {
            "held_out": per_true[slug],
            "accuracy": _ratio(per_right[slug], per_true[slug]),
            "precision": _ratio(per_right[slug], per_found[slug]),
        }
        for slug in sorted(per_true)
    }
    sure = [ok for ok, values in zip(right, confidences, strict=True) if values[0] >= CONFIDENT]
    unsure = [ok for ok, values in zip(right, confidences, strict=True) if values[0] < CONFIDENT]
    report["all"] = {"held_out": len(true), "accuracy": _ratio(sum(right), len(true))}
    report["confident"] = {"held_out": len(sure), "accuracy": _ratio(sum(sure), len(sure))}
    report["unconfident"] = {"held_out": len(unsure), "accuracy": _ratio(sum(unsure), len(unsure))}
    return report


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def card(model_file: Path, training: Training, rows: Rows, held_out: Rows, source: str) -> dict[str, Any]:
    """Return what is to be known of a trained model: its bytes, its data, and its figures on unseen sentences."""
    import fasttext

    report = evaluate(fasttext.load_model(str(model_file)), held_out)
    overall = {name: report.pop(name) for name in ("all", "confident", "unconfident")}
    claimed = {slug: figures for slug, figures in report.items() if figures["accuracy"] >= CLAIM}
    counts = Counter(slug for slug, _ in rows)
    seen = sum(int(figures["held_out"]) for figures in claimed.values())
    right = sum(round(figures["accuracy"] * figures["held_out"]) for figures in claimed.values())
    return {
        "file": model_file.name,
        "sha256": hashlib.sha256(model_file.read_bytes()).hexdigest(),
        "size_bytes": model_file.stat().st_size,
        "data": source,
        "training": {**asdict(training), "sentences": len(rows)},
        "claim": f"accuracy of at least {CLAIM} on held-out sentences",
        "accuracy_of_claimed": _ratio(right, seen),
        "overall": overall,
        "languages": {slug: {"trained_on": counts[slug], **figures} for slug, figures in claimed.items()},
        "not_claimed": {slug: figures for slug, figures in report.items() if slug not in claimed},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, evaluate, write model and card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sentences", type=Path, help="gzipped TSV: slug, tab, sentence")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("language.ftz"), help="model to write")
    parser.add_argument("--source", default="lingua-py 754ce21 language-testdata (Leipzig corpora), Apache-2.0")
    options = parser.parse_args(arguments)
    rows, held_out = split(read_sentences(options.sentences))
    train(rows, options.out, Training())
    known = card(options.out, Training(), rows, held_out, options.source)
    text = json.dumps(known, indent=1, ensure_ascii=False) + "\n"
    options.out.with_suffix(".json").write_text(text, encoding="utf-8")
    logger.info("trained languages=%d accuracy=%s", len(known["languages"]), known["accuracy_of_claimed"])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
