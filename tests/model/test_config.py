"""Training recipes: what is wrong in them is one line before any work."""

import pytest

from infimm_data.config import parse_settings
from infimm_data.errors import ConfigError
from model.config import TrainConfig

MODEL = {"tokenizer": "t", "vision": {"name": "v"}, "language": {"config": {"model_type": "llama"}}}
RECIPE = {"model": MODEL, "steps": 10, "rows_per_step": 8}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"step": 3}, "unknown key 'step'. Did you mean 'steps'"),
        ({"optimizer": {"learning_rat": 1}}, "unknown key 'optimizer.learning_rat'. Did you mean 'learning_rate'"),
        ({"micro_rows": 3}, "rows_per_step 8 is no multiple of micro_rows 3"),
        ({"train": ["vision"]}, "'train.0' is 'vision'"),
        ({"model": MODEL | {"language": {}}}, "either 'pretrained' or 'config'"),
        ({"model": MODEL | {"language": {"config": {}}}}, "needs 'model_type'"),
        ({"rows_per_step": 0}, "'rows_per_step' is 0"),
        ({"train": []}, "'train' is []"),
        ({"seed": 2**63}, "'seed' is 9223372036854775808"),
        ({"optimizer": {"betas": [0.9, 1.0]}}, "'optimizer.betas.1' is 1.0"),
        ({"optimizer": {"min_learning_rate": 1.0}}, "min_learning_rate 1.0 is above learning_rate 0.0001"),
    ],
)
def test_a_wrong_recipe_is_one_line(changed, message):
    with pytest.raises(ConfigError) as error:
        parse_settings(RECIPE | changed, TrainConfig, where="recipe.yaml")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_short_recipe_trains_as_pretraining_does():
    config = parse_settings(RECIPE, TrainConfig, where="recipe.yaml")
    assert config.train == ("perceiver", "cross_attention", "embeddings")
    assert (config.model.perceiver.heads, config.model.perceiver.head_width) == (8, 64)
    assert config.model.cross_attention.gate_start == 0
