"""Train the shipped content model: `python -m pipelines.weights.train_content DATA`.

DATA: folder with the benchmark sets `html_*` that `pipelines.weights.gold_pages` names. Needs catboost (training
only: `pip install catboost`). Writes `content.safetensors` (trees) and `content.json` (lexicon, and the figures on
unseen sites) beside this file (or to --out). The figures are those of five models, each asked only about the sites
(registered domains, across all sets) that it was not trained on; the shipped model is trained on all pages. Same
pages and versions, same bytes. Takes 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from selectolax.lexbor import LexborHTMLParser

from pipelines.content_model import Trees
from pipelines.extract import decode_html
from pipelines.html_blocks import Page
from pipelines.html_content import choose
from pipelines.html_features import Floats, features
from pipelines.html_head import Head, read_head
from pipelines.html_image_features import image_features
from pipelines.html_walk import walk
from pipelines.html_words import Lexicon, page_words
from pipelines.weights.align import IS_CONTENT, align
from pipelines.weights.fit_trees import IMAGE, IMAGE_SEEDS, TEXT, fit, settings
from pipelines.weights.gold_pages import SETS, GoldPage, file_name, read_pages, word_f1, words
from pipelines.weights.learn_lexicon import LabelledBlock, count_votes, lexicon, site_votes, without_site
from pipelines.weights.provenance import digest_of_data, digest_of_features

FOLDS = 5
MAX_WORDS = 200  # of a block that count for its weight: longer blocks are not harder
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A page to learn from. labels: [blocks], 0..1, NaN where unknown; sizes: [blocks], words of each."""

    gold: GoldPage
    page: Page
    head: Head
    labels: Floats
    sizes: Floats
    site: str
    fold: int


def examples(pages: Iterable[GoldPage]) -> list[Example]:
    """Return the pages that have blocks, walked and labelled."""
    found = []
    for gold in pages:
        tree = LexborHTMLParser(decode_html(gold.html))
        head = read_head(tree, gold.url)
        page = walk(tree.root, head.base_url)
        if not page.blocks:
            continue
        site = _registered_domain(gold.group)
        fold = hashlib.blake2b(site.encode(), digest_size=2).digest()[0] % FOLDS
        sizes = np.array([words(block.text).total() for block in page.blocks], np.float32)
        labels = np.array(_labels(gold, page), np.float32)
        found.append(Example(gold=gold, page=page, head=head, labels=labels, sizes=sizes, site=site, fold=fold))
    return found


def _registered_domain(host: str) -> str:
    """Return the last two labels of a host, or three where the second is short ("co.uk"): near enough for folds."""
    labels = host.split(".")
    return ".".join(labels[-2:] if len(labels) < 3 or len(labels[-2]) > 3 else labels[-3:])


def _labels(gold: GoldPage, page: Page) -> list[float]:
    if gold.text is not None:
        labels = align([block.text for block in page.blocks], gold.text)
    else:
        labels = [_snippet_label(gold, block.text) for block in page.blocks]
    names = None if gold.images is None else set().union(*(image.names for image in gold.images))
    for at, block in enumerate(page.blocks):
        if block.image is not None:
            labels[at] = float("nan") if names is None else float(file_name(block.image.url) in names)
    return labels


def _snippet_label(gold: GoldPage, text: str) -> float:
    if any(snippet in text for snippet in gold.present):
        return 1.0
    return 0.0 if any(snippet in text for snippet in gold.absent) else float("nan")


def text_rows(data: Sequence[Example], of: Mapping[int, Floats]) -> tuple[Floats, Any, Floats]:
    """Return features, labels and weights of all labelled texts; each page weighs about the same."""
    xs, ys, weights = [], [], []
    for at, rows in of.items():
        example = data[at]
        use = (example.sizes > 0) & ~np.isnan(example.labels)
        weight = np.minimum(example.sizes, MAX_WORDS)[use] ** 0.75
        whole = weight.sum() + 50 if example.gold.text is not None else 3_000
        xs.append(rows[use])
        ys.append(example.labels[use] >= IS_CONTENT)
        weights.append(weight / whole)
    return np.concatenate(xs), np.concatenate(ys), np.concatenate(weights)


def image_rows(
    data: Sequence[Example], of: Mapping[int, Floats], probabilities: Mapping[int, Floats]
) -> tuple[Floats, Any, Floats]:
    """Return features, labels and weights of all labelled images."""
    xs, ys, weights = [], [], []
    for at, rows in of.items():
        found, places = image_features(data[at].page, data[at].head, rows, probabilities[at])
        labels = data[at].labels[places]
        use = ~np.isnan(labels)
        xs.append(found[use])
        ys.append(labels[use] > 0)
        weights.append(np.full(int(use.sum()), 1 / np.sqrt(max(use.sum(), 1))))
    return np.concatenate(xs), np.concatenate(ys), np.concatenate(weights)


def votes_by_site(data: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Return what each site says of each word."""
    blocks: defaultdict[str, list[LabelledBlock]] = defaultdict(list)
    for example in data:
        for found, label, size in zip(page_words(example.page), example.labels, example.sizes, strict=True):
            if not np.isnan(label):
                blocks[example.site].append(LabelledBlock(found, float(label), float(max(size, 1)) ** 0.5))
    return {site: site_votes(found) for site, found in blocks.items()}


def learn(
    data: Sequence[Example], votes: Mapping[str, dict[str, float]], fold: int | None = None
) -> tuple[dict[str, float], dict[int, Floats], dict[int, Floats]]:
    """Return the lexicon of all pages outside `fold`, the features of these (each as if unseen), and of the fold's."""
    sites = {example.site for example in data if example.fold != fold}
    counted = count_votes({site: shares for site, shares in votes.items() if site in sites})
    known = lexicon(counted)
    of_train: dict[int, Floats] = {}
    unseen: dict[int, Floats] = {}
    for site in sorted({example.site for example in data}):
        own = Lexicon(without_site(known, counted, site))
        for at in (at for at, example in enumerate(data) if example.site == site):
            where = of_train if site in sites else unseen
            where[at] = features(data[at].page, data[at].head, own)
    return known, of_train, unseen


def cross_validate(
    data: Sequence[Example], votes: Mapping[str, dict[str, float]]
) -> tuple[dict[int, Floats], dict[int, Floats]]:
    """Return per page its features and its probabilities from models that know nothing of its site."""
    rows: dict[int, Floats] = {}
    found: dict[int, Floats] = {}
    for fold in range(FOLDS):
        _, of_train, unseen = learn(data, votes, fold)
        trees = fit(text_rows(data, of_train), TEXT)
        rows |= unseen
        found |= {at: trees.probabilities(of_page) for at, of_page in unseen.items()}
        logger.info("fold=%d text", fold)
    for fold in range(FOLDS):
        # The texts' probabilities are those of models that do not know the page's own site, for training pages too.
        train_rows = {at: rows[at] for at in rows if data[at].fold != fold}
        trees = fit(image_rows(data, train_rows, found), IMAGE, IMAGE_SEEDS)
        for at in (at for at in rows if data[at].fold == fold):
            of_images, places = image_features(data[at].page, data[at].head, rows[at], found[at])
            if places:
                found[at] = found[at].copy()
                found[at][places] = trees.probabilities(of_images)
    return rows, found


def figures(data: Sequence[Example], probabilities: Mapping[int, Floats]) -> dict[str, float]:
    """Return the mean word-F1 per set and page type, and precision and recall of images per set."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for at, example in enumerate(data):
        gold, chosen = example.gold, choose(example.page, probabilities[at])
        kept = [block for block, is_kept in zip(example.page.blocks, chosen, strict=True) if is_kept]
        text = "\n\n".join(block.text for block in kept)
        apart = "\n\n".join(block.text for block in kept if not block.is_placed)
        if gold.text is not None:
            for name in {gold.dataset, f"{gold.dataset}/{gold.kind}"}:
                found[f"{name} F1"].append(word_f1(text, gold.text))
            found[f"{gold.dataset} F1, captions apart"].append(word_f1(apart, gold.text))
        else:
            for end, of in (("", text), (", captions apart", apart)):
                found[f"{gold.dataset} with{end}"] += [float(snippet in of) for snippet in gold.present]
                found[f"{gold.dataset} without{end}"] += [float(snippet not in of) for snippet in gold.absent]
        if gold.images is not None:
            names = [file_name(block.image.url) for block in kept if block.image is not None]
            wanted = set().union(*(image.names for image in gold.images))
            count = counts[gold.dataset]
            count[0] += sum(name in wanted for name in names)
            count[1] += len(names)
            count[2] += sum(bool(image.names & set(names)) for image in gold.images)
            count[3] += len(gold.images)
    figures = {name: round(float(np.mean(values)), 4) for name, values in found.items()}
    for name, (right, kept_, hit, wanted_) in counts.items():
        figures |= {f"{name} image P": round(right / max(kept_, 1), 4), f"{name} image R": round(hit / wanted_, 4)}
    return dict(sorted(figures.items()))


def save(out: Path, known: dict[str, float], models: Mapping[str, Trees], card: dict[str, Any]) -> None:
    """Write weights and card."""
    tensors: dict[str, Any] = {}
    for name, trees in models.items():
        tensors[f"{name}.features"] = trees.features.astype(np.int16)
        tensors[f"{name}.thresholds"] = trees.thresholds
        tensors[f"{name}.leaves"] = trees.leaves
        tensors[f"{name}.bias"] = np.array([trees.bias], np.float32)
    save_file(tensors, out)
    card = {"sha256": hashlib.sha256(out.read_bytes()).hexdigest(), **card, "lexicon": known}
    out.with_suffix(".json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Cross-validate, train on all, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder that holds html_wcxb_dev, html_fundus, ...")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("content.safetensors"))
    options = parser.parse_args(arguments)
    data = examples(page for name in SETS for page in read_pages(options.data, name))
    logger.info("pages=%d blocks=%d", len(data), sum(len(example.page.blocks) for example in data))
    votes = votes_by_site(data)
    rows, probabilities = cross_validate(data, votes)
    reached = figures(data, probabilities)
    logger.info("%s", json.dumps(reached, indent=1))
    known, of_all, _ = learn(data, votes)
    text = fit(text_rows(data, of_all), TEXT)
    only_text = {at: np.where(data[at].sizes > 0, probabilities[at], 0).astype(np.float32) for at in rows}
    image = fit(image_rows(data, rows, only_text), IMAGE, IMAGE_SEEDS)
    pages = {name: sum(example.gold.dataset == name for example in data) for name in SETS}
    card = {
        "pages": pages,
        "data": digest_of_data(options.data),
        "features": digest_of_features(),
        "training": settings(),
        "unseen_sites": reached,
    }
    save(options.out, known, {"text": text, "image": image}, card)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
