from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from filters.clip_assignment import ClipAssignment
from filters.clip_score import NEARBY_SENTENCES, TEXT_CHARACTERS, ClipScore
from filters.models.clip_text import TextTower
from filters.models.pixel_budget import PixelBudget
from infimm_data.document import Document, ImageNode, TextNode
from infimm_data.errors import ConfigError
from infimm_data.images import decode_rgb
from infimm_data.torchvision_ops import declare_torchvision_ops

CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {},
}
NOTHING = {"clip_score": None, "clip_best_text": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP with random weights, as open_clip stores one."""
    declare_torchvision_ops()
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(CLIP(**CONFIG["model_cfg"]).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def few_at_once(scorer: Any) -> Any:
    """Small batches, so that eleven pictures and their texts are several."""
    scorer.clip.images_per_batch = 4
    scorer.clip.texts.texts_per_batch = 4
    return scorer


@pytest.fixture(scope="module")
def scorer(folder: Path) -> Any:
    return few_at_once(ClipScore(model=f"local-dir:{folder}").load("cpu"))


def picture(seed: int, size: tuple[int, int] = (50, 40)) -> bytes:
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8))
    file = BytesIO()
    coarse.resize(size).save(file, "PNG")
    return file.getvalue()


IMAGES = [picture(seed) for seed in range(11)]
TEXTS = [(f"picture {seed}", "a red square", f"{seed} green circles") for seed in range(11)]


def test_the_score_is_the_highest_cosine_of_open_clips_own_vectors(folder: Path, scorer: Any) -> None:
    import open_clip

    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model.eval()
    with torch.no_grad():
        pixels = preprocess(decode_rgb(IMAGES[0], max_pixels=10_000))[None]
        image = torch.nn.functional.normalize(model.encode_image(pixels))
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(list(TEXTS[0]))
        cosines = (image @ torch.nn.functional.normalize(model.encode_text(tokens)).T)[0]
    measured = scorer.score(IMAGES[:1], TEXTS[:1])[0]
    assert measured["clip_score"] == pytest.approx(float(cosines.max()), abs=1e-5)
    assert measured["clip_best_text"] == int(cosines.argmax())


def test_pictures_differ_in_their_scores(scorer: Any) -> None:
    assert len({measured["clip_score"] for measured in scorer.score(IMAGES, [("a red square",)] * 11)}) == 11


def test_a_batch_scores_as_one_at_a_time(scorer: Any) -> None:
    together = scorer.score(IMAGES, TEXTS)
    alone = [scorer.score([image], [texts])[0] for image, texts in zip(IMAGES, TEXTS, strict=True)]
    for a, b in zip(together, alone, strict=True):
        assert a["clip_score"] == pytest.approx(b["clip_score"], abs=1e-5)
        assert a["clip_best_text"] == b["clip_best_text"]


def test_a_broken_image_costs_itself_only(scorer: Any) -> None:
    whole = scorer.score(IMAGES, TEXTS)
    broken = {0: b"", 5: b"<html>", 6: IMAGES[6][:200], 10: picture(10, (500, 1))}
    measured = scorer.score([broken.get(at, image) for at, image in enumerate(IMAGES)], TEXTS)
    for at in range(11):
        if at in broken:
            assert measured[at] == NOTHING
        else:
            assert measured[at]["clip_score"] == pytest.approx(whole[at]["clip_score"], abs=1e-5)


def test_an_image_without_texts_has_no_score(scorer: Any) -> None:
    assert scorer.score(IMAGES[:2], [(), ("a cat",)])[0] == NOTHING
    assert scorer.score(IMAGES[:1], [()]) == [NOTHING]
    assert scorer.score([], []) == []


def test_nothing_but_broken_images_is_no_error(scorer: Any) -> None:
    assert scorer.score([b"x"] * 9, [("a cat",)] * 9) == [NOTHING] * 9


def test_a_text_shared_by_images_is_embedded_once(scorer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    encode = scorer.clip.texts._encode
    monkeypatch.setattr(scorer.clip.texts, "_encode", lambda t: (seen.append(len(t)), encode(t))[1])
    scorer.score(IMAGES[:3], [("a", "b"), ("b", "c"), ("c", "a")])
    assert sum(seen) == 3


def test_the_first_of_equal_texts_is_named(scorer: Any) -> None:
    assert scorer.score(IMAGES[:1], [("same", "same", "same")])[0]["clip_best_text"] == 0


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_agrees_roughly(folder: Path, scorer: Any, precision: Any) -> None:
    half = ClipScore(model=f"local-dir:{folder}", precision=precision).load("cpu").score(IMAGES, TEXTS)
    for a, b in zip(half, scorer.score(IMAGES, TEXTS), strict=True):
        assert a["clip_score"] == pytest.approx(b["clip_score"], abs=0.03)


@pytest.mark.gpu
def test_a_gpu_gives_the_scores_of_the_cpu(folder: Path, scorer: Any) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_gpu = ClipScore(model=f"local-dir:{folder}").load("cuda").score(IMAGES, TEXTS)
    for a, b in zip(on_gpu, scorer.score(IMAGES, TEXTS), strict=True):
        assert a["clip_score"] == pytest.approx(b["clip_score"], abs=1e-3)


@pytest.mark.parametrize("texts", ["none", "caption"])
def test_the_vectors_are_open_clips_own_in_float16(folder: Path, scorer: Any, texts: Any) -> None:
    import open_clip

    made = ClipScore(model=f"local-dir:{folder}", texts=texts, embeddings="image" if texts == "none" else "both")
    measured = made.load("cpu").score([*IMAGES, b"broken"], [*([()] if texts == "none" else [("a", "b")]) * 11, ()])
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model.eval()
    with torch.no_grad():
        pixels = torch.stack([preprocess(decode_rgb(image, max_pixels=10_000)) for image in IMAGES])
        expected = model.encode_image(pixels, normalize=True).numpy()
        named = model.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(["a", "b"]), normalize=True).numpy()
    assert [one["embedding"].dtype for one in measured[:-1]] == [np.float16] * 11
    assert np.stack([one["embedding"] for one in measured[:-1]]) == pytest.approx(expected, abs=5e-4)
    assert measured[-1]["embedding"] is None
    if texts == "none":
        assert [one["clip_score"] for one in measured] == [None] * 12
        assert "text_embedding" not in measured[0]
    else:
        assert measured[3]["text_embedding"] == pytest.approx(named[measured[3]["clip_best_text"]], abs=5e-4)
        assert measured[-1]["text_embedding"] is None


def test_what_stores_nothing_and_compares_nothing_is_a_config_error() -> None:
    for settings in ({}, {"embeddings": "both"}, {"embeddings": "image", "min_score": 0.2}):
        with pytest.raises(ConfigError, match="texts is 'none'"):
            ClipScore(texts="none", **settings)
    assert ClipScore(texts="none", embeddings="image").texts_for(document(), 2) == ()


def test_the_name_of_stored_vectors_is_that_of_the_weights() -> None:
    assert ClipScore().stores_vectors_of is None
    assert ClipScore(embeddings="image").stores_vectors_of == "ViT-L-14 openai"
    assert ClipScore(embeddings="image", model="ViT-L-14-quickgelu").stores_vectors_of == "ViT-L-14 openai"
    assert ClipScore(embeddings="image", model="local-dir:x").stores_vectors_of == ""


def test_padding_that_is_cut_changes_no_vector(folder: Path, scorer: Any) -> None:
    import open_clip

    texts = ["", "a cat", "one two three four five six seven", "x " * 40, "a cat."]
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model.eval()
    with torch.no_grad():
        expected = model.encode_text(open_clip.get_tokenizer(f"local-dir:{folder}")(texts), normalize=True).numpy()
    assert scorer.clip.texts._is_causal
    assert scorer.clip.texts.vectors(texts) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("changed", [{}, {"no_causal_mask": True}, {"pool_type": "last"}, {"embed_cls": True}])
def test_a_tower_that_reads_its_padding_keeps_it(changed: dict[str, Any]) -> None:
    from open_clip.model import CustomTextCLIP
    from open_clip.tokenizer import SimpleTokenizer

    config = {**CONFIG["model_cfg"], "text_cfg": {**CONFIG["model_cfg"]["text_cfg"], **changed}}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = CustomTextCLIP(**config).eval()
    tokenizer = SimpleTokenizer(context_length=16)
    texts = ["a cat", "", "one two three four five six seven eight nine ten"]
    tower = TextTower(model, tokenizer, device="cpu", texts_per_batch=2)
    assert tower._is_causal == (not changed)
    with torch.no_grad():
        expected = model.encode_text(tokenizer(texts), normalize=True).numpy()
    assert tower.vectors(texts) == pytest.approx(expected, abs=1e-6)


def test_weights_that_were_trained_with_quick_gelu_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    asked: list[bool] = []

    def refuse(*args: Any, force_quick_gelu: bool, **settings: Any) -> Any:
        asked.append(force_quick_gelu)
        raise RuntimeError("no network")

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", refuse)
    for model, tag in (("ViT-L-14", "openai"), ("ViT-L-14", "laion2b_s32b_b82k"), ("ViT-L-14", "weights.pt")):
        with pytest.raises(ConfigError, match="no network"):
            ClipScore(model=model, pretrained=tag).load("cpu")
    assert asked == [True, False, False]


def test_a_photo_of_many_pixels_is_decoded_reduced_and_scores_the_same(folder: Path, scorer: Any) -> None:
    rng = np.random.default_rng(0)
    large = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((1600, 1200))
    file = BytesIO()
    large.save(file, "JPEG", quality=90)
    whole = scorer.clip.preprocess(large)
    reduced = scorer.clip._ready([scorer.clip._pixels(file.getvalue())])[0]
    assert decode_rgb(file.getvalue(), max_pixels=1 << 24, enough_side=64).size == (200, 150)
    assert float((whole - reduced).abs().mean()) < 0.03


def test_a_reduced_photo_shows_the_same_part_when_its_sides_are_odd(scorer: Any) -> None:
    """A ramp from left to right: a crop that is a pixel off is a step of the ramp off."""
    ramp = np.linspace(0, 255, 704).astype(np.uint8)[None, :, None].repeat(449, 0).repeat(3, 2)
    file = BytesIO()
    Image.fromarray(ramp).save(file, "JPEG", quality=95)
    assert decode_rgb(file.getvalue(), max_pixels=1 << 24, enough_side=scorer.clip.reduced_side).size == (176, 113)
    whole, reduced = scorer.clip.preprocess(Image.fromarray(ramp)), scorer.clip._pixels(file.getvalue())
    assert float((whole - scorer.clip._ready([reduced])[0]).abs().max()) < 0.04


def test_pixels_are_open_clips_own_to_the_last_bit(scorer: Any) -> None:
    pixels = [scorer.clip._pixels(image) for image in IMAGES]
    expected = torch.stack([scorer.clip.preprocess(decode_rgb(image, max_pixels=10_000)) for image in IMAGES])
    assert torch.equal(scorer.clip._ready(pixels), expected)


def test_threads_wait_for_pixels_and_one_large_picture_may_always_come() -> None:
    budget, held, most = PixelBudget(100), [0], [0]
    lock = threading.Lock()

    def decode(pixels: int) -> None:
        with budget.hold(pixels):
            with lock:
                held[0] += pixels
                most[0] = max(most[0], held[0])
            time.sleep(0.002)
            with lock:
                held[0] -= pixels

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [40, 60, 30, 100, 90, 20] * 5))
    assert most[0] <= 100
    decode(1000)
    assert most[0] == 1000


def document() -> Document:
    many = " ".join(f"Sentence {number}." for number in range(20))
    return Document(
        id="0",
        nodes=(
            TextNode(text="Far before."),
            TextNode(text=many),
            ImageNode(url="u", alt=" A cat. ", caption="Sentence 0."),
            ImageNode(url="v", alt="", caption=""),
            TextNode(text=many),
            TextNode(text="Far after."),
        ),
    )


def test_nearby_texts_are_alt_caption_and_the_nearest_sentences_of_both_sides_once() -> None:
    texts = ClipScore().texts_for(document(), 2)
    before = [f"Sentence {number}." for number in range(19, 19 - NEARBY_SENTENCES, -1)]
    after = [f"Sentence {number}." for number in range(1, NEARBY_SENTENCES)]
    assert list(texts) == ["A cat.", "Sentence 0.", *before, *after]


def test_another_image_in_between_hides_no_text() -> None:
    assert "Sentence 19." in ClipScore().texts_for(document(), 3)


def test_caption_means_alt_and_caption_only() -> None:
    assert ClipScore(texts="caption").texts_for(document(), 2) == ("A cat.", "Sentence 0.")
    assert ClipScore(texts="caption").texts_for(document(), 3) == ()


def test_all_means_every_sentence_of_the_document() -> None:
    assert set(ClipScore(texts="all").texts_for(document(), 3)) == {
        "Far before.",
        "Far after.",
        *(f"Sentence {number}." for number in range(20)),
    }


def test_an_image_alone_has_no_texts() -> None:
    assert ClipScore().texts_for(Document(id="0", nodes=(ImageNode(url="u"),)), 0) == ()


def test_a_megabyte_of_alt_text_is_cut() -> None:
    alone = Document(id="0", nodes=(ImageNode(url="u", alt="x" * 1_000_000),))
    assert [len(text) for text in ClipScore().texts_for(alone, 0)] == [TEXT_CHARACTERS]


def test_weights_that_are_not_there_are_a_config_error(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model 'ViT-L-15'\. Did you mean 'ViT-L-1[46]'"):
        ClipScore(model="ViT-L-15").load("cpu")
    with pytest.raises(ConfigError, match=r"nowhere\.pt"):
        ClipScore(model="ViT-B-32", pretrained="nowhere.pt").load("cpu")
    with pytest.raises(ConfigError, match="not found"):
        ClipScore(model=f"local-dir:{tmp_path / 'none'}").load("cpu")
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    with pytest.raises(ConfigError, match="cannot be loaded"):
        ClipScore(model=f"local-dir:{tmp_path}").load("cpu")


def test_a_pickle_in_place_of_weights_is_refused_and_not_run(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    saved = BytesIO()
    torch.save({"state_dict": Evil()}, saved)
    (tmp_path / "open_clip_config.json").write_bytes((folder / "open_clip_config.json").read_bytes())
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(saved.getvalue())
    with pytest.raises(ConfigError, match="cannot be loaded"):
        ClipScore(model=f"local-dir:{tmp_path}").load("cpu")
    assert not (tmp_path / "ran").exists()


def test_no_threshold_keeps_all_and_zero_is_one() -> None:
    assert ClipScore().rules() == ()
    (rule,) = ClipScore(min_score=0.0).rules()
    assert rule.passes(np.array([-0.1, 0.0, np.nan])).tolist() == [False, True, False]


def test_a_batch_of_nothing_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="batch_size is 0"):
        ClipScore(batch_size=0)


def test_the_assignment_reads_the_same_cosines(folder: Path, scorer: Any) -> None:
    found = few_at_once(ClipAssignment(model=f"local-dir:{folder}").load("cpu")).score(
        [*IMAGES, b"broken"], [*TEXTS, ("a",)]
    )
    expected = scorer.score(IMAGES, TEXTS)
    assert [one["sentence_score"] for one in found[:-1]] == [one["clip_score"] for one in expected]
    best = [int(np.frombuffer(one["similarities"], dtype="<f4").argmax()) for one in found[:-1]]
    assert best == [one["clip_best_text"] for one in expected]
    assert found[-1] == {"sentence_score": None, "similarities": None}
