"""Training: exact to resume, right at the edges of accumulation, and it freezes what it says."""

import dataclasses
import json
import math
import random
import signal

import pytest
import torch

from infimm_data.config import parse_settings
from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.stream.order import is_held_out
from model.checkpoint import checkpoints, load_model
from model.config import TrainConfig
from model.sample_captions import SampleCaptions, read_samples
from model.train import train
from model.train_log import read_metrics
from model.train_step import forward, take_step
from tests.model.shades import document, losses

RUNS = ("whole", "cut")


def test_a_resumed_run_equals_the_uninterrupted_one_loss_by_loss(data, recipe, tmp_path):
    whole = train(recipe(), data=data, out=str(tmp_path / "whole"))
    cut = tmp_path / "cut"
    train(recipe(), data=data, out=str(cut))
    for late in checkpoints(str(cut))[1:]:  # as a kill after step 3 leaves it: a checkpoint of step 2, a longer log
        for file in sorted(late.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        late.rmdir()
    again = train(recipe(), data=data, out=str(cut))
    assert losses(cut) == losses(tmp_path / "whole")
    assert len(losses(cut)) == 6
    assert again.heldout_loss == whole.heldout_loss
    first, second = (load_model(out).model.state_dict() for out in (whole.checkpoint, again.checkpoint))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_ctrl_c_ends_a_run_after_its_step_with_a_checkpoint(data, recipe, tmp_path, monkeypatch):
    def interrupted(run, step):
        if step == 2:
            signal.raise_signal(signal.SIGINT)
        return take_step(run, step)

    before = signal.getsignal(signal.SIGINT)  # a shell's background job is born with it ignored
    whole = recipe(steps=4, checkpoint_every=None)
    train(whole, data=data, out=str(tmp_path / "whole"))
    monkeypatch.setattr("model.train.take_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(whole, data=data, out=str(tmp_path / "stopped"))
    assert [one.name for one in checkpoints(str(tmp_path / "stopped"))] == ["step-00000003"]
    assert signal.getsignal(signal.SIGINT) is before
    monkeypatch.undo()
    train(whole, data=data, out=str(tmp_path / "stopped"))
    assert losses(tmp_path / "stopped") == losses(tmp_path / "whole")


def test_a_run_cut_off_between_its_checkpoint_and_its_look_at_the_model_looks_when_it_goes_on(data, recipe, tmp_path):
    config = recipe(steps=4, evaluate_every=2)
    seen = []

    def watch(model, tokenizer, step, world):
        seen.append(step)

    train(config, data=data, out=str(tmp_path / "whole"), watch=watch)
    with pytest.raises(ZeroDivisionError):
        train(config, data=data, out=str(tmp_path / "cut"), watch=lambda *_: 1 / 0)
    metrics = tmp_path / "cut" / "metrics.jsonl"
    lines = metrics.read_text().splitlines(keepends=True)
    assert "heldout_loss" in lines.pop()
    metrics.write_text("".join(lines))
    train(config, data=data, out=str(tmp_path / "cut"), watch=watch)
    assert seen == [2, 4, 2, 4]
    held = [[line for line in read_metrics(tmp_path / run / "metrics.jsonl") if "heldout_loss" in line] for run in RUNS]
    assert held[0] == held[1]
    train(recipe(steps=6, evaluate_every=2), data=data, out=str(tmp_path / "cut"), watch=watch)
    assert seen[4:] == [6], "it had looked after step 4"


def test_a_stop_that_is_asked_for_while_held_out_documents_are_read_does_not_wait_for_them(
    data, recipe, tmp_path, monkeypatch
):
    forwards = []

    def counted(run, batch, **given):
        forwards.append(signal.raise_signal(signal.SIGTERM))
        return forward(run, batch, **given)

    monkeypatch.setattr("model.heldout.forward", counted)
    for steps in (2, 4):  # after the last step, and between two
        with pytest.raises(KeyboardInterrupt, match=f"stopped after step 2 of {steps}, checkpoint: .*step-00000002; "):
            train(recipe(steps=steps, evaluate_every=2), data=data, out=str(tmp_path / str(steps)))
    assert len(forwards) == 2


def test_samples_are_said_in_the_precision_of_the_run(data, recipe, tmp_path):
    config = recipe(steps=2, precision="bf16", train=["cross_attention"], evaluate_every=1)
    train(config, data=data, out=str(tmp_path), watch=SampleCaptions(data, str(tmp_path), config.stream))
    assert [line.get("step") for line in read_samples(tmp_path / "samples.jsonl")] == [None, 1, 2]


def test_too_few_documents_to_hold_one_out_are_said_before_the_first_step(data, recipe, tmp_path):
    stream = {"row_tokens": 64, "holdout_fraction": 1e-6}
    with pytest.raises(ConfigError, match=r"no document in the holdout split \(holdout_fraction 1e-06\)"):
        train(recipe(stream=stream), data=data, out=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_row_that_is_longer_than_the_language_model_has_positions_for_is_refused(data, recipe, tmp_path):
    settings = recipe().model_dump()
    settings["model"]["language"]["config"]["max_position_embeddings"] = 63
    config = parse_settings(settings, TrainConfig, where="test")
    with pytest.raises(ConfigError, match=r"stream.row_tokens 64: .* has positions for 63 tokens; lower it"):
        train(config, data=data, out=str(tmp_path))


def test_an_interval_that_leaves_no_block_is_refused(data, recipe, tmp_path):
    settings = recipe().model_dump()
    settings["model"]["cross_attention"]["every"] = 3
    config = parse_settings(settings, TrainConfig, where="test")
    with pytest.raises(ConfigError, match=r"each layer 3 of 2: no token would see an image; .* at most 2"):
        train(config, data=data, out=str(tmp_path))


def test_a_finished_run_is_not_trained_again(data, recipe, tmp_path):
    first = train(recipe(), data=data, out=str(tmp_path))
    before = losses(tmp_path)
    again = train(recipe(), data=data, out=str(tmp_path))
    assert losses(tmp_path) == before
    assert again.num_tokens == 0
    for name in ("heldout_loss", "train_loss", "checkpoint"):
        assert getattr(again, name) == getattr(first, name)


def test_more_steps_go_on_and_another_recipe_is_refused(data, recipe, tmp_path):
    train(recipe(), data=data, out=str(tmp_path))
    assert train(recipe(steps=7), data=data, out=str(tmp_path)).steps == 7
    assert len(losses(tmp_path)) == 7
    with pytest.raises(ConfigError, match=r"the recipe has changed in 'rows_per_step' .* another --out"):
        train(recipe(rows_per_step=2), data=data, out=str(tmp_path))


def test_other_steps_under_a_schedule_that_falls_are_said(data, recipe, tmp_path, caplog):
    falls = {"optimizer": {"schedule": "cosine"}}
    train(recipe(steps=1, **falls), data=data, out=str(tmp_path))
    train(recipe(steps=2, **falls), data=data, out=str(tmp_path))
    assert "steps: 2, was 1: the cosine schedule is another from here on" in caplog.text


def test_without_resume_the_run_starts_over(data, recipe, tmp_path):
    train(recipe(), data=data, out=str(tmp_path))
    assert train(recipe(), data=data, out=str(tmp_path), resume=False).num_tokens > 0
    assert len(losses(tmp_path)) == 6


def test_micro_batches_give_the_step_of_the_whole_batch(data, recipe, tmp_path):
    for rows in (4, 2, 1):
        train(recipe(micro_rows=rows), data=data, out=str(tmp_path / str(rows)))
    for rows in (2, 1):
        assert losses(tmp_path / str(rows)) == pytest.approx(losses(tmp_path / "4"), abs=2e-5)


def test_frozen_parts_do_not_change_and_trained_ones_do(data, recipe, tmp_path):
    config = recipe(train=["cross_attention"], steps=2)
    train(config, data=data, out=str(tmp_path))
    first, last = (load_model(str(folder)).model for folder in (checkpoints(str(tmp_path))[0],) * 2)
    fresh = train(config.model_copy(update={"steps": 1}), data=data, out=str(tmp_path / "one"))
    one = load_model(fresh.checkpoint).model
    changed = {
        name.split(".")[0]
        for (name, a), b in zip(one.named_parameters(), last.parameters(), strict=True)
        if not torch.equal(a, b)
    }
    assert changed == {"cross_attention"}
    assert first is not last


def test_it_learns_what_only_the_picture_tells(data, recipe, tmp_path):
    settings = recipe(steps=60, rows_per_step=8, log_every=20, checkpoint_every=None)
    with_images = train(settings, data=data, out=str(tmp_path / "images"))
    twin = settings.model_copy(update={"stream": settings.stream.model_copy(update={"images": False})})
    text_only = train(twin, data=data, out=str(tmp_path / "text"))
    assert with_images.heldout_targets == text_only.heldout_targets
    # One word per document is worth ln 3; at least half of it must have been learned from the picture.
    gained = (text_only.heldout_loss - with_images.heldout_loss) * with_images.heldout_targets
    num_documents = sum(is_held_out(document(i, random.Random(0)).document.id, 0.2) for i in range(240))
    assert gained > 0.5 * math.log(3) * num_documents


def test_a_loss_that_is_not_a_number_stops_the_run_in_one_line(data, recipe, tmp_path, monkeypatch):
    import model.train_step

    def broken(run, batch, **given):
        out = forward(run, batch, **given)
        return dataclasses.replace(out, loss_sum=out.loss_sum * math.nan, weighted=out.weighted * math.nan)

    forward = model.train_step.forward
    monkeypatch.setattr(model.train_step, "forward", broken)
    with pytest.raises(InfiMMError, match=r"step 1: loss nan") as error:
        train(recipe(), data=data, out=str(tmp_path))
    assert "\n" not in str(error.value)
    assert checkpoints(str(tmp_path)) == []


def test_the_log_says_what_a_step_did(data, recipe, tmp_path):
    train(recipe(), data=data, out=str(tmp_path))
    first, *_, held = read_metrics(tmp_path / "metrics.jsonl")
    keys = {"step", "loss", "tokens_per_s", "data_wait", "fill", "images", "learning_rate", "grad_norm"}
    assert set(first) == keys | {"hardware_tflops", "useful_tflops", "stream"}
    assert first["stream"]["rows"] == 4
    assert 0 < first["useful_tflops"] < first["hardware_tflops"]
    assert 0 < first["fill"] <= 1
    assert first["learning_rate"] == pytest.approx(1e-2 / 3)
    assert held == {"step": 6, "heldout_loss": held["heldout_loss"]}


def test_only_the_last_checkpoints_are_kept(data, recipe, tmp_path):
    train(recipe(keep_checkpoints=2), data=data, out=str(tmp_path))
    assert [folder.name for folder in checkpoints(str(tmp_path))] == ["step-00000004", "step-00000006"]


def test_a_run_that_starts_anew_leaves_nothing_of_the_old_one(data, recipe, tmp_path):
    train(recipe(), data=data, out=str(tmp_path))
    result = train(recipe(steps=2, seed=9), data=data, out=str(tmp_path), resume=False)
    assert [str(folder) for folder in checkpoints(str(tmp_path))] == [result.checkpoint]
    assert load_model(str(tmp_path)).config.seed == 9
    assert max(line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")) == 2


def test_fewer_steps_than_a_run_has_done_are_one_clear_line(data, recipe, tmp_path):
    train(recipe(), data=data, out=str(tmp_path))
    with pytest.raises(ConfigError, match=r"the run is at step 6, but the recipe asks for 4 in all; raise 'steps'"):
        train(recipe(steps=4), data=data, out=str(tmp_path))
    assert load_model(str(tmp_path)).step == 6


def test_a_half_written_checkpoint_is_no_checkpoint(data, recipe, tmp_path):
    train(recipe(steps=2), data=data, out=str(tmp_path))
    (tmp_path / "checkpoints" / ".part-x").mkdir()
    assert len(checkpoints(str(tmp_path))) == 1
    train(recipe(steps=4), data=data, out=str(tmp_path))
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir() if folder.name.startswith(".")] == []


def test_a_checkpoint_speaks_as_the_model_it_was(data, recipe, tmp_path):
    from PIL import Image

    from model.generate import Sampling, generate, prompt_of

    result = train(recipe(steps=2), data=data, out=str(tmp_path))
    loaded = load_model(str(tmp_path))
    assert loaded.step == 2
    assert str(checkpoints(str(tmp_path))[-1]) == result.checkpoint
    prompt = prompt_of([Image.new("RGB", (40, 30))], loaded.tokenizer.vocabulary, side=16)
    (tokens,) = generate(loaded.model, [prompt], loaded.tokenizer.vocabulary, Sampling(max_new_tokens=5))
    assert isinstance(loaded.tokenizer.decode(tokens), str)


@pytest.mark.parametrize("template", ["plain", "zephyr", "vicuna", "llama2"])
def test_a_prompt_is_written_as_its_template_says_with_one_place_per_picture(template):
    from PIL import Image

    from infimm_data.stream.templates import VICUNA_SYSTEM
    from model.generate import prompt_of
    from model.tokenizer import load_tokenizer

    tokenizer = load_tokenizer("package:pipelines.demo/data/tokenizer")
    prompt = prompt_of([Image.new("RGB", (40, 30))] * 2, tokenizer.vocabulary, side=16, text="What?", template=template)
    assert (len(prompt.images), prompt.ids.count(tokenizer.vocabulary.image)) == (2, 2)
    assert prompt.ids[0] == tokenizer.vocabulary.bos
    assert (
        tokenizer.decode(list(prompt.ids))
        == {
            "plain": "What?",
            "zephyr": "<|system|>\n\n<|user|>\nWhat?\n<|assistant|>\n",
            "vicuna": f"{VICUNA_SYSTEM} USER: What? ASSISTANT:",
            "llama2": "[INST] What? [/INST]",
        }[template]
    )


def test_a_checkpoint_from_before_a_setting_was_there_goes_on(data, recipe, tmp_path):
    train(recipe(steps=2), data=data, out=str(tmp_path))
    about = checkpoints(str(tmp_path))[0] / "config.json"
    config = json.loads(about.read_text())
    del config["config"]["stream"]["template"]
    about.write_text(json.dumps(config))
    assert train(recipe(steps=4), data=data, out=str(tmp_path)).steps == 4


def test_the_semantics_of_the_recipe_is_what_the_loss_sees(data, recipe, tmp_path):
    found = {}
    for name in ("infimm", "flamingo"):
        settings = recipe(steps=2, train=["perceiver"]).model_dump()
        settings["model"]["cross_attention"]["semantics"] = name
        run = str(tmp_path / name)
        train(parse_settings(settings, TrainConfig, where="test"), data=data, out=run)
        found[name] = losses(run)
    assert found["infimm"] != found["flamingo"]


def test_another_vision_tower_is_refused(data, recipe, tmp_path, clip_folder):
    from safetensors.torch import load_file, save_file

    train(recipe(steps=2), data=data, out=str(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    weights = load_file(clip_folder / "open_clip_model.safetensors")
    save_file({name: tensor * 1.5 for name, tensor in weights.items()}, other / "open_clip_model.safetensors")
    (other / "open_clip_config.json").write_text((clip_folder / "open_clip_config.json").read_text())
    about = checkpoints(str(tmp_path))[0] / "config.json"
    about.write_text(about.read_text().replace(str(clip_folder), str(other)))
    with pytest.raises(ConfigError, match="trained on a vision tower with weights"):
        load_model(str(tmp_path))


def test_a_folder_without_checkpoint_is_one_clear_line(tmp_path):
    with pytest.raises(ConfigError, match="no checkpoint; expected a folder step-"):
        load_model(str(tmp_path))


def test_a_checkpoint_of_a_newer_version_is_refused(data, recipe, tmp_path):
    train(recipe(steps=2), data=data, out=str(tmp_path))
    about = checkpoints(str(tmp_path))[0] / "config.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"format": 3}))
    with pytest.raises(ConfigError, match="update infimm"):
        load_model(str(tmp_path))
    about.write_text(json.dumps(json.loads(about.read_text()) | {"format": 1}))
    with pytest.raises(ConfigError, match="format 1 of an older version; train anew"):
        load_model(str(tmp_path))
