from __future__ import annotations

import csv
import gzip
import hashlib
import json
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from filters.near_duplicate_text import NearDuplicateText, bands_for
from infimm_data.document import Document, TextNode
from infimm_data.errors import ConfigError
from infimm_data.links import group_signatures

CLEANEVAL = Path(__file__).resolve().parents[2] / "../shared/data/dedup_text_cleaneval"


def page(text: str) -> Document:
    return Document(id="0", nodes=(TextNode(text=text),))


def random_text(rng: random.Random, num_words: int) -> list[str]:
    return [f"w{rng.randrange(10_000)}" for _ in range(num_words)]


def grouped(texts: list[str], **settings: float) -> list[int]:
    near = NearDuplicateText(**settings)
    return group_signatures(near, [near.signature(page(text)) for text in texts]).tolist()


def test_a_copy_with_another_layout_has_the_same_signature() -> None:
    near = NearDuplicateText()
    assert near.signature(page("The OLD\n\nlighthouse, on a rock.")) == near.signature(
        page("the old lighthouse on a rock")
    )


def test_a_signature_is_four_bytes_per_permutation_and_the_same_on_every_machine() -> None:
    signature = NearDuplicateText().signature(page("the keeper of the old lighthouse wrote letters every night"))
    assert len(signature) == 4 * 128
    assert hashlib.sha256(signature).hexdigest() == "cf243689455cd69984b69d29ff9b5824974147fe09c97d698ccdf62c51a23fbb"


def test_near_copies_join_the_first_and_others_stay_alone() -> None:
    rng = random.Random(0)
    article, other = random_text(rng, 300), random_text(rng, 300)
    edited = [*article[:100], "changed", *article[101:]]
    assert grouped([" ".join(words) for words in (other, article, edited, article)]) == [0, 1, 1, 1]


def test_texts_shorter_than_an_ngram_join_only_when_equal() -> None:
    assert grouped(["Read more", "read more!", "read less"]) == [0, 0, 2]


def test_documents_without_words_never_join() -> None:
    near = NearDuplicateText()
    assert group_signatures(near, [b"", near.signature(page("a few words of text here")), b"", b""]).tolist() == [
        0,
        1,
        2,
        3,
    ]


def test_groups_do_not_depend_on_order_but_for_their_name() -> None:
    rng = random.Random(1)
    texts = []
    for _ in range(30):
        words = random_text(rng, 200)
        texts += [" ".join(words), " ".join([*words[:50], "x", *words[51:]]), " ".join(words[:195])]
    order = list(range(len(texts)))
    rng.shuffle(order)
    straight, shuffled = grouped(texts), grouped([texts[at] for at in order])

    def members(labels: list[int], names: list[int]) -> set[frozenset[int]]:
        groups = defaultdict(set)
        for label, name in zip(labels, names, strict=True):
            groups[label].add(name)
        return {frozenset(group) for group in groups.values()}

    assert members(straight, list(range(len(texts)))) == members(shuffled, order)
    assert len(set(straight)) == 30


def test_two_texts_that_share_a_band_by_chance_do_not_join() -> None:
    near = NearDuplicateText()
    rng = random.Random(2)
    a, b = (near.signature(page(" ".join(random_text(rng, 200)))) for _ in range(2))
    forged = a[:24] + b[24:]  # the first band (6 entries) is that of a, all else that of b
    assert group_signatures(near, [a, forged]).tolist() == [0, 1]


def test_thousands_of_equal_pages_are_one_group() -> None:
    near = NearDuplicateText()
    signature = near.signature(page("the same template on every page of the shop " * 5))
    assert not group_signatures(near, [signature] * 20_000).any()


def test_a_thousand_variants_of_one_template_are_one_group() -> None:
    rng = random.Random(4)
    template = random_text(rng, 400)
    assert set(grouped([" ".join([*template, f"number{at}"]) for at in range(1000)])) == {0}


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
def test_bands_make_a_pair_at_the_threshold_a_likely_candidate(threshold: float) -> None:
    bands, rows = bands_for(threshold, 128)
    assert bands * rows <= 128
    assert 1 - (1 - threshold**rows) ** bands >= 0.995


def test_settings_that_compare_nothing_are_config_errors() -> None:
    with pytest.raises(ConfigError, match="threshold is 0"):
        NearDuplicateText(threshold=0)
    with pytest.raises(ConfigError, match="ngram is 0"):
        NearDuplicateText(ngram=0)


def test_real_near_duplicates_join_and_different_pages_do_not() -> None:
    """Three extractions of each of 200 pages, with the exact Jaccard similarity of their 5-grams."""
    if not CLEANEVAL.exists():
        pytest.skip("shared data dedup_text_cleaneval is not here")
    with gzip.open(CLEANEVAL / "docs.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    labels = grouped([row["text"] for row in rows])
    at = {(row["cluster"], row["version"]): label for row, label in zip(rows, labels, strict=True)}
    with open(CLEANEVAL / "true_jaccard_5gram.tsv", encoding="utf-8") as file:
        pairs = [
            (float(row["jaccard"]), at[row["cluster"], row["a"]] == at[row["cluster"], row["b"]])
            for row in csv.DictReader(file, delimiter="\t")
        ]
    assert np.mean([joined for jaccard, joined in pairs if jaccard >= 0.8]) >= 0.96
    assert not any(joined for jaccard, joined in pairs if jaccard < 0.4)
    pages = defaultdict(set)
    for row, label in zip(rows, labels, strict=True):
        pages[label].add(row["cluster"])
    assert max(map(len, pages.values())) == 1
