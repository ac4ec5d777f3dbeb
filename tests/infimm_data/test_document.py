"""The document and the JSON of a sample."""

from __future__ import annotations

import json

import pytest

from infimm_data.document import (
    Document,
    ImageNode,
    Origin,
    TextNode,
    document_id,
    from_json,
    new_document,
    node_from_dict,
    short_url,
    to_json,
    well_formed,
)

IMAGE = ImageNode(
    url="https://a.example/b.png", alt="a", caption="c", width=3, height=4, role="user", file="0.png",
    sha256="ab", scores={"clip": 0.25, "slug": "x", "none": None},
)  # fmt: skip
FULL = Document(
    id="00ff",
    nodes=(TextNode(text="hé 日本 \0", role="assistant", loss=False), IMAGE, TextNode(text="")),
    origin=Origin(dump="a.warc.gz", offset=7, url="https://a.example/", date="2024-01-01", licence="CC0"),
    measures={"words": 3.0, "language": "en", "flag": True, "none": None},
)


def test_a_document_survives_its_json():
    assert from_json(to_json(FULL)) == FULL


def test_the_empty_document_survives_its_json():
    empty = Document(id="", nodes=())
    assert from_json(to_json(empty)) == empty
    assert empty.text == ""
    assert empty.images == ()


def test_equal_documents_have_equal_bytes_whatever_the_order_of_their_measures():
    turned = Document(id=FULL.id, nodes=FULL.nodes, origin=FULL.origin, measures=dict(reversed(FULL.measures.items())))
    assert to_json(turned) == to_json(FULL)


def test_the_json_is_utf8_without_spaces_and_its_keys_are_sorted():
    data = to_json(FULL)
    assert "日本".encode() in data
    assert b'": ' not in data
    assert list(json.loads(data)) == ["id", "measures", "nodes", "origin", "schema"]


def test_unknown_keys_are_ignored_everywhere():
    read = json.loads(to_json(FULL))
    read["new"] = 1
    read["origin"]["new"] = 1
    for node in read["nodes"]:
        node["new"] = 1
    assert from_json(json.dumps(read).encode()) == FULL


def test_a_newer_schema_is_refused_and_says_what_to_do():
    read = json.loads(to_json(FULL)) | {"schema": 2}
    with pytest.raises(ValueError, match="reads up to 1; update infimm"):
        from_json(json.dumps(read).encode())


def with_node(node):
    return json.dumps({"schema": 1, "id": "a", "nodes": [node], "origin": {}, "measures": {}}).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"3", b"{}", b'{"schema":"1"}', b"\xff",
        with_node({}), with_node({"type": "video"}), with_node({"type": "text", "text": None}),
    ],
)  # fmt: skip
def test_what_is_no_document_raises_value_or_key_error(data):
    with pytest.raises((ValueError, KeyError)):
        from_json(data)


def test_a_measure_that_is_not_a_number_is_never_written():
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(Document(id="a", nodes=(), measures={"x": float("nan")}))


def test_a_missing_text_is_a_key_error():
    with pytest.raises(KeyError, match="text"):
        node_from_dict({"type": "text"})


def test_an_id_is_32_hex_digits_and_holds_no_dot():
    found = document_id(Origin(dump="a.b/c.warc.gz", offset=12, url="https://a.example/x.y"))
    assert len(found) == 32
    assert set(found) <= set("0123456789abcdef")


def test_an_id_depends_on_dump_offset_and_url_only():
    base = Origin(dump="a", offset=1, url="u", date="2020", licence="x")
    assert document_id(base) == document_id(Origin(dump="a", offset=1, url="u"))
    others = [Origin(dump="b", offset=1, url="u"), Origin(dump="a", offset=2, url="u"), Origin(dump="a", offset=1)]
    assert len({document_id(origin) for origin in [base, *others]}) == 4


def test_an_id_is_the_same_for_ever():
    assert new_document((), Origin(dump="a", offset=1, url="u\ud800")).id == "d21f8bd6e3dbb9f1ae4f3e53552a1513"


def test_lone_surrogates_become_replacement_characters_and_pairs_their_character():
    assert well_formed("a\ud800b") == "a\ufffdb"
    assert well_formed("\ud83d\ude00") == "😀"
    assert well_formed("x\0日") == "x\0日"


def test_a_document_with_lone_surrogates_has_valid_json():
    broken = Document(id="a", nodes=(TextNode(text="\udc80x"), ImageNode(url="u\ud800", alt="\udfff")))
    read = from_json(to_json(broken))
    assert read.texts[0].text == "\ufffdx"
    assert read.images[0].url == "u\ufffd"


def test_a_data_uri_is_named_by_a_digest_and_other_addresses_by_themselves():
    assert short_url("https://a.example/x.png") == "https://a.example/x.png"
    assert short_url("DATA:image/png;base64,AAAA" + "A" * 9_999).startswith("data:")
    assert len(short_url("data:image/png;base64,AAAA")) == 37
    assert short_url("data:image/png;base64,AAAA") != short_url("data:image/png;base64,AAAB")
