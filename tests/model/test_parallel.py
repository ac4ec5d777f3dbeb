"""Two processes with gloo: DDP and FSDP2 give the step of one process, also where a rank has no image to look at."""

import json
import shutil
import signal

import pytest
import torch

from infimm_data.config import parse_settings
from infimm_data.errors import ConfigError
from model.checkpoint import checkpoints, load_model
from model.config import TrainConfig
from model.parallel import World, joined
from model.sample_captions import SampleCaptions, read_samples
from model.train import train
from model.training_run import rows_of_rank
from tests.model.rank import run_ranks
from tests.model.shades import losses, settings, write_shades


def config(clip_folder, **changed):
    # The last row of a held-out pass finds one rank without a batch; gates train from 0.5, embeddings alone of the LM.
    stream = {"row_tokens": 32, "holdout_fraction": 0.2, "window_documents": 16}
    own = {"stream": stream, "steps": 4, "rows_per_step": 4, "micro_rows": 1, "train": PARTS, "evaluate_every": 2}
    return settings(clip_folder, **(own | changed))


PARTS = ["perceiver", "cross_attention", "embeddings"]


def cut(run, out, step=2):
    """Copy a run as a kill after `step` leaves it."""
    shutil.copytree(run, out)
    for late in checkpoints(str(out)):
        if int(late.name.removeprefix("step-")) > step:
            shutil.rmtree(late)
    return str(out)


def alone(whole, data, out):
    recipe = parse_settings(whole, TrainConfig, where="test")
    return train(recipe, data=data, out=str(out), watch=SampleCaptions(data, str(out), recipe.stream))


def weights(out):
    return dict(load_model(str(out)).model.named_parameters())


@pytest.fixture(scope="module")
def runs(clip_folder, tmp_path_factory):
    """One process; two with DDP; two with FSDP2, also stopped between; two that go on from the one's checkpoint."""
    folder = tmp_path_factory.mktemp("runs")
    data = write_shades(str(folder / "data"), 60, every=3)
    whole = config(clip_folder)
    torch.set_num_threads(1)
    all_of_it = whole | {"stream": whole["stream"] | {"holdout_fraction": 0.0}, "steps": 2, "evaluate_every": 1}
    result = alone(whole, data, folder / "one")
    alone(all_of_it, data, folder / "one_without_holdout")
    cut(folder / "one", folder / "one_to_two")

    def job(out, kind, **more):
        return {"config": whole | {"parallel": kind}, "data": data, "out": str(folder / out), **more}

    run_ranks(
        [
            *(job("ddp", "ddp", signal=(0, 2, signal.SIGINT)), job("ddp", "ddp")),
            *(job("fsdp", "fsdp"), job("one_to_two", "fsdp")),
            *(job("stopped", "fsdp", signal=(1, 2, signal.SIGTERM)), job("stopped", "fsdp")),
            job("fsdp_without_holdout", "fsdp") | {"config": all_of_it},
        ]
    )
    two_to_one = cut(folder / "fsdp", folder / "two_to_one")
    train(parse_settings(whole, TrainConfig, where="test"), data=data, out=two_to_one)
    return folder, data, result


@pytest.mark.parametrize("name", ["ddp", "fsdp", "one_to_two", "two_to_one"])
def test_two_ranks_give_the_losses_and_weights_of_one(runs, name):
    folder, _, result = runs
    assert losses(folder / name) == pytest.approx(losses(folder / "one"), abs=2e-5)
    lines = (folder / name / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["heldout_loss"] == pytest.approx(result.heldout_loss, abs=2e-5)
    expected = weights(folder / "one")
    for parameter, found in weights(folder / name).items():
        torch.testing.assert_close(found, expected[parameter], atol=2e-5, rtol=1e-4, msg=f"{name} {parameter}")


def test_ranks_that_are_signalled_one_of_them_alone_leave_after_the_same_step_and_lose_nothing(runs):
    folder, _, _ = runs
    for name in ("ddp", "stopped"):
        assert [int(one.name[5:]) for one in checkpoints(str(folder / name))] == [2, 3, 4], name
    assert losses(folder / "stopped") == losses(folder / "fsdp")
    found, expected = weights(folder / "stopped"), weights(folder / "fsdp")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["ddp", "fsdp", "one_to_two", "stopped"])
def test_ranks_say_of_pictures_what_one_process_says(runs, name):
    folder, _, _ = runs
    said = read_samples(folder / name / "samples.jsonl")
    assert [line.get("step") for line in said] == [None, 2, 4]
    assert said == read_samples(folder / "one" / "samples.jsonl")
    assert any(said[2]["captions"])


def test_sharded_ranks_speak_also_right_after_a_step_that_no_held_out_loss_follows(runs):
    folder, _, _ = runs
    said = read_samples(folder / "fsdp_without_holdout" / "samples.jsonl")
    assert said == read_samples(folder / "one_without_holdout" / "samples.jsonl")
    assert [line.get("step") for line in said] == [None, 1, 2]


def test_the_ranks_saw_rows_without_an_image(runs, clip_folder):
    from infimm_data.stream.stream import Stream
    from model.tokenizer import load_tokenizer

    _, data, _ = runs
    recipe = parse_settings(config(clip_folder), TrainConfig, where="test")
    vocabulary = load_tokenizer(recipe.model.tokenizer).vocabulary
    with Stream(data, vocabulary, recipe.stream, image_side=16, rows=1) as stream:
        seen = [len(next(stream).images) for _ in range(16)]
    assert 0 in seen
    assert max(seen) > 0


def test_a_checkpoint_of_two_ranks_holds_a_shard_of_each(runs):
    folder, _, _ = runs
    (last,) = checkpoints(str(folder / "fsdp"))[-1:]
    files = sorted(file.name for file in (last / "tensors").iterdir())
    assert files == [f"shard-0000{r}-model-0000{i}-of-00002.safetensors" for r in (1, 2) for i in (1, 2)]
    one = checkpoints(str(folder / "one"))[-1]
    sizes = [sum(file.stat().st_size for file in (place / "tensors").glob("shard-00001-*")) for place in (last, one)]
    assert sizes[0] < 0.7 * sizes[1]


@pytest.mark.parametrize("micro_rows", [None, 2])
def test_rows_that_cannot_be_dealt_out_evenly_are_one_clear_line(clip_folder, micro_rows):
    recipe = parse_settings(config(clip_folder, micro_rows=micro_rows), TrainConfig, where="test")
    with pytest.raises(ConfigError, match=r"rows_per_step 4 is no multiple of 3 ranks.*; all ranks take as many"):
        rows_of_rank(recipe, World(torch.device("cpu"), 0, 3))
    assert rows_of_rank(recipe, World(torch.device("cpu"), 0, 2)) == 2


def test_without_a_launcher_there_is_one_rank_and_no_device_is_made_up():
    with joined("cpu") as world:
        assert (world.rank, world.size, world.is_first) == (0, 1, True)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="there is no CUDA device here"), joined("cuda"):
            pass
