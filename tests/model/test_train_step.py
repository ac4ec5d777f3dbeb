"""One step: weights of sources, what all ranks do when one cannot go on, and the ways to run it that change nothing."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from infimm_data.errors import InfiMMError, ShardError
from model.compiling import compile_model
from model.parallel import World
from model.train import train
from model.train_step import _targets_by_source, _weights, take_step
from model.training_run import begin
from tests.model.shades import losses

CPU = World(torch.device("cpu"))


@pytest.fixture
def started(recipe, data):
    """Make a run at step 0."""
    runs = []

    def start(**changed):
        runs.append(begin(recipe(**changed), CPU, data=data, start=None))
        return runs[-1]

    yield start
    for run in runs:
        run.stream.close()


def mixed(*, loss_mean="tokens", **sources):
    """A run of a mixture, and a batch of two rows in which "pages" has 3 targets and "pairs" 1."""
    run = SimpleNamespace(sources=sources, config=SimpleNamespace(loss_mean=loss_mean))
    labels = torch.tensor([[-100, 7, 8], [-100, 9, 9]])
    numbers = torch.tensor([[0, 0, 0], [1, 1, 0]], dtype=torch.int16)
    batch = SimpleNamespace(labels=labels, sources=numbers, input_ids=labels)
    counts = SimpleNamespace(targets=4, by_source=_targets_by_source(run, [batch]))
    return run, batch, counts


def test_targets_are_counted_for_the_source_of_the_predicted_token():
    assert mixed(pages=1.0, pairs=1.0)[2].by_source == [3, 1]


def test_without_weights_all_targets_count_alike():
    assert _weights(*mixed(pages=1.0, pairs=1.0)) is None


def test_a_token_counts_what_its_source_does():
    found = _weights(*mixed(pages=1.0, pairs=0.2))
    assert torch.allclose(found, torch.tensor([[1, 1, 1], [0.2, 0.2, 1]]))


def test_the_sum_of_means_does_not_depend_on_how_many_targets_a_source_has():
    found = _weights(*mixed(loss_mean="sources", pages=1.0, pairs=0.2))
    assert torch.allclose(found, torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.2, 0.2, 1 / 3]]))


def test_the_sum_of_means_of_one_source_is_the_mean_over_targets(recipe, data, tmp_path):
    for name in ("tokens", "sources"):
        train(recipe(steps=3, loss_mean=name), data=data, out=str(tmp_path / name))
    assert losses(tmp_path / "sources") == pytest.approx(losses(tmp_path / "tokens"), abs=1e-5)


@pytest.mark.parametrize(
    "changed", [{"activation_checkpointing": True}, {"loss_chunk": 17}, {"micro_rows": 1, "loss_chunk": 64}]
)
def test_ways_to_save_memory_change_no_loss(recipe, data, tmp_path, changed):
    train(recipe(steps=3), data=data, out=str(tmp_path / "plain"))
    train(recipe(steps=3, **changed), data=data, out=str(tmp_path / "saving"))
    assert losses(tmp_path / "saving") == pytest.approx(losses(tmp_path / "plain"), abs=2e-5)


def test_recomputed_activations_are_not_kept(started):
    kept = {}
    for is_on in (False, True):
        run = started(activation_checkpointing=is_on)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, to=sizes: to.append(x.nbytes) or x, lambda x: x):
            take_step(run, 0)
        kept[is_on] = sum(sizes)
    # The hooks of checkpoint hide what it computes again; with vocabulary-wide scores counted on both sides.
    assert kept[True] < 0.7 * kept[False]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # dynamo asks, and hides it otherwise
def test_rows_of_one_shape_compile_once_whatever_their_images(started, monkeypatch):
    import jaxtyping
    from torch._dynamo.testing import CompileCounterWithBackend

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # dynamo cannot trace its checks
    plain, compiled = started(), started()
    counter = CompileCounterWithBackend("eager")
    torch._dynamo.reset()
    compile_model(compiled.model, backend=counter)
    found = [[take_step(run, step) for step in range(5)] for run in (plain, compiled)]
    assert len({facts.num_images for facts in found[0]}) > 1
    for one, other in zip(*found, strict=True):
        assert other.loss_sum == pytest.approx(one.loss_sum, rel=1e-5)
    # One decoder layer for all, the feed-forward of a block, the vision tower: each at most once again, for any number
    # of tokens or images instead of the first.
    assert counter.frame_count <= 6
    torch._dynamo.reset()


def test_a_stream_that_ends_ends_the_run_at_its_last_whole_step(recipe, data, tmp_path, monkeypatch):
    from infimm_data.stream.stream import Stream

    more = Stream.__next__
    given = []

    def some(self):
        if len(given) == 5:
            raise StopIteration
        given.append(1)
        return more(self)

    monkeypatch.setattr(Stream, "__next__", some)
    result = train(recipe(micro_rows=2, checkpoint_every=None, log_every=10), data=data, out=str(tmp_path))
    assert result.steps == 2  # five passes of two rows are two steps of four
    assert result.skipped["document:row_without_step"] == 2
    assert result.checkpoint.endswith("step-00000002")
    assert len(losses(tmp_path)) == 1
    assert train(recipe(micro_rows=2), data=data, out=str(tmp_path)).steps == 2


def test_too_few_rows_for_a_step_are_one_clear_line(recipe, data, tmp_path, monkeypatch):
    from infimm_data.stream.stream import Stream

    def none(self):
        raise StopIteration

    monkeypatch.setattr(Stream, "__next__", none)
    with pytest.raises(InfiMMError, match="not enough rows for one step of 4; lower rows_per_step"):
        train(recipe(), data=data, out=str(tmp_path))


def test_a_rank_that_cannot_read_stops_the_others_with_it(started):
    run = started()
    calm = run.stream

    def broken():
        raise ShardError("00003.tar: 20 images in a row cannot be read")
        yield

    run.stream = broken()
    with pytest.raises(ShardError, match="20 images in a row"):
        take_step(run, 0)
    run.stream = calm

    class Two(World):
        def total(self, values):
            first, *rest = values
            return [first + 1, *rest]

        def gather(self, value):
            return [value, "00004.tar is damaged"]

    run.world = Two(CPU.device)
    with pytest.raises(InfiMMError, match=r"rank 1: 00004\.tar is damaged"):
        take_step(run, 0)


def test_an_overflow_stops_all_ranks_before_the_update(started):
    run = started()
    before = [p.clone() for p in run.model.parameters()]
    with torch.no_grad():
        run.model.perceiver.norm.bias[0] = float("inf")
    with pytest.raises(InfiMMError, match=r"step 3: loss nan, gradient norm .*lower optimizer.learning_rate"):
        take_step(run, 2)
    changed = [not torch.equal(p, q) for p, q in zip(run.model.parameters(), before, strict=True)]
    assert sum(changed) == 1


def test_the_facts_of_a_step_count_operations_of_all_slots_and_of_targets(started):
    run = started()
    facts = take_step(run, 0)
    assert facts.hardware_flops > facts.useful_flops > 0
    doubled = replace(run.flops, per_token=2 * run.flops.per_token)
    assert doubled.of(SimpleNamespace(tokens=10, pairs=0, active=0, seeing=0, images=0)) == 20 * run.flops.per_token
