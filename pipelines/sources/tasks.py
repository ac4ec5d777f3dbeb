"""Task sets (COCO captions, VQAv2, GQA, ScienceQA, ...) from their official files, asked with InfiMM's prompts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infimm_data.document import Document, ImageNode, Node, Origin, TextNode, new_document
from infimm_data.errors import ConfigError
from infimm_data.files import exists, resolve
from pipelines.annotations.image_folder import WEB, ImageFolder
from pipelines.annotations.joining import join_rows
from pipelines.annotations.reading import list_items, previewed, rows_answered
from pipelines.annotations.rows import Damage, Row, open_rows, read_rows
from pipelines.annotations.tasks import TASKS, NotARow, Task, TaskName, exchanges_of
from pipelines.sources.contract import Answer, Preview, Skipped, WorkItem

_IDS = ("question_id", "questionId", "id", "caption_id")


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """task: a name of `pipelines.annotations.tasks.TASKS`, which also lists the files; path: its file(s).

    annotations: the file with the answers, where they do not stand beside the questions (VQAv2, OK-VQA); then
    `path` is one file. images_root: the folder below which the images lie; None takes them from the addresses in
    the rows. image_name: another pattern for the name of an image, e.g. "COCO_val2014_{image_id:012d}.jpg". prompt:
    another one than InfiMM's. split: only rows of this split. max_image_bytes: larger image files are none.
    """

    task: TaskName
    path: str
    annotations: str | None = None
    images_root: str | None = None
    image_name: str | None = None
    prompt: str | None = None
    split: str | None = None
    max_image_bytes: int = 20_000_000

    def __post_init__(self) -> None:
        """Raise ConfigError where the images cannot be anywhere."""
        if self.images_root is None and not self._task.urls:
            raise ConfigError(f"'images_root' is missing; the rows of {self.task} name image files, not addresses")

    @property
    def _task(self) -> Task:
        return TASKS[self.task]

    def work_items(self) -> list[WorkItem]:
        """List the files, sorted by name; raises ConfigError where there is none, or no `annotations` file."""
        items = list_items(self.path, "tasks")
        if self.annotations is not None:
            if not exists(resolve(self.annotations)):
                raise ConfigError(f"annotations {self.annotations!r}: no such file. Check the path.")
            if len(items) != 1:
                raise ConfigError(f"path {self.path!r} holds {len(items)} files, but 'annotations' is one; give one")
            items = [replace(items[0], beside=(resolve(self.annotations),))]
        return items

    def read(self, item: WorkItem) -> Iterator[Answer]:
        """Yield a document for each row; raises SourceError where the file holds none.

        Left out, by reason: `no_answer`, `rejected`, `other_split`, `bad_row`, `unsafe_image_name`, `no_image_name`.
        """
        with open_rows(item.path) as file:
            rows: Iterator[Row | Damage] = read_rows(file, self._task.place)
            names = self._names(item)
            if self.annotations is None:
                yield from rows_answered(rows, item.name, self._task.place, self._answers(item, names))
                return
            with open_rows(resolve(self.annotations)) as beside:
                both = join_rows(rows, read_rows(beside, "annotations"), "question_id")
                yield from rows_answered(both, item.name, self._task.place, self._answers(item, names))

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (name, image file) of the wanted images that lie in the folder."""
        return self._folder.read(urls, self.max_image_bytes)

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Tell what the beginning of the first file holds, extrapolated."""
        return previewed(items, self._task.place, lambda item: self._looked_at)

    def _looked_at(self, row: Row) -> Iterator[Answer]:
        yield Document(id="", nodes=(ImageNode(url=""),))  # its answer, or its image's name, may stand elsewhere

    @property
    def _folder(self) -> ImageFolder:
        return ImageFolder(self.images_root or WEB[1])

    def _names(self, item: WorkItem) -> dict[Any, dict[str, Any]]:
        """Return what a list of images says of each, by its id; about 300 bytes an image (120,000 in COCO)."""
        if not self._task.names:
            return {}
        with open_rows(item.path) as file:
            rows = [row.data for row in read_rows(file, self._task.names) if isinstance(row, Row)]
        wanted = ("file_name", *self._task.urls)
        return {row["id"]: {name: row.get(name) for name in wanted} for row in rows if _has_id(row)}

    def _answers(self, item: WorkItem, names: Mapping[Any, dict[str, Any]]) -> Any:
        def answers(row: Row) -> Iterator[Answer]:
            name = next((str(row.data[key]) for key in _IDS if _named(row.data, key)), row.key)
            try:
                nodes = self._nodes(row, names)
            except NotARow as problem:
                yield Skipped(reason=problem.reason, offset=row.offset, url=name, detail=str(problem))
            else:
                yield new_document(nodes, Origin(dump=item.name, offset=row.offset, url=name))

        return answers

    def _nodes(self, row: Row, names: Mapping[Any, dict[str, Any]]) -> tuple[Node, ...]:
        if not isinstance(row.data, dict):
            raise NotARow("bad_row", f"found {type(row.data).__name__}, expected an object")
        task, data = self._task, row.data
        if self._task.names and isinstance(image_id := data.get("image_id"), str | int):
            data = {**data, **names.get(image_id, {})}
        split = data.get(task.split)
        if self.split is not None and task.splits.get(split, split) != self.split:
            raise NotARow("other_split", str(split)[:80])
        exchanges = exchanges_of(data, task, task.prompt if self.prompt is None else self.prompt)
        shown = self._shown(row.key, data)
        nodes: list[Node] = [] if shown is None else [ImageNode(url=shown, role="user")]
        for question, answer in exchanges:
            nodes.append(TextNode(text=question, role="user", loss=False))
            nodes.append(TextNode(text=answer, role="assistant"))
        return tuple(nodes)

    def _shown(self, key: str, data: Mapping[str, Any]) -> str | None:
        """Return the URL of a row's image; None where it is a row about none, as half of ScienceQA's are."""
        task = self._task
        if task.choices and data.get("image") in (None, ""):
            return None
        if self.images_root is None:
            found = next((data[name] for name in task.urls if isinstance(data.get(name), str)), None)
            if found is None or not found.startswith(WEB):
                raise NotARow("no_image_name", f"no address in {', '.join(task.urls)}")
            return str(found)
        pattern = self.image_name or task.image
        try:
            name = pattern.format(**{**data, "key": key})
        except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
            raise NotARow("no_image_name", f"{pattern!r} does not fit the row ({error!r})") from None
        url = self._folder.url(name)
        if url is None:
            raise NotARow("unsafe_image_name", f"{name[:200]!r} does not lie in the folder of images")
        return url


def _named(data: Any, key: str) -> bool:
    return isinstance(data, dict) and isinstance(data.get(key), str | int)


def _has_id(row: Any) -> bool:
    return _named(row, "id")
