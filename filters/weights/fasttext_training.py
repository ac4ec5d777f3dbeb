"""Trains a fastText classifier so that the same lines give the same bytes, and quantises it.

Reproducible only under these conditions: one thread (more race), and a fresh process whose allocator hands out zeroed
pages, because fastText fills only a part of its first matrix and trains on whatever memory held. Hence the child
process with MALLOC_MMAP_THRESHOLD_ (glibc), until https://github.com/facebookresearch/fastText is fixed.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filters.models.fasttext_model import LABEL


def train_fasttext(rows: Iterable[tuple[str, str]], out: Path, settings: Mapping[str, Any]) -> None:
    """Train on (label, line) rows in a fresh process and write the quantised model to `out`.

    settings: fastText's own; `bucket` of 20,000 rows or more, since a large matrix is what gets zeroed pages. The
    order of the rows does not matter: they are sorted, then shuffled by `seed`.
    """
    shuffled = sorted(rows)
    random.Random(settings["seed"]).shuffle(shuffled)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "lines.txt"
        text.write_text("".join(f"{LABEL}{label} {line}\n" for label, line in shuffled), encoding="utf-8")
        command = [sys.executable, "-c", _CHILD, str(text), str(out), json.dumps(dict(settings))]
        zeroed = {"MALLOC_MMAP_THRESHOLD_": "1024", "PYTHONHASHSEED": "0"}
        subprocess.run(command, check=True, env={**os.environ, **zeroed})  # noqa: S603 -- our own interpreter


_CHILD = """
import json, sys
import fasttext
text, out, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
model = fasttext.train_supervised(text, thread=1, verbose=0, **settings)
model.quantize(qnorm=True, dsub=1, thread=1, verbose=0)
model.save_model(out)
"""
