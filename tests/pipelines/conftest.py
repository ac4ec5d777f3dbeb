"""One finished build of the made dump, for all tests that look at one."""

from __future__ import annotations

import pytest

from pipelines.build import build
from pipelines.layout import Layout
from pipelines.run import Run
from tests.pipelines.made_source import WEB, make_recipe, write_dump
from tests.web_server import HostileWeb


@pytest.fixture(scope="session")
def web():
    """Where the images lie that the dump does not hold."""
    with HostileWeb() as served:
        yield served


@pytest.fixture(scope="session")
def dump(tmp_path_factory):
    """Three work items."""
    return write_dump(tmp_path_factory.mktemp("dump"))


@pytest.fixture(scope="session")
def first(tmp_path_factory, cluster, web, dump):
    """A finished build, to be copied and never changed."""
    out = tmp_path_factory.mktemp("first") / "out"
    build(Run(make_recipe(dump), Layout(str(out)), cluster, {WEB: web.address}))
    return out
