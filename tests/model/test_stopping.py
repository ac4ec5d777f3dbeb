"""A stop that is asked for: once is a request, however often it is passed on; twice is an end."""

import signal
import threading

import pytest
import torch

from model.parallel import World
from model.stopping import SAME_S, Stop
from tests.model.rank import forks

CPU = torch.device("cpu")
ALONE, SECOND_OF_TWO = World(CPU), World(CPU, 1, 2)


@pytest.fixture(autouse=True)
def _ctrl_c_interrupts():
    """A shell's background job is born with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_said_once(number, caplog):
    stop = Stop(ALONE)
    with stop.noting_signals():
        assert not stop.is_asked
        signal.raise_signal(number)
        assert stop.is_asked
    assert caplog.messages == ["stopping after this step, with a checkpoint; once more stops at once"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_leaves_at_once():
    with Stop(ALONE).noting_signals():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_what_a_launcher_passes_on_a_second_time_is_the_same_request():
    seconds = [0.0]
    stop = Stop(SECOND_OF_TWO, clock=lambda: seconds[0])
    with stop.noting_signals():
        signal.raise_signal(signal.SIGTERM)
        seconds[0] = SAME_S - 0.1
        signal.raise_signal(signal.SIGTERM)
        assert stop.is_asked


def _signalled_twice() -> None:
    seconds = [0.0]
    with Stop(SECOND_OF_TWO, clock=lambda: seconds[0]).noting_signals():
        signal.raise_signal(signal.SIGTERM)
        seconds[0] = SAME_S
        signal.raise_signal(signal.SIGTERM)


def test_a_later_one_ends_a_rank_without_waiting_for_others():
    rank = forks.Process(target=_signalled_twice)
    rank.start()
    rank.join(100)
    assert rank.exitcode == -signal.SIGTERM


def test_one_rank_of_many_that_was_asked_stops_all(caplog):
    stop = Stop(ALONE)
    stop.settle(0)
    assert not stop.is_agreed
    stop.settle(1)
    assert stop.is_agreed
    assert len(caplog.messages) == 1


def test_another_way_to_ask_is_looked_at_by_the_first_rank_alone():
    assert Stop(ALONE, lambda: True).is_asked
    assert not Stop(SECOND_OF_TWO, lambda: True).is_asked


def test_a_thread_notes_no_signals():
    found = []

    def run() -> None:
        with Stop(ALONE).noting_signals():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
