"""Scoring captions: our tokenizer and metrics, beside pycocoevalcap with its Java tokenizer where that is installed.

    python benchmarks/score_captions.py REFERENCES PREDICTIONS [--repeats 5]

Each is timed several times, alternating; the scores of both are printed, and must be equal.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import shutil
import statistics
import time
from collections.abc import Callable

from model.evaluation.answers import as_map, read_data
from model.evaluation.scoring import Scoring
from model.evaluation.table import TASKS

Scores = dict[str, float]
NAMES = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr")


def ours(references: str, predictions: str) -> Scores:
    """Score the files with this project's metrics."""
    metrics = TASKS["coco"].score("coco", predictions, references, Scoring()).metrics
    return {name: metrics[name] for name in NAMES}


def theirs(references: str, predictions: str) -> Scores:
    """Score the files with pycocoevalcap."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    known = {str(key): [{"caption": one} for one in own] for key, own in read_data(references).items()}
    said = as_map(read_data(predictions), path=predictions, ids=("image_id",), values=("caption",))
    with contextlib.redirect_stdout(io.StringIO()):
        wanted = PTBTokenizer().tokenize(known)
        found = PTBTokenizer().tokenize({key: [{"caption": said[key]}] for key in known})
        bleu, _ = Bleu(4).compute_score(wanted, found)
        rouge, _ = Rouge().compute_score(wanted, found)
        cider, _ = Cider().compute_score(wanted, found)
    return dict(zip(NAMES, [*bleu, rouge, cider], strict=True))


def main() -> None:
    """Time both, and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("references", help="an object {image id: [captions]}")
    parser.add_argument("predictions", help="COCO's result layout")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    scorers: dict[str, Callable[[str, str], Scores]] = {"ours": ours}
    if importlib.util.find_spec("pycocoevalcap") and shutil.which("java"):
        scorers["pycocoevalcap"] = theirs
    seconds: dict[str, list[float]] = {name: [] for name in scorers}
    scores: dict[str, Scores] = {}
    for _ in range(arguments.repeats):
        for name, scorer in scorers.items():
            start = time.perf_counter()
            scores[name] = scorer(arguments.references, arguments.predictions)
            seconds[name].append(time.perf_counter() - start)
    for name, own in seconds.items():
        figures = "  ".join(f"{key} {value:.6f}" for key, value in scores[name].items())
        print(f"{name:14} median {statistics.median(own):6.2f} s, best {min(own):6.2f} s   {figures}")


if __name__ == "__main__":
    main()
