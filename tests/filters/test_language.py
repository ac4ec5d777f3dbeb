from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from filters.language import READ_CHARACTERS, SHIPPED, Language, claimed_languages
from filters.models.fasttext_model import load_fasttext
from filters.weights.train_language import CLAIM, evaluate, read_sentences, split
from infimm_data.document import Document, Measure, TextNode
from infimm_data.errors import ConfigError

SENTENCES = Path(__file__).resolve().parents[2] / "../shared/data/langid_lingua75/sentences.tsv.gz"
CARD = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))

# Written by hand for this test: what a page of ours might say.
WRITTEN = {
    "en": [
        "The lighthouse stands on a bare rock two miles from the harbour.",
        "How to bake bread at home without a machine",
        "Three red circles lie to the left of a small blue square.",
    ],
    "de": [
        "Der Leuchtturm steht auf einem kahlen Felsen zwei Meilen vor dem Hafen.",
        "Wie man zu Hause ohne Maschine Brot backt",
        "Drei rote Kreise liegen links neben einem kleinen blauen Quadrat.",
    ],
    "fr": [
        "Le phare se dresse sur un rocher nu, à deux milles du port.",
        "Comment faire du pain à la maison sans machine",
        "Trois cercles rouges se trouvent à gauche d'un petit carré bleu.",
    ],
    "es": [
        "El faro se levanta sobre una roca desnuda a dos millas del puerto.",
        "Cómo hacer pan en casa sin máquina",
        "Tres círculos rojos están a la izquierda de un pequeño cuadrado azul.",
    ],
    "it": [
        "Il faro sorge su uno scoglio nudo a due miglia dal porto.",
        "Come fare il pane in casa senza macchina",
        "Tre cerchi rossi si trovano a sinistra di un piccolo quadrato blu.",
    ],
    "pt": [
        "O farol ergue-se sobre um rochedo nu a duas milhas do porto.",
        "Como fazer pão em casa sem máquina",
        "Três círculos vermelhos ficam à esquerda de um pequeno quadrado azul.",
    ],
    "nl": [
        "De vuurtoren staat op een kale rots, twee mijl buiten de haven.",
        "Hoe je thuis zonder machine brood bakt",
        "Drie rode cirkels liggen links van een klein blauw vierkant.",
    ],
    "pl": [
        "Latarnia morska stoi na nagiej skale dwie mile od portu.",
        "Jak upiec chleb w domu bez maszyny",
        "Trzy czerwone koła leżą na lewo od małego niebieskiego kwadratu.",
    ],
    "ru": [
        "Маяк стоит на голой скале в двух милях от гавани.",
        "Как испечь хлеб дома без хлебопечки",
        "Три красных круга лежат слева от маленького синего квадрата.",
    ],
    "el": ["Ο φάρος στέκεται πάνω σε έναν γυμνό βράχο δύο μίλια από το λιμάνι."],
    "ja": ["灯台は港から二マイル離れた裸の岩の上に立っています。"],
    "zh": ["灯塔矗立在离港口两英里的一块光秃秃的岩石上。"],
    "ko": ["등대는 항구에서 2마일 떨어진 바위 위에 서 있습니다."],
    "ar": ["تقف المنارة على صخرة جرداء على بعد ميلين من الميناء."],
    "he": ["המגדלור ניצב על סלע חשוף במרחק שני מייל מהנמל."],
    "hi": ["प्रकाशस्तंभ बंदरगाह से दो मील दूर एक नंगी चट्टान पर खड़ा है।"],
    "th": ["ประภาคารตั้งอยู่บนโขดหินห่างจากท่าเรือสองไมล์"],
}


def measured(*texts: str) -> dict[str, Measure]:
    return dict(Language().measure(Document(id="0", nodes=tuple(TextNode(text=text) for text in texts))))


@pytest.mark.parametrize("slug", WRITTEN)
def test_a_page_written_by_hand_is_recognised(slug: str) -> None:
    assert slug in claimed_languages()
    assert measured(*WRITTEN[slug])["language"] == slug


def test_a_mixture_of_no_language_is_uncertain() -> None:
    found = measured("qxzv kwpt bblm xqj vvkz prrt zzqx")
    assert isinstance(found["language_confidence"], float)
    assert found["language_confidence"] < 0.5


def test_nine_of_ten_single_sentences_and_headings_are_recognised() -> None:
    right = [measured(sentence)["language"] == slug for slug, some in WRITTEN.items() for sentence in some]
    assert sum(right) / len(right) >= 0.9


def test_layout_case_digits_and_addresses_say_nothing() -> None:
    plain = measured("Le phare se dresse sur un rocher nu")
    assert measured("LE PHARE\n\n 1874 se dresse https://the.which/and/of sur un ROCHER nu!! me@with.the.com") == plain


def test_only_the_first_characters_of_a_document_are_read() -> None:
    english = "The lighthouse stands on a bare rock. " * 60
    assert len(english) > READ_CHARACTERS
    assert measured(english, "Der Leuchtturm steht auf einem Felsen. " * 900) == measured(english)


@pytest.mark.parametrize("text", ["", " \n ", "1874 -- 12:30 !!!", "https://example.org/the/and"])
def test_a_text_without_a_letter_has_no_language_and_is_dropped(text: str) -> None:
    found = measured(text)
    assert found == {"language": None, "language_confidence": None}
    wanted, _ = Language().rules()
    assert not wanted.passes(np.array([found["language"]], dtype=object))[0]


def test_the_rules_ask_for_the_language_and_then_for_confidence() -> None:
    wanted, sure = Language(keep=("en", "de"), min_confidence=0.5).rules()
    assert wanted.passes(np.array(["en", "de", "fr"], dtype=object)).tolist() == [True, True, False]
    assert sure.passes(np.array([0.5, 0.49])).tolist() == [True, False]
    assert len(Language(min_confidence=None).rules()) == 1


def test_a_language_that_is_not_claimed_is_a_config_error_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"does not claim 'eng'\. Did you mean 'en'"):
        Language(keep=("eng",))


def test_another_model_may_know_other_languages_and_is_checked_when_it_is_used(tmp_path: Path) -> None:
    elsewhere = Language(keep=("tlh",), model=str(tmp_path / "none.bin"))
    with pytest.raises(ConfigError, match=r"none\.bin: no fastText model"):
        elsewhere.measure(Document(id="0", nodes=(TextNode(text="nuqneH"),)))


def test_another_model_is_used_when_named(tmp_path: Path) -> None:
    copy = tmp_path / "copy.ftz"
    copy.write_bytes(SHIPPED.read_bytes())
    document = Document(id="0", nodes=(TextNode(text="Der Leuchtturm steht auf einem Felsen"),))
    assert Language(model=str(copy)).measure(document) == Language().measure(document)


def test_fasttext_is_not_loaded_before_a_language_is_asked() -> None:
    import subprocess

    code = "import sys, filters.table; filters.table.FILTERS['language'](); sys.exit('fasttext' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=SHIPPED.parents[2]).returncode == 0


def test_the_shipped_model_is_the_one_of_its_card() -> None:
    assert hashlib.sha256(SHIPPED.read_bytes()).hexdigest() == CARD["sha256"]
    assert SHIPPED.stat().st_size == CARD["size_bytes"] < 4_000_000


def test_every_claimed_language_reaches_the_claim() -> None:
    assert len(CARD["languages"]) >= 60
    assert min(figures["accuracy"] for figures in CARD["languages"].values()) >= CLAIM
    assert not set(CARD["languages"]) & set(CARD["not_claimed"])


def test_the_figures_of_the_card_are_those_of_the_held_out_sentences() -> None:
    if not SENTENCES.exists():
        pytest.skip("shared data langid_lingua75 is not here")
    _, held_out = split(read_sentences(SENTENCES))
    report = evaluate(load_fasttext(str(SHIPPED)), held_out)
    for slug, figures in CARD["languages"].items():
        assert {key: figures[key] for key in ("held_out", "accuracy", "precision")} == report[slug]
    claimed = [row for row in held_out if row[0] in CARD["languages"]]
    overall = evaluate(load_fasttext(str(SHIPPED)), claimed)["all"]
    assert overall == {"held_out": len(claimed), "accuracy": CARD["accuracy_of_claimed"]}
    assert overall["accuracy"] >= 0.95


def test_pages_of_three_unseen_sentences_are_recognised_with_confidence() -> None:
    if not SENTENCES.exists():
        pytest.skip("shared data langid_lingua75 is not here")
    _, held_out = split(read_sentences(SENTENCES))
    pages = []
    for slug in claimed_languages():
        own = [sentence for other, sentence in held_out if other == slug]
        pages += [(slug, " ".join(own[at : at + 3])) for at in range(0, len(own) - 2, 3)]
    labels, confidences = load_fasttext(str(SHIPPED)).predict([page for _, page in pages])
    right = [label[0] == f"__label__{slug}" for label, (slug, _) in zip(labels, pages, strict=True)]
    sure = [confidence[0] >= 0.5 for confidence in confidences]
    assert len(pages) > 2000
    assert np.mean(right) >= 0.99
    assert np.mean(sure) >= 0.99
