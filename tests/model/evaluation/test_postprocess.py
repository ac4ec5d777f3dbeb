"""A model's text into an answer: cut, cleaned, and stemmed only where the package for it is there."""

import sys

import pytest

from infimm_data.errors import ConfigError
from model.evaluation.postprocess import stemmed, to_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" red Question: why", "red"),
        ("red, blue Answer", "red"),
        ("red", "red"),
        ("Short", ""),
        ('a "red" bus', "a red bus"),
        ("", ""),
    ],
)
def test_openflamingo_s_rules(recipe, text, answer):
    assert to_answer(text, recipe(stop=("Question", "Answer", "Short", ", "), remove=('"',))) == answer


def test_without_nltk_stemming_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk", None)
    with pytest.raises(ConfigError, match=r"needs nltk; pip install -e '\.\[eval\]'"):
        stemmed("cats")


def test_the_rules_reach_verbs_in_ing_and_plurals():
    nltk = pytest.importorskip("nltk", reason="the optional package nltk is not installed")
    try:
        nltk.pos_tag(nltk.word_tokenize("cats"))
        nltk.stem.WordNetLemmatizer().lemmatize("cats")
    except LookupError:
        pytest.skip("nltk's data (punkt_tab, tagger, wordnet) are not installed")
    assert stemmed("riding horses") == "ride horse"
