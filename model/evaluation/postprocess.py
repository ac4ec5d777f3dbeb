"""A model's text into the answer that is scored, as the recipe says."""

from __future__ import annotations

from infimm_data.errors import ConfigError
from model.evaluation.recipe import EvalRecipe


def to_answer(text: str, recipe: EvalRecipe) -> str:
    """Return the text before the first of `stop`, without what `remove` names, trimmed, stemmed if asked for."""
    ends = [place for place in (text.find(mark) for mark in recipe.stop) if place >= 0]
    text = text[: min(ends, default=len(text))]
    for mark in recipe.remove:
        text = text.replace(mark, "")
    text = text.strip()
    return stemmed(text) if recipe.stem else text


def stemmed(text: str) -> str:
    """Return each word as OK-VQA's references stem it, as far as nltk's rules reach: -ing verbs and plurals.

    OK-VQA's own list of exceptions is not part of it, so a few words differ. Raises ConfigError without nltk or data.
    """
    try:
        import nltk  # optional: only OK-VQA needs it
        from nltk.stem import WordNetLemmatizer
    except ImportError:
        raise ConfigError("'stem: true' needs nltk; pip install -e '.[eval]'") from None
    lemma = WordNetLemmatizer().lemmatize
    try:
        tagged = nltk.pos_tag(nltk.word_tokenize(text))
        return " ".join(
            lemma(word, "v") if word.endswith("ing") else lemma(word, "n") if tag in ("NNS", "NNPS") else word
            for word, tag in tagged
        )
    except LookupError:
        needed = "punkt_tab averaged_perceptron_tagger_eng wordnet"
        raise ConfigError(f"'stem: true' needs nltk's data; python -m nltk.downloader {needed}") from None
