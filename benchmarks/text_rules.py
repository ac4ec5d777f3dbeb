"""Gopher's rules on quality and repetition and C4's: our filters beside datatrove's and Data-Juicer's.

    python benchmarks/text_rules.py TEXTS.jsonl.gz [--documents 200] [--runs 5] [--peer-python PYTHON]

TEXTS: rows with a `text`, the same for all. Each contender runs in a process of its own on one core, its imports and a
first text not counted, each group of rules from the text alone. Our filters measure every value; datatrove's stop at
the first rule that a document breaks, which is less work. Data-Juicer has not these rules but operators near some of
them, whose measures are taken with its words shared between operators (its `context`): to Gopher's quality the number
of words, the shares of letters, of special characters and of stop words (not the lengths of words, the bullets, the
ellipses); to Gopher's repetition its word repetition for each n of 2 to 10 (not lines and paragraphs); to C4 nothing.
The peers: a virtual environment with pip install 'datatrove[multilingual]' py-data-juicer aiohttp (datatrove's
tokenizer is spaCy's; Data-Juicer imports aiohttp without asking for it).
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from alternating import add_flags, call, heading, in_turn, spread

RULES = {
    "gopher quality": ("gopher_quality",),
    "gopher repetition": ("text_repetition", "ngram_repetition"),
    "c4": ("c4_lines", "c4_page"),
}
DATATROVE = {
    "gopher quality": "GopherQualityFilter",
    "gopher repetition": "GopherRepetitionFilter",
    "c4": "C4QualityFilter",
}
TOGETHER = {"gopher, both": ("gopher quality", "gopher repetition"), "all three": tuple(RULES)}  # one after the other
STOP_WORDS = ["the", "be", "to", "of", "and", "that", "have", "with"]  # Gopher's
BATCH = 1000  # documents, as Data-Juicer hands them to an operator
Rules = Callable[[Sequence[str]], None]


def ours() -> dict[str, Rules]:
    """Return our filters: edits first, measures of what they leave."""
    from filters.table import FILTERS
    from infimm_data.document import Document, TextNode
    from infimm_data.rules import EditsDocument

    def ask(made: list[Any], texts: Sequence[str]) -> None:
        for text in texts:
            document = Document(id="0", nodes=(TextNode(text=text),))
            for one in made:
                if isinstance(one, EditsDocument):
                    document, _ = one.edit(document)
                else:
                    one.measure(document)

    return {rules: partial(ask, [FILTERS[name]() for name in names]) for rules, names in RULES.items()}


def datatrove() -> dict[str, Rules]:
    """Return datatrove's filters."""
    from datatrove.data import Document
    from datatrove.pipeline import filters

    def ask(made: Any, texts: Sequence[str]) -> None:
        for text in texts:
            made.filter(Document(text=text, id="0"))

    return {rules: partial(ask, getattr(filters, name)()) for rules, name in DATATROVE.items()}


def data_juicer() -> dict[str, Rules]:
    """Return Data-Juicer's operators."""
    from data_juicer.ops import filter as operators
    from data_juicer.ops.op_fusion import INTER_WORDS

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "stopwords.json").write_text(json.dumps({"en": STOP_WORDS}))
        quality = [
            operators.WordsNumFilter(min_num=50, max_num=100_000),
            operators.AlphanumericFilter(min_ratio=0.8),
            operators.SpecialCharactersFilter(max_ratio=0.1),
            operators.StopWordsFilter(min_ratio=0.01, stopwords_dir=folder),
        ]
    bounds = (0.2, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.1)  # of n = 2 to 10
    repetition = [operators.WordRepetitionFilter(rep_len=n, max_ratio=bound) for n, bound in enumerate(bounds, 2)]

    def ask(made: list[Any], texts: Sequence[str]) -> None:
        for start in range(0, len(texts), BATCH):
            some = list(texts[start : start + BATCH])
            context: list[dict[str, Any]] = [{} for _ in some]
            for one in made:
                # Measures of their own: operators of one kind share a name, and would take the first's for theirs.
                samples = {"text": some, "__dj__stats__": [{} for _ in some], "__dj__context__": context}
                shared = {"context": True} if one._name in INTER_WORDS.modules else {}
                if one.is_batched_op():
                    list(one.process_batched(one.compute_stats_batched(samples, **shared)))
                    continue
                for row in range(len(some)):
                    sample = {name: own[row] for name, own in samples.items()}
                    one.process_single(one.compute_stats_single(sample, **shared))

    return {"gopher quality": partial(ask, quality), "gopher repetition": partial(ask, repetition)}


CONTENDERS = {"ours": ours, "datatrove": datatrove, "data-juicer": data_juicer}


def read_texts(path: str, documents: int) -> list[str]:
    """Return the first texts of a file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in itertools.islice(lines, documents)]


def run_one(name: str, texts: Sequence[str]) -> None:
    """Run a contender here, and print documents/s by group of rules as JSON."""
    rates = {}
    for rules, ask in CONTENDERS[name]().items():
        ask(["A first text, at which tokenizers load."])
        start = time.perf_counter()
        ask(texts)
        rates[rules] = len(texts) / (time.perf_counter() - start)
    for whole, groups in TOGETHER.items():
        if rates.keys() >= set(groups):
            rates[whole] = 1 / sum(1 / rates[rules] for rules in groups)
    print(json.dumps(rates))


def main() -> None:
    """Print documents/s of every contender and group of rules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts")
    parser.add_argument("--documents", type=int, default=200)
    add_flags(parser)
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    texts = read_texts(arguments.texts, arguments.documents)
    if arguments.one:
        run_one(arguments.one, texts)
        return
    print(heading(arguments.peer_python, ["datatrove", "spacy", "py-data-juicer"], arguments.runs))
    mean = statistics.mean(map(len, texts))
    print(f"{len(texts)} documents, {mean:,.0f} characters each; documents/s on one core")
    given = [__file__, arguments.texts, "--documents", str(arguments.documents), "--one"]
    found = in_turn(
        {
            name: partial(call, [sys.executable if name == "ours" else arguments.peer_python, *given, name])
            for name in CONTENDERS
        },
        arguments.runs,
    )
    for rules in (*RULES, *TOGETHER):
        for name, runs in found.items():
            if rules in runs[0]:
                print(f"{rules:18} {name:12} {spread([run[rules] for run in runs])}")


if __name__ == "__main__":
    main()
