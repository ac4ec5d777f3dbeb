"""Comparisons with peers: contenders take turns, one that fails is said and left out, medians have their range."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "alternating.py"


@pytest.fixture(scope="module")
def alternating():
    spec = importlib.util.spec_from_file_location("benchmark_alternating", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_contenders_take_turns_and_one_that_does_not_run_is_said_once(alternating):
    order, said = [], []

    def runs(name):
        order.append(name)
        if name == "b":
            raise alternating.DoesNotRunError("no such package")
        return len(order)

    found = alternating.in_turn({name: lambda name=name: runs(name) for name in "abc"}, 2, said.append)
    assert order == ["a", "b", "c", "a", "c"]
    assert found == {"a": [1, 4], "c": [3, 5]}
    assert said == ["b: does not run here: no such package"]


def test_the_figures_of_a_process_are_its_last_line(alternating):
    code = "import os; print('loading'); print('{\"seconds\": 2, \"of\": \"' + os.environ['WHOSE'] + '\"}')"
    assert alternating.call([sys.executable, "-c", code], WHOSE="peer") == {"seconds": 2, "of": "peer"}


def test_a_process_that_fails_says_why_in_one_line(alternating):
    with pytest.raises(alternating.DoesNotRunError, match=r"^ModuleNotFoundError: No module named 'no_such_peer'$"):
        alternating.call([sys.executable, "-c", "import no_such_peer"])


def test_a_median_stands_with_its_range(alternating):
    assert alternating.spread([3, 1, 2.25], 1) == "2.2 (1.0 to 3.0)"


def test_versions_are_those_of_the_interpreter_that_is_asked(alternating):
    (found,) = alternating.versions(sys.executable, ["pytest", "no-such-package"]).items()
    assert found == ("pytest", pytest.__version__)
