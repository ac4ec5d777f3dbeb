"""Heads over stored vectors: LAION's as published, ours as trained, and everything that is neither."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from torch import nn

from filters.image_heads import ImageHeads
from filters.models import heads as heads_module
from filters.models.heads import METADATA, PUBLISHED, load_head
from infimm_data.errors import ConfigError
from infimm_data.rules import AtLeast, AtMost, measured_with

RNG = np.random.default_rng(0)


def unit(rows: int, width: int) -> np.ndarray[Any, Any]:
    vectors = RNG.normal(size=(rows, width))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def state_of(known: Any) -> dict[str, torch.Tensor]:
    """Weights of a published shape, of a size that keeps outputs within a sigmoid's middle."""
    generator = torch.Generator().manual_seed(1)
    state = {}
    for name, shape in known.shapes().items():
        state[name] = torch.randn(shape, generator=generator) * (0.05 if len(shape) == 2 else 0.1)
    if "norm.variance" in state:
        state["norm.variance"] = state["norm.variance"].abs() + 0.5
    return state


def saved(path: Path, state: Any) -> str:
    torch.save(state, path)
    return str(path)


def in_torch(known: Any, state: dict[str, torch.Tensor]) -> nn.Module:
    """The same network out of torch's own modules."""
    parts: list[nn.Module] = []
    for prefix, relu in known.layers:
        weight = state[f"{prefix}weight"]
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight, "bias": state[f"{prefix}bias"]})
        parts += [linear, *([nn.ReLU()] if relu else [])]
    return nn.Sequential(*parts, *([nn.Sigmoid()] if known.is_probability else []))


@pytest.mark.parametrize("known", PUBLISHED, ids=lambda known: known.name)
def test_a_published_head_answers_as_torch_does(known: Any, tmp_path: Path) -> None:
    state = state_of(known)
    head = load_head(saved(tmp_path / "head.pth", state))
    vectors = unit(5, known.sizes[0])
    inputs = torch.from_numpy(vectors).float()
    if known.has_norm:
        inputs = (inputs - state["norm.mean"]) / (state["norm.variance"].sqrt() + 1e-10)
    expected = in_torch(known, state)(inputs).detach().numpy()[:, 0]
    assert head(vectors) == pytest.approx(expected, abs=2e-5)
    assert (head.width, head.clip) == (known.sizes[0], known.clip)
    assert len(set(head(vectors))) == 5


def test_a_value_does_not_depend_on_how_many_were_asked_at_once(tmp_path: Path) -> None:
    head = load_head(saved(tmp_path / "head.pth", state_of(PUBLISHED[0])))
    vectors = unit(40, 768)
    assert [head(vectors[at : at + 1])[0] for at in range(40)] == head(vectors).tolist()


def test_one_weight_missing_too_many_or_of_another_shape_is_said(tmp_path: Path) -> None:
    for change in ("missing", "extra", "shape"):
        state = state_of(PUBLISHED[0])
        if change == "missing":
            del state["linear_3.bias"]
        elif change == "extra":
            state["linear_9.bias"] = torch.zeros(3)
        else:
            state["linear_1.weight"] = torch.zeros(64, 767)
        with pytest.raises(ConfigError, match=r"linear_1\.weight \[64, 76.\].* those of no known head.*ViT-L-14"):
            load_head(saved(tmp_path / f"{change}.pth", state))


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    state = state_of(PUBLISHED[5])
    state["weight"][0, 3] = float("nan")
    with pytest.raises(ConfigError, match="not finite"):
        load_head(saved(tmp_path / "head.pth", state))


@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", b"PK\x03\x04broken", b"\x80\x04broken", bytes(200)])
def test_a_file_that_is_no_head_is_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "head.pth").write_bytes(data)
    with pytest.raises(ConfigError, match=r"head\.pth: no head .*expected safetensors or a PyTorch state dict"):
        load_head(str(tmp_path / "head.pth"))


def test_a_keras_file_says_where_the_same_head_is_had(tmp_path: Path) -> None:
    (tmp_path / "head.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ConfigError, match=r"a Keras file; LAION publishes the same heads as \.pth"):
        load_head(str(tmp_path / "head.h5"))


def test_a_state_dict_of_something_else_than_tensors_is_one_line(tmp_path: Path) -> None:
    for state in ([1, 2], {"weight": 1}, 3):
        with pytest.raises(ConfigError, match="no head"):
            load_head(saved(tmp_path / "head.pth", state))


def test_a_pickle_in_a_head_is_refused_and_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    buffer = BytesIO()
    torch.save({"weight": Evil()}, buffer)
    (tmp_path / "head.pth").write_bytes(buffer.getvalue())
    with pytest.raises(ConfigError, match="no head"):
        load_head(str(tmp_path / "head.pth"))
    assert not (tmp_path / "ran").exists()


def test_a_file_under_a_published_name_must_be_that_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sha256 is [0-9a-f]{64}, the published file's 21dd590f"):
        load_head(saved(tmp_path / "sac+logos+ava1-l14-linearMSE.pth", state_of(PUBLISHED[3])))


def test_no_file_and_too_large_a_file_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"none\.pth: no such file"):
        load_head(str(tmp_path / "none.pth"))
    monkeypatch.setattr(heads_module, "MAX_BYTES", 10)
    with pytest.raises(ConfigError, match="expected a head of at most 10"):
        load_head(saved(tmp_path / "head.pth", state_of(PUBLISHED[5])))


def ours(path: Path, *, width: int = 4, clip: str = "tiny", described: str | None = None, **other: Any) -> str:
    """A head of ours: two layers whose output is the sum of the positive numbers of a vector."""
    state = {
        "norm.mean": np.zeros(width), "norm.variance": np.ones(width),
        "linear_1.weight": np.eye(width), "linear_1.bias": np.zeros(width),
        "linear_2.weight": np.ones((1, width)), "linear_2.bias": np.zeros(1),
        **other,
    }  # fmt: skip
    says = json.dumps({"output": "value", "clip": clip}) if described is None else described
    path.write_bytes(save({name: np.asarray(array, np.float32) for name, array in state.items()}, {METADATA: says}))
    return str(path)


def test_ours_is_read_by_what_it_says_of_itself(tmp_path: Path) -> None:
    head = load_head(ours(tmp_path / "h.safetensors"))
    assert head(np.array([[1, -2, 3, 0], [-1, -1, -1, -1]])).tolist() == [4.0, 0.0]
    assert (head.clip, head.is_probability) == ("tiny", False)


@pytest.mark.parametrize(
    "broken",
    [
        {"described": "{}"},
        {"described": "no json"},
        {"linear_2.weight": np.ones((1, 5))},
        {"linear_2.weight": np.ones((2, 4)), "linear_2.bias": np.zeros(2)},
        {"linear_4.weight": np.ones((1, 4))},
        {"extra": np.zeros(2)},
    ],
)
def test_ours_in_pieces_is_one_line(tmp_path: Path, broken: Any) -> None:
    with pytest.raises(ConfigError, match="train it again"):
        load_head(ours(tmp_path / "h.safetensors", **broken))


def test_each_head_is_asked_of_the_unit_vector(tmp_path: Path) -> None:
    made = ImageHeads(heads={"one": ours(tmp_path / "a.st"), "two": ours(tmp_path / "b.st", **{"linear_2.bias": [2]})})
    loaded = made.load_heads("tiny")
    found = loaded.score(np.array([[3, 0, 4, 0], [0, 0, 0, 0]], dtype=np.float16))
    assert found["head_one"] == pytest.approx([1.4, 0.0])
    assert found["head_two"] == pytest.approx([3.4, 2.0])
    assert loaded.digests["one"] != loaded.digests["two"]


def test_a_head_over_another_clip_is_refused_but_a_clip_without_a_name_may_be_any(tmp_path: Path) -> None:
    made = ImageHeads(heads={"one": ours(tmp_path / "a.st", clip="ViT-L-14 openai")})
    with pytest.raises(ConfigError, match=r"over vectors of ViT-L-14 openai, but clip_score stores those of ViT-B-32"):
        made.load_heads("ViT-B-32 openai")
    assert set(made.load_heads("").heads) == {"one"}
    assert set(made.load_heads("ViT-L-14 openai").heads) == {"one"}


def test_vectors_of_another_length_are_one_line(tmp_path: Path) -> None:
    loaded = ImageHeads(heads={"one": ours(tmp_path / "a.st")}).load_heads("")
    with pytest.raises(ConfigError, match="head one reads vectors of 4 numbers, the stored ones have 5"):
        loaded.score(np.zeros((1, 5), dtype=np.float16))


def test_bounds_become_rules_and_are_inclusive() -> None:
    made = ImageHeads(
        heads={"nsfw": "a", "aesthetic": "b"}, keep_at_most={"nsfw": 0.1}, keep_at_least={"aesthetic": 4.5}
    )
    assert made.rules() == (AtMost("head_nsfw", 0.1, "nsfw_high"), AtLeast("head_aesthetic", 4.5, "aesthetic_low"))
    assert ImageHeads(heads={"nsfw": "a"}).rules() == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"heads": {"NSFW!": "a"}}, "'NSFW!' is no name"),
        ({"heads": {"nsfw": "a"}, "keep_at_most": {"nswf": 1}}, r"no head is called 'nswf'\. Did you mean 'nsfw'"),
        ({"heads": {"a": "a"}, "keep_at_least": {"a": float("nan")}}, "not a number"),
        ({"heads": {"a": "a"}, "keep_at_least": {"a": 2}, "keep_at_most": {"a": 1}}, "nothing could pass"),
    ],
)
def test_settings_that_make_no_sense_are_a_config_error(settings: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ImageHeads(**settings)


def test_another_head_measures_anew_and_another_bound_does_not() -> None:
    made = ImageHeads(heads={"nsfw": "a"}, keep_at_most={"nsfw": 0.1})
    assert measured_with(made) == {"heads": {"nsfw": "a"}, "embeddings_of": "clip_score"}
    assert measured_with(made) == measured_with(ImageHeads(heads={"nsfw": "a"}, keep_at_most={"nsfw": 0.2}))
