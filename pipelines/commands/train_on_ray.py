"""Training inside Ray: Ray Train places one worker per GPU and joins them; what they run is `model.train.train`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch

from infimm_data.config import parse_settings
from infimm_data.errors import ConfigError, InfiMMError
from infimm_data.progress import Track
from model.checkpoint import checkpoints
from model.config import TrainConfig
from model.parallel import World
from model.sample_captions import SampleCaptions
from model.stopping import Stop
from model.train import TrainResult, train
from model.train_log import read_metrics
from pipelines.executor import OFF, Cluster

MAX_FAILURES = (
    3  # lost workers (preempted, out of memory) after which a run gives up; each time it goes on where it was
)
LOCAL = "local"
STOP = "stop"  # a file below OUT: while it is there, the ranks stop after their step
SECONDS_BETWEEN_LOOKS = 1.0  # at the log of the run, for its progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Where a run takes its data and puts what it makes: paths that every worker reaches under the same name.

    replaces: the `marks` of the checkpoints that a run which starts anew found, None where it goes on from them.
    """

    data: str
    out: str
    start: str | None
    replaces: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """The run was asked to stop. line: what to say of it."""

    line: str


def marks(out: str) -> tuple[str, ...]:
    """Return name and time of each checkpoint of a run: others than before once its first new one is there."""
    return tuple(f"{one.name} {one.stat().st_mtime_ns}" for one in checkpoints(out))


def train_on_ray(config: TrainConfig, launch: Launch, *, address: str, workers: int | None) -> TrainResult:
    """Train in Ray workers, one rank each, and return how the run ended.

    address: of a running cluster, or "local" for Ray on this machine; workers: ranks, None for one per GPU (one on the
    CPU where there is none). A worker that is lost starts all of them again from the last checkpoint.

    Ctrl-C and SIGTERM end the workers after a step, with a checkpoint, by KeyboardInterrupt; a second one at once.

    Raises ConfigError when the cluster does not answer or has no room for the workers, InfiMMError when training fails.
    """
    if address == OFF:
        raise ConfigError(f"--ray {OFF}: leave the flag out to train without Ray")
    with Cluster(address=None if address == LOCAL else address) as cluster:
        gpus, cpus = cluster.num_gpus, cluster.num_cpus
        is_cuda = config.device != "cpu" and gpus > 0
        there = gpus if is_cuda else cpus
        count = workers or (gpus if is_cuda else 1)
        if count > there:
            raise ConfigError(
                f"--workers {count}: the cluster has {there} {'GPUs' if is_cuda else 'CPUs'}; ask for fewer"
            )
        return _fit(config, launch, count, is_cuda=is_cuda)


def _fit(config: TrainConfig, launch: Launch, count: int, *, is_cuda: bool) -> TrainResult:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    trainer = TorchTrainer(
        cast(Any, _rank),  # Ray's type forgets that a worker may return something
        train_loop_config={
            "config": config.model_dump(mode="json"),
            "launch": asdict(launch),
            "folder": os.getcwd(),
        },
        scaling_config=ScalingConfig(num_workers=count, use_gpu=is_cuda),
        run_config=RunConfig(
            name="ray",
            storage_path=str(Path(launch.out).resolve()),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
        ),
    )
    try:
        with _Progress(launch, config.steps):
            result = _stoppable(trainer.fit, Path(launch.out) / STOP)
    except TrainingFailedError as error:
        raise InfiMMError(f"training on Ray failed: {_cause(error)}; the same command goes on from here") from None
    found: TrainResult | InfiMMError | Stopped = cast(Any, result).return_value
    if isinstance(found, InfiMMError):
        raise found
    if isinstance(found, Stopped):
        raise KeyboardInterrupt(found.line)
    return found


def _stoppable(fit: Callable[[], Any], asked: Path) -> Any:
    """Return what `fit` returns; Ctrl-C and SIGTERM make the file `asked`, which the first rank looks for.

    In a thread of its own, as Ray would else set a handler that aborts the run without a checkpoint.
    """
    asked.unlink(missing_ok=True)
    stop, thread = Stop(World(torch.device("cpu"))), ThreadPoolExecutor(1)
    try:
        with stop.noting_signals():
            fitting = thread.submit(fit)
            while not fitting.done():
                wait([fitting], timeout=SECONDS_BETWEEN_LOOKS)
                if stop.is_asked:
                    asked.touch()
        return fitting.result()
    finally:
        thread.shutdown(wait=False)
        asked.unlink(missing_ok=True)


def _rank(given: dict[str, Any]) -> TrainResult | InfiMMError | Stopped:
    """What each worker runs, all to the same end; errors are returned, as Ray would try again what it sees fail."""
    os.chdir(given["folder"])  # so that a recipe's relative paths mean what they mean where the command was given
    config = parse_settings(given["config"], TrainConfig, where="recipe")
    launch = Launch(**given["launch"])
    try:
        # Workers that are started again go on from what the first ones wrote; those remove the old run's checkpoints,
        # once recipe and data turn out to be right.
        goes_on = launch.replaces is None or marks(launch.out) != tuple(launch.replaces)
        return train(
            config, data=launch.data, out=launch.out, resume=goes_on, start=launch.start,
            watch=SampleCaptions(launch.data, launch.out, config.stream, keeps=goes_on),
            asks_to_stop=(Path(launch.out) / STOP).exists,
        )  # fmt: skip
    except InfiMMError as error:
        return error
    except KeyboardInterrupt as stop:
        return Stopped(str(stop))


def _cause(error: BaseException) -> str:
    """Return the last line of what went wrong in a worker: Ray wraps it in traces of its own."""
    failures = getattr(error, "worker_failures", None) or {0: error}
    cause: BaseException = next(iter(failures.values()))
    while getattr(cause, "cause", None) is not None:
        cause = cause.cause  # type: ignore[attr-defined]  # asked above
    return (str(cause).strip().splitlines() or [repr(cause)])[-1]


class _Progress:
    """Shows the progress of a run from the log that it writes, as the workers' own words stay where they are."""

    def __init__(self, launch: Launch, steps: int) -> None:
        self._metrics, self._steps = Path(launch.out) / "metrics.jsonl", steps
        self._old = [] if launch.replaces is None else read_metrics(self._metrics)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def _follow(self) -> None:
        shown = max((line["step"] for line in self._lines()), default=0)
        with Track("train", self._steps - shown, unit="steps") as track:
            while not self._is_over.wait(SECONDS_BETWEEN_LOOKS):
                lines = [line for line in self._lines() if "loss" in line]
                if lines and lines[-1]["step"] > shown:
                    track.advance(lines[-1]["step"] - shown, note=f"loss {lines[-1]['loss']:.3f}")
                    shown = lines[-1]["step"]

    def _lines(self) -> list[dict[str, Any]]:
        """Return the lines of this run: none while those of the run that it replaces are still there."""
        lines = read_metrics(self._metrics)
        return [] if lines == self._old else lines

    def __enter__(self) -> _Progress:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()
