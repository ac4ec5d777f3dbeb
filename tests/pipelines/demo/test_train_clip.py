"""The demo's CLIP: what is shipped tells matched from mismatched pictures on pages that it never saw."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from filters.clip_score import ClipScore
from infimm_data.document import ImageNode
from infimm_data.torchvision_ops import declare_torchvision_ops
from pipelines.demo import train_clip
from pipelines.demo.captions import contents, describe, paragraph
from pipelines.demo.draw import draw
from pipelines.demo.pages import article_page
from pipelines.demo.prose import NAMING_LEAD_INS
from pipelines.demo.scene import COLOURS, SHAPES, Scene, random_scene, single_scene
from pipelines.demo.train_clip import (
    CONFIG,
    CONTEXT,
    DIRECTORY,
    Trainer,
    changed,
    draw_pool,
    matching_loss,
    prepare,
    save,
    sentence,
)
from pipelines.extract import extract_html

UNSEEN = range(100_000, 100_060)  # numbers of articles: the dump has 0-639 and 2,000-2,006


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors on a busy machine: two threads that wait for each other take four times as long as one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clip() -> tuple:
    declare_torchvision_ops()
    import open_clip

    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{DIRECTORY}")
    return model.eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{DIRECTORY}")


def scenes(number: int, seed: int = 3) -> list[Scene]:
    rng = random.Random(seed)
    return [random_scene(rng) for _ in range(number)]


def pairs() -> Iterator[tuple[bytes, tuple[str, ...], Scene]]:
    """Yield the picture, its nearby text and its scene, of every picture on unseen pages."""
    score = ClipScore(model=f"local-dir:{DIRECTORY}")
    for number in UNSEEN:
        page = article_page(number)
        files = {picture.url: picture for picture in page.pictures}
        document = extract_html(page.body, page.url, captions_in_text=True)
        assert document is not None
        for at, node in enumerate(document.nodes):
            if isinstance(node, ImageNode) and node.url in files:
                yield files[node.url].body, score.texts_for(document, at), files[node.url].scene


@pytest.fixture(scope="module")
def scored() -> tuple[list[float], list[float]]:
    """Scores of the pictures with their own text, and with the text of a picture that shows something else."""
    images, texts, shown = zip(*pairs(), strict=True)
    scorer = ClipScore(model=f"local-dir:{DIRECTORY}").load("cpu")
    step = next(step for step in range(5, 50) if _all_differ(shown, step))
    moved = texts[step:] + texts[:step]
    own, other = (
        [float(score["clip_score"]) for score in scorer.score(images, some)] for some in (texts, moved)
    )  # fmt: skip
    return own, other


def _all_differ(shown: tuple[Scene, ...], step: int) -> bool:
    return all(a.key != b.key for a, b in zip(shown, shown[step:] + shown[:step], strict=True))


def test_matched_pictures_score_above_mismatched_ones_on_unseen_pages(scored):
    own, other = (np.array(scores) for scores in scored)
    assert len(own) > 100
    assert (own[:, None] > other[None, :]).mean() >= 0.98


def test_one_threshold_keeps_the_matched_and_drops_most_mismatched(scored):
    own, other = (np.array(scores) for scores in scored)
    assert (own >= 0.6).mean() > 0.98
    assert (other >= 0.6).mean() < 0.1


def test_patch_tokens_tell_shape_and_colour_to_a_linear_probe(clip):
    model, preprocess, _ = clip
    rng = random.Random("probe of the test")
    drawn = [single_scene(rng, shape=rng.choice(SHAPES)) for _ in range(900)]
    seen: list[torch.Tensor] = []
    hook = model.visual.transformer.register_forward_hook(lambda _module, _inputs, tokens: seen.append(tokens[:, 1:]))
    with torch.no_grad():
        for start in range(0, 900, 100):
            model.encode_image(torch.stack([preprocess(draw(scene, 128)) for scene in drawn[start : start + 100]]))
    hook.remove()
    features = torch.cat(seen).mean(1).double().numpy()
    features = np.c_[(features - features.mean(0)) / features.std(0), np.ones(900)]
    for names, labels in (
        (SHAPES, [scene.groups[0].shape for scene in drawn]),
        (tuple(COLOURS), [scene.groups[0].colour for scene in drawn]),
    ):
        truth = np.array([names.index(label) for label in labels])
        gram = features[:600].T @ features[:600] + 3 * np.eye(features.shape[1])
        weights = np.linalg.solve(gram, features[:600].T @ np.eye(8)[truth[:600]])
        assert ((features[600:] @ weights).argmax(1) == truth[600:]).mean() > 0.9


def test_every_sentence_about_a_picture_fits_the_context(clip):
    tokenize, rng = clip[2], random.Random(1)
    texts = []
    for scene in scenes(500):
        texts += [describe(scene, rng), *paragraph(scene, rng).split(". ")]
        texts.append(rng.choice(NAMING_LEAD_INS).format(contents(scene, rng)))
    ids = tokenize(texts)
    assert ids.shape == (len(texts), CONTEXT)
    assert (ids[:, 0] == 0).all()
    assert (ids[:, -1] == CONFIG["model_cfg"]["text_cfg"]["pad_id"]).all()  # so nothing was cut off
    assert ((ids == CONFIG["model_cfg"]["text_cfg"]["eos_id"]).sum(1) == 1).all()


def test_a_text_that_is_too_long_still_ends(clip):
    ids = clip[2](["circle " * 500])[0]
    assert ids[-1] == CONFIG["model_cfg"]["text_cfg"]["eos_id"]


def test_the_shipped_config_and_tokenizer_are_what_the_code_writes(tmp_path):
    prepare(tmp_path)
    for name in ("open_clip_config.json", "tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (DIRECTORY / name).read_bytes()


def test_a_changed_scene_differs_in_one_word_of_one_group():
    rng = random.Random(1)
    for scene in scenes(200):
        other = changed(scene, rng)
        words = [[(group.shape, group.colour) for group in one.groups] for one in (scene, other)]
        differing = [sum(a != b for a, b in zip(*pair, strict=True)) for pair in zip(*words, strict=True)]
        assert sorted(differing)[-1] == sum(differing) == 1


def test_a_training_sentence_names_every_shape_and_colour():
    rng = random.Random(1)
    for scene in scenes(300):
        text = sentence(scene, rng).lower()
        assert all(group.colour in text and group.shape in text for group in scene.groups)


def test_the_patch_on_a_thing_has_its_labels_and_the_paper_has_none():
    pool = draw_pool(30, seed=1)
    assert pool.pixels.shape == (30, 64, 64, 3)
    for scene, shapes, hues in zip(pool.scenes, pool.shapes, pool.hues, strict=True):
        named = {list(COLOURS).index(group.colour) + 1 for group in scene.groups}
        assert set(hues.tolist()) <= named | {0}
        assert ((shapes == 0) == (hues == 0)).all()


def test_a_pair_of_the_same_scene_is_no_mismatch():
    image = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1]]), dim=-1)
    none, scale = torch.zeros(2, 2, dtype=torch.bool), torch.tensor(10.0)
    same = ~torch.eye(2, dtype=torch.bool)
    assert matching_loss(image, image, same, scale).item() == 0
    assert matching_loss(image, image, none, scale).item() > 0.5


def test_a_few_steps_of_training_make_a_folder_that_open_clip_loads(tmp_path, monkeypatch):
    monkeypatch.setattr(train_clip, "BATCH", 16)  # a full batch takes seconds where bfloat16 is emulated
    monkeypatch.setattr(train_clip, "CHANGED", 8)
    prepare(tmp_path)
    trainer = Trainer(8, tmp_path, pool=16)
    first, *_, last = [sum(trainer.step(number)) for number in range(8)]
    assert last < first
    save(trainer.model, tmp_path)
    scorer = ClipScore(model=f"local-dir:{tmp_path}").load("cpu")
    (score,) = scorer.score([article_page(1).pictures[0].body], [("A red circle.",)])
    assert -1 <= score["clip_score"] <= 1
