"""Functions that tests run on Ray's workers."""

from __future__ import annotations

import os
import time
from pathlib import Path

from infimm_data.errors import ConfigError, SourceError
from pipelines.workers import Model


def double_later(number, count):
    """The first tasks end last."""
    time.sleep(0.02 * (count - number))
    return 2 * number


def fail_first(number, folder):
    """Fail on the first call for a number and succeed on the second."""
    mark = Path(folder) / str(number)
    if number == 1 and not mark.exists():
        mark.touch()
        raise OSError("not yet")
    return number


def fail_always(number, bad):
    """Fail for the numbers in `bad`."""
    if number in bad:
        raise SourceError(f"dump {number} is cut off")
    if number < 0:
        raise ZeroDivisionError("a bug")
    return number


def die_first(number, folder):
    """Take the worker down on the first call."""
    mark = Path(folder) / str(number)
    if not mark.exists():
        mark.touch()
        os._exit(1)
    return number


def die_always(number):
    """Take the worker down whenever the number is 1."""
    if number == 1:
        os._exit(1)
    return number


def load_counted(folder):
    """Leave one mark per load; the model is the process that loaded it."""
    Path(folder, f"{os.getpid()}-{time.monotonic_ns()}").touch()
    return os.getpid()


def load_and_die():
    """A model that takes its process down."""
    os._exit(1)


def load_nothing(path):
    """A model whose weights are not there."""
    raise ConfigError(f"{path}: no weights")


def ask_model(model, number):
    """Answer whether the call runs where the model was loaded."""
    return number, model == os.getpid()


def ask_mortal_model(model, number, folder):
    """Take the worker down on the first call for number 1."""
    return die_first(number, folder) if number == 1 else number


def say_where_and_sleep(number, folder):
    """Leave a mark named by this process, and never come back."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)


def model_of_pid():
    """A model that knows the process that loaded it."""
    return Model(os.getpid, ())
