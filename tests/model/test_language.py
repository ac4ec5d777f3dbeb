"""What a recipe may say of its language model."""

from __future__ import annotations

import pytest

from infimm_data.errors import ConfigError
from model.config import LanguageSettings
from model.language import load_language

MISSPELT = [
    ("num_hiden_layers", "num_hidden_layers"),
    ("hiden_size", "hidden_size"),
    ("rms_norm_ep", "rms_norm_eps"),
]


@pytest.mark.parametrize(("key", "right"), MISSPELT)
def test_a_misspelt_key_is_named_with_the_right_one(key, right):
    settings = LanguageSettings(config={"model_type": "mistral", key: 2})
    with pytest.raises(ConfigError, match=rf"^language model: unknown key '{key}'. Did you mean '{right}'\?$"):
        load_language(settings, vocabulary=32)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "mistrel"}, "language model of type 'mistrel': expected one of mistral, llama"),
        ({"model_type": "llama", "hidden_size": 96, "num_attention_heads": 5}, "language model: .*"),
    ],
)
def test_a_config_that_cannot_be_built_is_one_short_line(config, said):
    with pytest.raises(ConfigError, match=rf"^{said}[^\n]*$") as error:
        load_language(LanguageSettings(config=config), vocabulary=32)
    assert len(str(error.value)) < 340


def test_a_key_unlike_all_others_passes_as_published_configs_have_some():
    tiny = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    tiny |= {"num_key_value_heads": 1, "_name_or_path": "x", "torch_dtype": "float32", "wholly_ours": 1}
    load_language(LanguageSettings(config={"model_type": "mistral", **tiny}), vocabulary=32)
