"""The tokenizer: what is missing is one clear line, and text never becomes a special token."""

import json
from pathlib import Path

import pytest

from infimm_data.errors import ConfigError
from infimm_data.files import resolve
from model.tokenizer import load_tokenizer
from tests.model.conftest import TOKENIZER

PUBLISHED = Path(__file__).resolve().parents[2] / "../shared/data/infimm_tokenizer"


def test_special_tokens_in_a_text_are_text():
    tokenizer = load_tokenizer(TOKENIZER)
    vocabulary = tokenizer.vocabulary
    ids, starts = vocabulary.encode("an <image> and </s><|endofchunk|>.")
    special = {vocabulary.bos, vocabulary.eos, vocabulary.image, vocabulary.end_of_chunk, vocabulary.pad}
    assert special.isdisjoint(ids)
    assert tokenizer.decode(ids) == "an <image> and </s><|endofchunk|>."
    assert starts == sorted(starts)
    assert starts[0] == 0


def test_the_published_tokenizer_gives_the_published_ids():
    if not PUBLISHED.is_dir():
        pytest.skip("the published tokenizer is not beside this checkout (../shared/data/infimm_tokenizer)")
    vocabulary = load_tokenizer(str(PUBLISHED)).vocabulary
    assert (vocabulary.bos, vocabulary.eos, vocabulary.pad) == (1, 2, 2)
    assert (vocabulary.end_of_chunk, vocabulary.image) == (32000, 32001)
    assert vocabulary.encode("Please explain this image to me.")[0] == [5919, 7282, 456, 3469, 298, 528, 28723]


def test_a_missing_folder_is_one_clear_line(tmp_path):
    with pytest.raises(ConfigError, match="no such folder; expected a tokenizer"):
        load_tokenizer(str(tmp_path / "nowhere"))


def test_an_empty_folder_is_one_clear_line(tmp_path):
    with pytest.raises(ConfigError, match="not a tokenizer that transformers reads") as error:
        load_tokenizer(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("token", ["<|endofchunk|>", "<image>"])
def test_a_tokenizer_without_the_tokens_of_infimm_is_refused(tmp_path, token):
    source = Path(resolve(TOKENIZER))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text((source / name).read_text().replace(token, "<other>"))
    with pytest.raises(ConfigError, match=f"no token '{token.replace('|', '[|]')}'"):
        load_tokenizer(str(tmp_path))


def test_a_tokenizer_without_end_is_refused(tmp_path):
    source = Path(resolve(TOKENIZER))
    (tmp_path / "tokenizer.json").write_text((source / "tokenizer.json").read_text())
    config = json.loads((source / "tokenizer_config.json").read_text())
    del config["eos_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="no start or end token"):
        load_tokenizer(str(tmp_path))


def test_a_saved_tokenizer_is_the_same(tmp_path):
    tokenizer = load_tokenizer(TOKENIZER)
    tokenizer.save(str(tmp_path))
    again = load_tokenizer(str(tmp_path))
    text = "A red circle <image> on white."
    assert again.vocabulary.encode(text) == tokenizer.vocabulary.encode(text)
    assert again.vocabulary.fingerprint == tokenizer.vocabulary.fingerprint
