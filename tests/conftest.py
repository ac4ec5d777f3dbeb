"""What tests of several rooms share: one small Ray for all that need it, and shapes in signatures that are checked."""

from __future__ import annotations

import os
from pathlib import Path

import jaxtyping
import pytest

ROOT = Path(__file__).resolve().parents[1]
# Before the first import of these modules, or their signatures stay unchecked.
HOOK = jaxtyping.install_import_hook(
    [
        "model.perceiver",
        "model.media",
        "model.cross_attention",
        "model.semantics",
        "model.language",
        "model.vision",
        "model.infimm",
    ],
    "beartype.beartype",
)


def pytest_collection_modifyitems(items):
    """The story first: it takes as long as half of all others, which run beside it in a second process."""
    items.sort(key=lambda item: item.path.name != "test_end_to_end.py")


def pytest_make_parametrize_id(config, val, argname):
    """Name bytes by their number: gzip writes the time into them, and two processes must agree on every name."""
    return f"{argname}_{len(val)}_bytes" if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def cluster():
    """An embedded Ray with 2 logical CPUs, started by the first test that asks for it."""
    from pipelines.executor import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # so that workers find the functions and sources that tests define
    with Cluster(workers=2) as started:
        assert started.num_cpus == 2
        yield started
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
