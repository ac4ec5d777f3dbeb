"""Train a quality classifier in two stages, as InfiMM-WebMath's: `python -m filters.weights.train_quality STAGE ...`.

    seed --positives FILE... --negatives FILE... --out 1.ftz     wanted texts against random ones
    candidates TEXTS... --model 1.ftz --out ask.jsonl            what the first stage lets through, for a judge
    scored TEXTS... --scores scores.jsonl --out 2.ftz            texts by the judge's scores, trained again

Texts are JSON lines with `text` (and `id`; .gz too), or documents of a build (OUT/documents/*.parquet). Scores are JSON
lines with `id` and `score`, as a language model or people gave them (WebMath: 0 to 10 by LLaMA-3-70B, 6 and above are
wanted). Both stages take as many negatives as positives, chosen by a hash of the text, as WebMath balances its own.

One text in five is held out by that hash and never trained on; the card beside the model (.json) tells precision and
recall on these per threshold, for the bytes that were written. Equal texts count once; one that is both wanted and not
is left out. Same texts in any order, same bytes (`fasttext_training`).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from filters.quality_model import READ_CHARACTERS, probability, quality_line
from filters.weights.fasttext_training import train_fasttext
from filters.weights.head_metrics import auc
from infimm_data.errors import ConfigError
from infimm_data.tables import DAMAGED, read_documents

HELD_OUT = 51  # of 256 hash values: one text in five
MIN_TEXTS = 20  # of each label, before any is held out
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
OTHER = "other"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Training:
    """fastText's settings. bucket: rows for hashed pairs of words; a large matrix also gets zeroed pages."""

    dim: int = 10
    wordNgrams: int = 2  # noqa: N815 -- fastText's own name
    bucket: int = 20_000
    epoch: int = 10
    lr: float = 0.5
    minCount: int = 3  # noqa: N815 -- fastText's own name
    loss: str = "softmax"
    seed: int = 1


@dataclass(frozen=True)
class Text:
    """A text as its file has it; score: of a judge, None where the file has none."""

    id: str
    text: str
    score: float | None = None


def read_texts(paths: Iterable[Path]) -> Iterator[Text]:
    """Yield the texts of files; raises ConfigError naming the first line or file that is none."""
    for path in paths:
        yield from _documents(path) if path.suffix == ".parquet" else _lines(path)


def _documents(path: Path) -> Iterator[Text]:
    try:
        for document in read_documents(str(path)):
            yield Text(document.id, document.start_of_text(READ_CHARACTERS))
    except (*DAMAGED, KeyError) as error:
        raise ConfigError(f"{path}: expected the documents of a build ({error!r})") from None


def _lines(path: Path) -> Iterator[Text]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                yield _text(f"{path}, line {number}", line, default_id=f"{path.name}:{number}")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as lines of JSON ({error})") from None


def _text(where: str, line: str, default_id: str) -> Text:
    try:
        row = json.loads(line)
        score = row.get("score")
        return Text(str(row.get("id", default_id)), str(row.get("text") or ""), None if score is None else float(score))
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{where}: expected a JSON object with text, or id and score ({error})") from None


def examples(positives: Iterable[str], negatives: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the lines of both labels, each once, in the order of their hashes, as many of the one as of the other.

    Raises ConfigError when there are fewer than MIN_TEXTS of a label.
    """
    wanted, others = ({quality_line(one[:READ_CHARACTERS]) for one in texts} for texts in (positives, negatives))
    nothing = wanted & others | {""}
    found = [sorted(lines - nothing, key=_hash) for lines in (wanted, others)]
    size = min(map(len, found))
    if size < MIN_TEXTS:
        raise ConfigError(
            f"{len(found[0])} wanted and {len(found[1])} other texts that differ, expected at least {MIN_TEXTS} of each"
        )
    return found[0][:size], found[1][:size]


def _hash(line: str) -> bytes:
    return hashlib.blake2b(line.encode("utf-8", "replace"), digest_size=16).digest()


def split(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return (training, held-out) lines, decided by the hash of each."""
    # The last byte: by the first ones the lines are chosen, and a held-out part must be like the rest.
    return [one for one in lines if _hash(one)[-1] >= HELD_OUT], [one for one in lines if _hash(one)[-1] < HELD_OUT]


def train(
    positives: Iterable[str], negatives: Iterable[str], out: Path, *, label: str, training: Training
) -> dict[str, Any]:
    """Train on texts, write the model, and return its card."""
    (wanted, held_wanted), (others, held_others) = map(split, examples(positives, negatives))
    rows = [(label, line) for line in wanted] + [(OTHER, line) for line in others]
    train_fasttext(rows, out, asdict(training))
    return {
        "file": out.name,
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "size_bytes": out.stat().st_size,
        "label": label,
        "training": {**asdict(training), "texts": len(rows)},
        "held_out": evaluate(out, label, held_wanted, held_others),
    }


def evaluate(model: Path, label: str, wanted: Sequence[str], others: Sequence[str]) -> dict[str, Any]:
    """Return counts, AUC, and precision and recall per threshold, on lines that the model never saw."""
    told = np.array(probability(str(model), label, [*wanted, *others]) if wanted or others else [])
    truth = np.array([1.0] * len(wanted) + [0.0] * len(others))
    at = {}
    for threshold in THRESHOLDS:
        kept = told >= threshold
        right = float((kept & (truth == 1)).sum())
        precision, recall = right / max(1, int(kept.sum())), right / max(1, len(wanted))
        at[str(threshold)] = {"precision": round(precision, 4), "recall": round(recall, 4)}
    area = auc(told, truth) if wanted and others else None
    return {"wanted": len(wanted), "others": len(others), "auc": None if area is None else round(area, 4), "at": at}


def with_scores(texts: Iterable[Text], scores: Path | None) -> Iterator[tuple[str, float]]:
    """Yield (text, score) of the texts that have a score, in the file itself or in `scores` by id."""
    known = {} if scores is None else {one.id: one.score for one in _lines(scores)}
    for one in texts:
        score = known.get(one.id, one.score)
        if score is not None:
            yield one.text, score


def candidates(texts: Iterable[Text], model: Path, *, label: str, least: float, count: int) -> list[Text]:
    """Return texts that a model lets through, at most `count`, chosen by the hash of their text."""
    kept = [one for one in texts if (line := quality_line(one.text[:READ_CHARACTERS])) and
            probability(str(model), label, [line])[0] >= least]  # fmt: skip
    return sorted(kept, key=lambda one: _hash(one.text))[:count]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    stages = parser.add_subparsers(dest="stage", required=True)
    seed = stages.add_parser("seed", help="wanted texts against random ones")
    seed.add_argument("--positives", type=Path, nargs="+", required=True)
    seed.add_argument("--negatives", type=Path, nargs="+", required=True)
    ask = stages.add_parser("candidates", help="what a first stage lets through, for a judge")
    ask.add_argument("texts", type=Path, nargs="+")
    ask.add_argument("--model", type=Path, required=True)
    ask.add_argument("--least", type=float, default=0.4, help="probability; WebMath's first stage keeps 0.4")
    ask.add_argument("--count", type=int, default=1_000_000, help="WebMath had about a million judged")
    scored = stages.add_parser("scored", help="texts by a judge's scores")
    scored.add_argument("texts", type=Path, nargs="+")
    scored.add_argument("--scores", type=Path, help="JSON lines with id and score, where the texts have none")
    scored.add_argument("--threshold", type=float, default=6.0, help="wanted from this score on; WebMath: 6 of 10")
    for stage in (seed, ask, scored):
        stage.add_argument("--out", type=Path, required=True)
        stage.add_argument("--label", default="math", help="the wanted label, without fastText's prefix")
    for stage in (seed, scored):
        stage.add_argument("--source", default="", help="where the texts come from, for the card")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one stage."""
    options = _parser().parse_args(arguments)
    if options.stage == "candidates":
        found = candidates(
            read_texts(options.texts), options.model, label=options.label, least=options.least, count=options.count
        )
        lines = (json.dumps({"id": one.id, "text": one.text}, ensure_ascii=False) + "\n" for one in found)
        options.out.write_text("".join(lines), encoding="utf-8", errors="replace")
        logger.info("candidates=%d", len(found))
        return
    if options.stage == "seed":
        positives = [one.text for one in read_texts(options.positives)]
        negatives = [one.text for one in read_texts(options.negatives)]
    else:
        judged = list(with_scores(read_texts(options.texts), options.scores))
        positives = [text for text, score in judged if score >= options.threshold]
        negatives = [text for text, score in judged if score < options.threshold]
    card = train(positives, negatives, options.out, label=options.label, training=Training())
    card |= {"stage": options.stage, "data": options.source}
    options.out.with_suffix(".json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    logger.info("trained texts=%d held_out=%s", card["training"]["texts"], json.dumps(card["held_out"]))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        main()
    except ConfigError as error:
        sys.exit(str(error))
