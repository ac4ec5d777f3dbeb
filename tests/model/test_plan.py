"""What a run will take: parameters as they are, memory by a formula that what torch keeps bears out."""

import pytest
import torch

from infimm_data.config import parse_settings
from model.config import TrainConfig
from model.plan import Memory, memory_of, model_without_weights, parts_of
from model.tokenizer import load_tokenizer
from tests.model.conftest import TOKENIZER

SIZES = {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 6, "num_attention_heads": 4}


def recipe(clip_folder, **changed) -> TrainConfig:
    whole = {
        "model": {
            "tokenizer": TOKENIZER,
            "vision": {"name": f"local-dir:{clip_folder}"},
            "perceiver": {"layers": 2, "latents": 8, "heads": 2, "head_width": 16},
            "cross_attention": {"every": 2, "heads": 4, "head_width": 16, "gate_start": 0.5},
            "language": {"config": {"model_type": "llama", "pad_token_id": None, **SIZES}},
        },
        "stream": {"row_tokens": 256},
        "train": ["perceiver", "cross_attention", "language"],
        "steps": 5,
        "rows_per_step": 2,
    }
    return parse_settings(whole | changed, TrainConfig, where="test")


def planned(config: TrainConfig):
    model = model_without_weights(config.model, load_tokenizer(TOKENIZER))
    model.set_trainable(config.train)
    return model


def test_the_parts_are_all_parameters_and_what_trains(clip_folder):
    config = recipe(clip_folder, train=["perceiver", "embeddings"])
    model = planned(config)
    parts = {part.name: part for part in parts_of(model)}
    assert sum(part.parameters for part in parts.values()) == sum(p.numel() for p in model.parameters())
    assert {name: part.trained > 0 for name, part in parts.items()} == {
        "vision": False, "perceiver": True, "cross_attention": False, "embeddings": True, "language": False,
    }  # fmt: skip
    assert all(part.trained in (0, part.parameters) for part in parts.values())
    assert {p.device.type for p in model.parameters()} == {"meta"}


def test_weights_gradients_and_moments_are_counted_to_the_byte(clip_folder):
    config = recipe(clip_folder, train=["perceiver"])
    model = planned(config)
    memory = memory_of(model, config, images_per_row=1.0)
    trained = sum(p.numel() for p in model.perceiver.parameters())
    assert memory.gradients == 4 * trained
    assert memory.optimizer == 8 * trained
    assert memory.weights == 4 * sum(p.numel() for p in model.parameters())
    half = memory_of(model, config.model_copy(update={"precision": "bf16"}), images_per_row=1.0)
    assert half.weights == 2 * sum(p.numel() for p in model.parameters()) + 2 * trained
    assert half.activations == memory.activations / 2


def kept_for_backward(model, config, rows: int, images: int) -> int:
    """Bytes that torch keeps between forward and backward, each storage once, weights not counted."""
    slots, kept = config.stream.row_tokens, {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    index = torch.arange(slots) * images // rows // slots
    fields = {
        "input_ids": torch.randint(5, 100, (rows, slots)),
        "document_ids": torch.zeros(rows, slots, dtype=torch.long),
        "position_ids": torch.arange(slots).expand(rows, slots),
        "image_index": torch.stack([index + row * (images // rows) for row in range(rows)]),
    }
    pictures = torch.zeros(images, 3, 16, 16, dtype=torch.uint8)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(**fields, images=pictures, labels=fields["input_ids"]).loss
    size = sum(size for size, _ in kept.values())
    loss.backward()
    return size


def kept_by(clip_folder, *, checkpointing: bool) -> tuple[int, Memory]:
    """Bytes that torch keeps of a step of 2 rows with 4 images, and what was planned."""
    from model.infimm import build_model

    config = recipe(clip_folder, activation_checkpointing=checkpointing)
    model = build_model(config.model, load_tokenizer(TOKENIZER))
    model.set_trainable(config.train)
    model.recomputes = checkpointing
    memory = memory_of(model, config, images_per_row=2.0)
    return kept_for_backward(model, config, rows=2, images=4), memory


def test_activations_are_about_what_torch_keeps(clip_folder):
    kept, memory = kept_by(clip_folder, checkpointing=False)
    assert kept == pytest.approx(memory.activations + memory.scores, rel=0.3)


def test_checkpointing_keeps_what_enters_a_layer_and_one_layer_at_a_time(clip_folder):
    (whole, without), (kept, memory) = (kept_by(clip_folder, checkpointing=is_on) for is_on in (False, True))
    layers = SIZES["num_hidden_layers"]
    entering = layers * 2 * 256 * SIZES["hidden_size"] * 4  # which torch's hooks do not see
    expected = kept + entering + (whole - kept) / layers
    assert expected == pytest.approx(memory.activations + memory.scores, rel=0.3)
    assert memory.activations < 0.3 * without.activations


def test_scores_are_those_of_a_chunk(clip_folder):
    config = recipe(clip_folder, loss_chunk=128)
    model = planned(config)
    whole = memory_of(model, recipe(clip_folder), images_per_row=1.0)
    assert memory_of(model, config, images_per_row=1.0).scores == whole.scores / 4  # of 2 rows of 256
    assert memory_of(model, recipe(clip_folder, loss_chunk=9999), images_per_row=1.0) == whole


def test_sharding_divides_all_but_the_tower_and_makes_a_unit_whole(clip_folder):
    config = recipe(clip_folder, rows_per_step=8)
    model = planned(config)
    memory = memory_of(model, config, images_per_row=1.0, ranks=8)
    sizes = {part.name: part.parameters for part in parts_of(model)}
    rest = sum(sizes.values()) - sizes["vision"]
    assert memory.weights == 4 * sizes["vision"] + 4 * rest / 8
    assert (memory.gradients, memory.optimizer) == (4 * rest / 8, 8 * rest / 8)
    largest = 4 * 64 * 64 + 3 * 64 * 176 + 2 * 64  # a decoder layer: attention, feed-forward, norms
    outside = 2 * sizes["embeddings"] + SIZES["hidden_size"]  # embeddings, head, norm
    assert memory.gathered == 3 * 4 * largest + 2 * 4 * outside
    ddp = memory_of(model, recipe(clip_folder, rows_per_step=8, parallel="ddp"), images_per_row=1.0, ranks=8)
    alone = memory_of(model, recipe(clip_folder, rows_per_step=1), images_per_row=1.0)
    assert ddp == alone
    assert ddp.gathered == 0


def test_a_full_size_model_is_planned_without_memory():
    sizes = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
    zephyr = {"model_type": "mistral", "num_key_value_heads": 8, "vocab_size": 32002, "pad_token_id": None, **sizes}
    vision = {"name": "EVA02-L-14-336", "pretrained": "merged2b_s6b_b61k"}
    model = {"tokenizer": TOKENIZER, "vision": vision, "language": {"config": zephyr}}
    config = recipe(
        "", model=model, precision="bf16", train=["perceiver", "cross_attention"], stream={"row_tokens": 792}
    )
    parts = {part.name: part.parameters for part in parts_of(planned(config))}
    assert sum(parts.values()) == pytest.approx(9_840_832_224, rel=0.001)
    memory = memory_of(planned(config), config, images_per_row=2.5)
    assert 18e9 < memory.weights < 26e9
