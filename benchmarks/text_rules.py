"""Gopher's rules on quality and repetition and C4's: our filters, beside datatrove's where that is installed.

    python benchmarks/text_rules.py TEXTS.jsonl.gz [--repeats 5] [--documents 200]

TEXTS: rows with a `text`. All run in this process on the same documents, alternating, each from the text alone. Our
filters measure every value; datatrove's stop at the first rule that a document breaks, which is less work. Needs for
the peer: pip install 'datatrove[multilingual]' (its tokenizer is spaCy's). With one core per process, both scale alike.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import itertools
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from filters.table import FILTERS
from infimm_data.document import Document, TextNode
from infimm_data.rules import EditsDocument

OURS = {
    "gopher quality": ("gopher_quality",),
    "gopher repetition": ("text_repetition", "ngram_repetition"),
    "c4": ("c4_lines", "c4_page"),
}
THEIRS = {
    "gopher quality": "GopherQualityFilter",
    "gopher repetition": "GopherRepetitionFilter",
    "c4": "C4QualityFilter",
}
Rules = Callable[[str], Any]


def ours(names: tuple[str, ...]) -> Rules:
    """Return what asks our filters of one text: edits first, measures of what they leave."""
    made = [FILTERS[name]() for name in names]

    def ask(text: str) -> None:
        document = Document(id="0", nodes=(TextNode(text=text),))
        for one in made:
            if isinstance(one, EditsDocument):
                document, _ = one.edit(document)
            else:
                one.measure(document)

    return ask


def theirs(name: str) -> Rules:
    """Return what asks datatrove's filter of one text."""
    from datatrove.data import Document as Theirs
    from datatrove.pipeline import filters

    made = getattr(filters, name)()
    made.filter(Theirs(text="Its tokenizer loads at the first text.", id="0"))
    return lambda text: made.filter(Theirs(text=text, id="0"))


def main() -> None:
    """Print documents per second: median, and slowest and fastest run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--documents", type=int, default=200)
    arguments = parser.parse_args()
    with gzip.open(arguments.texts, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in itertools.islice(lines, arguments.documents)]
    print(f"{len(texts)} documents, {sum(map(len, texts)) / len(texts):,.0f} characters each")
    asked = {(rules, "ours"): ours(names) for rules, names in OURS.items()}
    if importlib.util.find_spec("datatrove"):
        asked |= {(rules, "datatrove"): theirs(name) for rules, name in THEIRS.items()}
    rates: dict[tuple[str, str], list[float]] = {key: [] for key in asked}
    for _ in range(arguments.repeats):
        for key, ask in asked.items():
            start = time.perf_counter()
            for text in texts:
                ask(text)
            rates[key].append(len(texts) / (time.perf_counter() - start))
    for (rules, who), own in sorted(rates.items()):
        median = statistics.median(own)
        print(f"{rules:18} {who:10} {median:8.0f} documents/s ({min(own):.0f} to {max(own):.0f})")
    for who in sorted({name for _, name in rates}):
        whole = 1 / sum(1 / statistics.median(own) for (_, name), own in rates.items() if name == who)
        print(f"{'all three':18} {who:10} {whole:8.0f} documents/s")


if __name__ == "__main__":
    main()
