"""Seed texts of the shipped mathematics classifier, from what a virtual environment holds and two open sets.

    python -m filters.weights.math_seeds FOLDER --prose PROSE.jsonl [...]

Writes FOLDER/math.jsonl and FOLDER/other.jsonl for `train_quality seed`. Wanted: docstrings of SymPy and mpmath (BSD),
which explain functions, theorems and identities in prose and LaTeX, their doctests taken out. Others, in equal parts:
docstrings of packages about other things; the given prose (JSON lines with `text`); made listings of a shop, whose
numbers and brackets are no mathematics. Docstrings are read with `ast`: nothing is imported.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from filters.weights.train_quality import read_texts

MIN_WORDS = 60  # of a docstring: a page, not a remark
LISTINGS = 600
MATH = ("mpmath", *(f"sympy.{name}" for name in (
    "algebras", "calculus", "categories", "combinatorics", "concrete", "diffgeom", "discrete", "functions", "geometry",
    "holonomic", "integrals", "liealgebras", "logic", "matrices", "ntheory", "polys", "series", "sets", "simplify",
    "solvers", "stats", "tensor", "vector",
)))  # fmt: skip
OTHER = (
    "aiohttp", "asyncio", "email", "fsspec", "http", "logging", "PIL", "pydantic", "pytest", "ray.data", "ray.serve",
    "rich", "tkinter", "transformers.models", "unittest", "urllib", "wandb", "xml", "yaml", "zipfile",
)  # fmt: skip
_DOCTEST = re.compile(r"^\s*(?:>>>|\.\.\. |\.\. ).*$", re.MULTILINE)
_RULER = re.compile(r"^\s*[=\-~^]{3,}\s*$", re.MULTILINE)
_ROLE = re.compile(r":[\w:]+:`~?([^`<]*)(?:<[^`]*)?`")
_THINGS = ("Lamp", "Radio", "Jacket", "Power Bank", "Shelf", "Cup", "Speaker", "Camera", "Parts Store", "Serum", "Bag")
_SAYS = (
    "Sold out",
    "Add to cart",
    "In stock",
    "Sale",
    "reviews",
    "Best Seller",
    "Free shipping",
    "Compare",
    "per item",
)


def docstrings(package: str) -> Iterator[str]:
    """Yield the docstrings of a package (not its tests) that are long enough, without doctests and markup."""
    found = importlib.util.find_spec(package)
    if found is None or not found.origin:
        raise SystemExit(f"{package}: not installed; pip install {package.partition('.')[0]}")
    folder = Path(found.origin).parent if found.submodule_search_locations else None
    for file in sorted(folder.rglob("*.py")) if folder else [Path(found.origin)]:
        if "test" in str(file.relative_to(folder) if folder else file.name):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8", errors="replace"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                read = _RULER.sub("", _ROLE.sub(r"\1", _DOCTEST.sub("", text))).replace("``", "").replace("`", "$")
                if len(read.split()) >= MIN_WORDS:
                    yield read


def listings(count: int, seed: int = 0) -> Iterator[str]:
    """Yield made pages of a shop: names, prices, counts in brackets."""
    rng = random.Random(seed)
    for _ in range(count):
        lines = []
        for _ in range(rng.randint(8, 40)):
            price = f"{rng.choice('$£€')}{rng.randint(1, 1999)}{rng.choice(('', '.00', '.95', '.99'))}"
            model = f"{rng.choice('ABCDEFGHPRX')}{rng.randint(1, 9999)}"
            parts = [rng.choice(_THINGS), model, price, f"({rng.randint(1, 400)})", rng.choice(_SAYS)]
            lines.append(" ".join(rng.sample(parts, rng.randint(2, len(parts)))))
        yield f"Collection: {rng.choice(_THINGS)} {rng.randint(2, 300)} products\n" + "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prose", type=Path, nargs="+", required=True)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    wanted = [text for package in MATH for text in docstrings(package)]
    prose = [one.text for one in read_texts(options.prose)]
    shop = list(listings(LISTINGS))
    docs = [text for package in OTHER for text in docstrings(package)]
    left = max(0, len(wanted) - len(prose) - len(shop))
    others = prose + shop + random.Random(0).sample(sorted(docs), min(left, len(docs)))
    for name, texts in (("math", wanted), ("other", others)):
        lines = (json.dumps({"text": text}, ensure_ascii=True) + "\n" for text in texts)
        (options.folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
