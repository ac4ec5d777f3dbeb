"""The feature cache: equal results, bounded, and damage costs a computation, never a run."""

import os
import time

import pytest
import torch

from infimm_data.errors import ConfigError
from model.feature_cache import FeatureCache
from model.train import train
from model.train_log import read_metrics
from tests.model.conftest import pictures, tiny_model
from tests.model.shades import losses

CPU = torch.device("cpu")
ENTRY = 4 * 24 * 4  # bytes of an image's features: 4 patches, 24 wide, fp32


@pytest.fixture
def tower():
    return tiny_model().vision


def cache(folder, tower, *, max_bytes=10**6, digest="d", precision="fp32"):
    return FeatureCache(str(folder), tower, max_bytes=max_bytes, digest=digest, precision=precision)


def test_features_are_the_towers_the_first_time_and_from_disk(tower, tmp_path):
    images = pictures(3)
    first = cache(tmp_path, tower)
    assert torch.equal(first.features(images, CPU), tower(images))
    assert (first.hits, first.misses) == (0, 3)
    again = cache(tmp_path, tower)
    more = torch.cat([images[2:], pictures(1, seed=9), images[:1]])
    torch.testing.assert_close(again.features(more, CPU), tower(more), atol=1e-6, rtol=0)
    assert (again.hits, again.misses) == (2, 1)


def test_another_tower_or_precision_has_entries_of_its_own(tower, tmp_path):
    cache(tmp_path, tower).features(pictures(1), CPU)
    for other in ({"digest": "e"}, {"precision": "bf16"}):
        asked = cache(tmp_path, tower, **other)
        asked.features(pictures(1), CPU)
        assert asked.misses == 1


def test_a_full_cache_takes_no_more_and_goes_on(tower, tmp_path):
    asked = cache(tmp_path, tower, max_bytes=3 * ENTRY)
    asked.features(pictures(5), CPU)
    files = list(tmp_path.glob("*/*.safetensors"))
    assert 1 <= len(files) <= 2
    asked.features(pictures(5), CPU)
    assert asked.hits == len(files)
    full = cache(tmp_path, tower, max_bytes=1)
    full.features(pictures(2, seed=7), CPU)
    assert list(tmp_path.glob("*/*.safetensors")) == files


@pytest.mark.parametrize("damage", [b"", b"\xff" * 100, None])
def test_a_damaged_entry_is_made_again(tower, tmp_path, damage):
    images = pictures(1)
    cache(tmp_path, tower).features(images, CPU)
    (file,) = tmp_path.glob("*/*.safetensors")
    if damage is None:
        from safetensors.torch import save_file

        save_file({"features": torch.zeros(4, 7)}, file)  # another tower's width
    else:
        file.write_bytes(damage)
    asked = cache(tmp_path, tower)
    assert torch.equal(asked.features(images, CPU), tower(images))
    assert (asked.damaged, asked.misses) == (1, 1)
    assert torch.equal(cache(tmp_path, tower).features(images, CPU), tower(images))


def test_only_old_leftovers_of_a_killed_process_are_removed(tower, tmp_path):
    for name in ("old", "new"):
        (tmp_path / f".part-{name}").write_bytes(b"x")
    os.utime(tmp_path / ".part-old", (time.time() - 7200,) * 2)
    cache(tmp_path, tower)
    assert [file.name for file in tmp_path.iterdir()] == [".part-new"]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tower, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"feature_cache.folder .*file/in"):
        cache(tmp_path / "file" / "in", tower)


def test_a_run_with_the_cache_has_the_losses_of_one_without(data, recipe, tmp_path):
    plain = recipe(steps=3, checkpoint_every=None)
    cached = recipe(steps=3, checkpoint_every=None, feature_cache={"folder": str(tmp_path / "cache")})
    train(plain, data=data, out=str(tmp_path / "plain"))
    for name, hits in (("cold", 0.0), ("warm", 1.0)):
        train(cached, data=data, out=str(tmp_path / name))
        assert losses(tmp_path / name) == losses(tmp_path / "plain")
        assert read_metrics(tmp_path / name / "metrics.jsonl")[0]["cache_hits"] == hits
