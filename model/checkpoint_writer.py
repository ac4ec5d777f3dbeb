"""Checkpoints, written: beside the training, each rank its shard, and seen by a reader only when all of it is there.

A save copies the tensors (training goes on when that is done), writes them in a thread into `.part-step-*`, flushes
them to disk and renames the folder. A crash at any moment leaves the last whole checkpoint, and perhaps a part that no
reader looks at and the next save removes.
"""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_saver import async_save

from infimm_data.errors import InfiMMError
from model.checkpoint import FORMAT, PREFIX, TENSORS, checkpoints, expect_one_process
from model.parallel import World
from model.tokenizer import Tokenizer
from model.train_state import WEIGHT


class CheckpointWriter:
    """Saves one checkpoint at a time; all ranks call the same methods. Use as a context manager: it ends with a wait.

    keep: checkpoints that stay, the latest.
    """

    def __init__(self, out: str, world: World, *, keep: int) -> None:
        """Prepare; nothing is written before the first save."""
        self._folder, self._world, self._keep = Path(out) / "checkpoints", world, keep
        # A group of its own: the thread that saves and the step that trains must not mix their messages.
        self._group = dist.new_group(backend="gloo") if world.size > 1 else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="infimm-checkpoint")
        self._pending: tuple[int, Future[Any]] | None = None
        expect_one_process()

    def save(self, step: int, tensors: dict[str, Tensor], about: dict[str, Any], tokenizer: Tokenizer) -> None:
        """Begin the checkpoint of a step; first waits for the one before. Returns when the tensors are copied.

        tensors: this rank's, whole or sharded, under names that agree on all ranks; about: entries of config.json.
        Raises InfiMMError when the checkpoint before could not be written.
        """
        self.wait()
        part = self._folder / f".part-{PREFIX}{step:08d}"
        if self._world.is_first:
            self._folder.mkdir(parents=True, exist_ok=True)
            for leftover in self._folder.glob(".part-*"):
                shutil.rmtree(leftover)
            (part / TENSORS).mkdir(parents=True)
        names = {name for own in self._gather(list(tensors)) for name in own}  # each rank has its own random state
        files = {name: 1 if name.startswith(WEIGHT) else 2 for name in names}
        response = async_save(
            cast(dict[str, Any], tensors),
            storage_writer=HuggingFaceStorageWriter(
                str(part / TENSORS), fqn_to_index_mapping=files, save_distributed=True
            ),
            process_group=self._group,
            no_dist=self._world.size == 1,
        )
        written = cast("Future[Any]", getattr(response, "upload_completion", response))
        if self._world.is_first:
            place = self._folder / f"{PREFIX}{step:08d}"
            written = self._thread.submit(self._finish, written, part, place, {"step": step, **about}, tokenizer)
        self._pending = step, written

    def poll(self) -> None:
        """Raise InfiMMError when the save under way has failed; does not wait."""
        if self._pending is not None and self._pending[1].done() and self._world.size == 1:
            self.wait()

    def wait(self) -> None:
        """Wait until the save under way, if any, is seen by every reader; raises InfiMMError when it failed."""
        if self._pending is None:
            return
        (step, written), self._pending = self._pending, None
        problem = None
        try:
            written.result()
        except (OSError, RuntimeError, CheckpointException) as error:
            causes = getattr(error, "failures", {}).values()
            problem = " ".join(str(next(iter(causes), (error,))[0]).split())[:300]
        problems = [one for one in self._gather(problem) if one is not None]
        if problems:
            raise InfiMMError(
                f"{self._folder}: the checkpoint of step {step} could not be written ({problems[0]}); the one before "
                "it is whole: make room and run the same command again"
            )

    def _gather(self, value: Any) -> list[Any]:
        """Return the value of every rank."""
        if self._group is None:
            return [value]
        found: list[Any] = [None] * self._world.size
        dist.all_gather_object(found, value, group=self._group)
        return found

    def _finish(
        self, written: Future[Any], part: Path, place: Path, about: dict[str, Any], tokenizer: Tokenizer
    ) -> None:
        written.result()
        tokenizer.save(str(part / "tokenizer"))
        (part / "config.json").write_text(json.dumps({"format": FORMAT, **about}, indent=1) + "\n")
        _sync(part)
        if place.exists():
            shutil.rmtree(place)
        os.replace(part, place)
        for old in checkpoints(str(self._folder.parent))[: -self._keep]:
            shutil.rmtree(old)

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Wait; after an error only for this rank's own thread, as the others may never come."""
        try:
            if kind is None:
                self.wait()
        finally:
            self._thread.shutdown(wait=kind is None or self._world.size == 1)


def _sync(folder: Path) -> None:
    """Flush every file to disk, so that the rename never shows a folder of empty files after a power cut."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
