"""The plug-in for lmms-eval, against the real package where it is installed, else a stand-in of its interface."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from infimm_data.errors import ConfigError

STAND_IN = {
    "lmms_eval/__init__.py": "",
    "lmms_eval/api/__init__.py": "",
    "lmms_eval/api/model.py": (
        "class lmms:\n"
        "    is_simple = True\n"
        "    def __init__(self):\n"
        "        self._rank, self._world_size, self.task_dict = 0, 1, {}\n"
    ),
    "lmms_eval/models/__init__.py": "",
    "lmms_eval/models/registry_v2.py": (
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class ModelManifest:\n"
        "    model_id: str\n"
        "    simple_class_path: str | None = None\n"
        "    chat_class_path: str | None = None\n"
        "    aliases: tuple[str, ...] = ()\n"
    ),
}
"""What our class needs of lmms-eval 0.7.3, as its sources state it."""


@pytest.fixture(scope="module")
def lmms_model(tmp_path_factory):
    """Our module, imported beside lmms-eval or its stand-in."""
    from infimm_data.torchvision_ops import declare_torchvision_ops

    declare_torchvision_ops()
    folder = tmp_path_factory.mktemp("stand_in")
    for name, text in STAND_IN.items():
        if importlib.util.find_spec(name.partition("/")[0]) is None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    sys.path.insert(0, str(folder))
    before = set(sys.modules)
    yield importlib.import_module("model.evaluation.lmms_model")
    sys.path.remove(str(folder))
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "lmms_eval" or name == "model.evaluation.lmms_model":
            del sys.modules[name]


def messages(doc):
    content = [{"type": "image", "url": doc["image"]}, {"type": "text", "text": doc["question"]}]
    return [{"role": "user", "content": content}]


def requests(model, docs, **generation):
    model.task_dict = {"drawn": {"test": docs}}
    settings = {"max_new_tokens": 3, "until": ["."], **generation}
    return [SimpleNamespace(args=("", messages, settings, i, "drawn", "test")) for i in range(len(docs))]


@pytest.fixture(scope="module")
def docs(drawn):
    names = sorted((drawn / "pictures").glob("test_*.png"))
    return [{"image": Image.open(name).convert("RGB"), "question": f"What is {name.stem[-1]}?"} for name in names]


def test_the_entry_point_names_our_class(lmms_model):
    from model.evaluation.lmms_plugin import manifest

    project = tomllib.loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text())
    module, _, function = project["project"]["entry-points"]["lmms_eval.models"]["infimm"].partition(":")
    assert getattr(importlib.import_module(module), function) is manifest
    found = manifest()
    assert found.model_id == "infimm"
    place, _, name = found.chat_class_path.rpartition(".")
    assert getattr(importlib.import_module(place), name) is lmms_model.InfiMMChat
    assert lmms_model.InfiMMChat.is_simple is False


def test_answers_come_in_the_order_of_the_requests(lmms_model, checkpoint, docs):
    model = lmms_model.InfiMMChat(checkpoint, device="cpu", batch_size=4)
    whole = model.generate_until(requests(model, docs))
    assert len(whole) == 6
    alone = [model.generate_until([request])[0] for request in requests(model, docs)]
    assert whole == alone
    assert len(set(whole)) > 1


def test_demonstrations_are_interleaved(lmms_model, checkpoint, docs, drawn, tmp_path, monkeypatch):
    names = {"questions": "questions.train.json", "references": "answers.train.json", "images": "pictures"}
    split = "{" + ", ".join(f"{key}: {drawn / name}" for key, name in names.items()) + "}"
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"task: vqav2\nfiles: {split}\nprompt: '<image>Q:{{question}}'\nzero_shot: nothing\nseparator: ''\n"
        f"demonstration: '<image>Q:{{question}} {{answer}}<|endofchunk|>'\ndemonstrations: {{files: {split}}}\n"
    )
    seen: list[str] = []
    model = lmms_model.InfiMMChat(checkpoint, recipe=str(recipe), shots=2, device="cpu")
    texts = type(model.answerer).texts

    def watched(self, prompts, recipe):
        found = texts(self, prompts, recipe)
        seen.extend(one.prompt for one in found)
        return found

    monkeypatch.setattr(type(model.answerer), "texts", watched)
    model.generate_until(requests(model, docs[:2], num_beams=2))
    assert [prompt.count("<image>") for prompt in seen] == [3, 3]
    assert seen[0].endswith("<image>Q:What is 1?")
    assert seen[0].count("<|endofchunk|>") == 2


def test_pictures_after_text_keep_their_place(lmms_model):
    from model.evaluation.prompts import render, to_text

    picture = Image.new("RGB", (4, 4))
    content = [
        {"type": "image", "url": picture}, {"type": "text", "text": "a "},
        {"type": "image", "url": picture}, {"type": "text", "text": " b"},
    ]  # fmt: skip
    question = lmms_model.question_of([{"role": "user", "content": content}], "k")
    assert to_text(render("<image>{question}", question)) == "<image>a <image> b"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([{"type": "video", "url": "x"}], "a user message with video"),
        ([{"type": "image", "url": 3}], "int, expected a PIL image"),
    ],
)
def test_what_we_cannot_take_is_named(lmms_model, content, problem):
    with pytest.raises(ConfigError, match=problem):
        lmms_model.question_of([{"role": "user", "content": content}], "k")


def test_wrong_arguments_are_named(lmms_model, checkpoint):
    with pytest.raises(ConfigError, match="unknown 'shot'; infimm takes pretrained, recipe, shots"):
        lmms_model.InfiMMChat(checkpoint, shot=4)
    with pytest.raises(ConfigError, match="'shots' needs recipe=FILE"):
        lmms_model.InfiMMChat(checkpoint, shots=4, device="cpu")
