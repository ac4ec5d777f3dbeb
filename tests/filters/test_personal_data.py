"""What is masked, and above all what is not."""

from __future__ import annotations

import time

import pytest

from filters.personal_data import PersonalData
from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.errors import ConfigError


def masked(text: str, **settings) -> str:
    document, _ = PersonalData(**settings).edit(Document(id="0", nodes=(TextNode(text=text),)))
    return document.text


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Write to jane.doe+news@mail.example.org.", "Write to [email]."),
        ("<m\u00fcller@b\u00fccher.example>", "<[email]>"),
        ("a@b and @handle and git@host:x", "a@b and @handle and git@host:x"),
        ("Call (888) 667-1411 or +49 30 901820!", "Call [phone] or [phone]!"),
        ("born 1984-05-12, ISBN 978-3-16-148410-0, 1,234,567,890 people", None),
        ("from 8.8.8.8 and 2001:4860:4860::8888", "from [ip] and [ip]"),
        ("127.0.0.1, 192.168.1.10, version 1.2.3.4.5, std::vector, at 12:30:45, 999.1.1.1", None),
    ],
)
def test_people_are_masked_and_numbers_stay(text, after):
    assert masked(text) == (text if after is None else after)


def test_national_forms_count_in_the_regions_that_are_named():
    text = "Tel. 030 901820, 020 7946 0018"
    assert masked(text) == text
    assert masked(text, regions=("DE",)) == "Tel. [phone], 020 7946 0018"
    assert masked(text, regions=("DE", "GB")) == "Tel. [phone], [phone]"
    assert masked("+49 30 901820", regions=()) == "[phone]"


def test_each_kind_can_be_off_and_the_mask_is_the_users():
    text = "a.b@c.example 8.8.8.8 (888) 667-1411"
    assert masked(text, email=False, ip=False, phone=False) == text
    assert masked(text, mask="<{}>") == "<email> <ip> <phone>"


def test_captions_stay_equal_to_their_text_and_only_texts_are_counted():
    caption = "Photo: jane@photo.example"
    nodes = (ImageNode(url="https://a.example/1.jpg", alt=caption, caption=caption), TextNode(text=caption))
    document, counts = PersonalData().edit(Document(id="0", nodes=nodes))
    assert document.images[0].caption == document.images[0].alt == document.texts[0].text == "Photo: [email]"
    assert counts == {"email_masked": 1}


def test_a_hostile_line_takes_no_time():
    started = time.process_time()
    for text in (
        "a." * 500_000 + "@",
        "1" * 1_000_000,
        "a@" * 300_000,
        ":" * 1_000_000,
        "1-" * 200_000,
        "+1 " * 100_000,
    ):
        masked(text)
    assert time.process_time() - started < 60  # minutes if a pattern backtracks; a second otherwise


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"regions": ("UK",)}, "'UK' is no ISO 3166"), ({"mask": "x"}, "with one {} for the kind")],
)
def test_settings_that_make_no_sense_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        PersonalData(**settings)
