"""Mixtures: shares exact over any stretch, by document or by token; exact to resume; exhausted datasets drop out."""

import json

import pytest

from infimm_data.config import parse_settings
from infimm_data.errors import ConfigError
from infimm_data.shards import write_manifest, write_shard
from infimm_data.stream.settings import StreamSettings
from infimm_data.stream.stream import Stream, one_pass
from tests.infimm_data.stream.conftest import SETTINGS, decode, png, sample

LONG, SHORT = "a long text of a page. " * 3, "short."


@pytest.fixture
def root(tmp_path):
    """Below it: `pages` (60 documents of one picture and 70 characters), `pairs` (40 of 10 characters)."""
    for name, count, parts in (("pages", 60, (LONG, png(50))), ("pairs", 40, (SHORT,))):
        folder = str(tmp_path / name)
        samples = [sample(i, f"{name}{i:03d}", *parts) for i in range(count)]
        write_manifest(folder, [write_shard(folder, n, samples[n * 20 : n * 20 + 20]) for n in range(count // 20)])
    return str(tmp_path)


def mixed(*, pages: dict | None = None, pairs: dict | None = None, **changed) -> StreamSettings:
    mixture = {"pages": {"shards": "pages", **(pages or {})}, "pairs": {"shards": "pairs", **(pairs or {})}}
    data = SETTINGS.model_dump(mode="json") | {"mixture": mixture} | changed
    return parse_settings(data, StreamSettings, where="test")


def open_stream(root, vocabulary, settings, *, rows=2, **more):
    return Stream(root, vocabulary, settings, image_side=8, rows=rows, **more)


def taken(root, vocabulary, settings, batches: int) -> dict[str, list[int]]:
    with open_stream(root, vocabulary, settings) as stream:
        for _ in range(batches):
            next(stream)
        return stream.state_dict()["sources"]


def test_shares_of_documents_are_kept_to_the_document(root, vocabulary):
    found = taken(root, vocabulary, mixed(pages={"weight": 1}, pairs={"weight": 3}), 30)
    documents = [found["pages"][0], found["pairs"][0]]
    assert sum(documents) > 60
    assert abs(documents[0] - sum(documents) / 4) <= 1


def test_shares_of_tokens_are_kept_although_documents_differ_in_length(root, vocabulary):
    found = taken(root, vocabulary, mixed(pages={"weight": 1}, pairs={"weight": 1}, weights_by="token"), 60)
    pages, pairs = found["pages"][1], found["pairs"][1]
    assert pages + pairs > 5000
    assert abs(pages - pairs) < 200  # what a window's guess may be off
    assert found["pairs"][0] > 3 * found["pages"][0]


def test_without_weights_the_sizes_count_and_temperature_evens_them_out(root, vocabulary):
    natural = taken(root, vocabulary, mixed(), 30)
    assert abs(natural["pages"][0] - 1.5 * natural["pairs"][0]) <= 2
    even = taken(root, vocabulary, mixed(temperature=1e6), 30)
    assert abs(even["pages"][0] - even["pairs"][0]) <= 1


def test_a_token_names_its_dataset_and_the_stream_its_loss_weight(root, vocabulary):
    settings = mixed(pairs={"loss_weight": 0.2})
    with open_stream(root, vocabulary, settings) as stream:
        assert stream.source_names == ("pages", "pairs")
        assert stream.loss_weights == (1.0, 0.2)
        batches = [next(stream) for _ in range(6)]
    for batch in batches:
        assert torch_equal(batch.sources < 0, batch.document_ids < 0)
        for row in range(2):
            for document in range(int(batch.document_ids[row].max()) + 1):
                inside = batch.document_ids[row] == document
                text, numbers = decode(batch.input_ids[row][inside]), batch.sources[row][inside].unique().tolist()
                if "pages" in text or "pairs" in text:
                    assert numbers == [0 if "pages" in text else 1]


def torch_equal(one, other) -> bool:
    return bool((one == other).all())


def rows_of(batches) -> list[str]:
    return [decode(row) for batch in batches for row in batch.input_ids]


@pytest.mark.parametrize("settings", [mixed(pairs={"weight": 5}), mixed(weights_by="token", temperature=2.0)])
def test_a_mixture_goes_on_exactly_also_on_other_ranks_and_workers(root, vocabulary, settings):
    with open_stream(root, vocabulary, settings, rows=4) as whole:
        expected = [sorted(rows_of([next(whole)])) for _ in range(14)]
    with open_stream(root, vocabulary, settings, rows=4) as first:
        for _ in range(9):
            next(first)
        state = json.loads(json.dumps(first.state_dict()))
    assert len(json.dumps(state)) < 300
    ranks = [open_stream(root, vocabulary, settings, rows=1, rank=r, world=4, workers=1 + r % 2) for r in range(4)]
    for rank in ranks:
        rank.load_state_dict(state)
    found = [sorted(text for rank in ranks for text in rows_of([next(rank)])) for _ in range(5)]
    for rank in ranks:
        rank.close()
    assert found == expected[9:]


def test_a_dataset_is_read_again_in_another_order_and_its_epochs_are_counted(root, vocabulary):
    settings = mixed(pages={"weight": 1}, pairs={"weight": 3}, window_documents=32)
    with open_stream(root, vocabulary, settings) as stream:
        texts = "".join(rows_of([next(stream) for _ in range(60)]))
        epochs = stream.epochs
    assert epochs["pairs"] > 2
    assert epochs["pages"] < epochs["pairs"] / 3
    counts = [texts.count(f"pairs{i:03d}") for i in range(40)]
    assert max(counts) - min(counts) <= 1


def test_a_dataset_drops_out_after_its_epochs_and_the_last_one_ends_the_stream(root, vocabulary, caplog):
    settings = mixed(pages={"epochs": 1}, pairs={"epochs": 2, "weight": 1000})
    with open_stream(root, vocabulary, settings, rows=3) as stream:
        batches = list(stream)
        state, left_out = stream.state_dict(), stream.failures.counts()
    texts = "".join(rows_of(batches))
    assert state["sources"] == {
        "pages": [60, state["sources"]["pages"][1]],
        "pairs": [80, state["sources"]["pairs"][1]],
    }
    missing = left_out.get("document:row_without_batch", 0)
    assert missing < 3
    found = sum(texts.count(f"pages{i:03d}") for i in range(60)), sum(texts.count(f"pairs{i:03d}") for i in range(40))
    assert (found == (60, 80)) if missing == 0 else (sum(found) < 140)
    assert texts.index("pairs039") < texts.index("pages059")


def test_one_pass_reads_every_dataset_once(root, vocabulary):
    settings = mixed(pairs={"weight": 1000}, holdout_fraction=0.3)
    held = list(one_pass(root, vocabulary, settings, image_side=8, rows=2))
    trained = list(one_pass(root, vocabulary, settings, image_side=8, rows=2, split="train"))
    texts = "".join(rows_of(held)), "".join(rows_of(trained))
    names = [f"pages{i:03d}" for i in range(60)] + [f"pairs{i:03d}" for i in range(40)]
    assert [sum(text.count(name) for text in texts) for name in names] == [1] * 100
    assert 10 < sum(texts[0].count(name) for name in names) < 50


def test_an_absolute_path_needs_no_root(root, vocabulary):
    settings = mixed(pages={"shards": f"{root}/pages"}, pairs={"shards": f"{root}/pairs"})
    with open_stream("", vocabulary, settings) as one, open_stream(root, vocabulary, mixed()) as other:
        assert rows_of([next(one)]) == rows_of([next(other)])
        assert one.state_dict() == other.state_dict()  # where the shards lie changes no row


def test_other_weights_are_another_stream(root, vocabulary):
    with (
        open_stream(root, vocabulary, mixed()) as one,
        open_stream(root, vocabulary, mixed(pages={"weight": 9})) as two,
    ):
        with pytest.raises(ConfigError, match="other shards, tokenizer or stream settings"):
            two.load_state_dict(one.state_dict())
        with pytest.raises(ConfigError, match="position of version 1 of the stream, expected 2"):
            two.load_state_dict({"fingerprint": "x", "epoch": 0, "window": 0, "row": 0})


def test_a_missing_dataset_is_one_clear_line(root, vocabulary):
    with pytest.raises(ConfigError, match=r"nowhere/manifest.json: not found; expected a folder of shards"):
        open_stream(root, vocabulary, mixed(pairs={"shards": "nowhere"}))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"wieght": 2}, "unknown key 'mixture.pages.wieght'. Did you mean 'weight'"),
        ({"weight": 0}, "'mixture.pages.weight' is 0: Input should be greater than 0"),
        ({"epochs": 0}, "'mixture.pages.epochs' is 0"),
        ({"loss_weight": -1}, "'mixture.pages.loss_weight' is -1"),
    ],
)
def test_a_wrong_key_of_a_dataset_is_named(source, says):
    with pytest.raises(ConfigError) as error:
        mixed(pages=source)
    assert says in str(error.value)
