"""Task sets (COCO captions, VQAv2, GQA, ScienceQA, ...) from their official files, asked with InfiMM's prompts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infimm_data.document import ImageNode, Node, Origin, TextNode, new_document
from infimm_data.errors import ConfigError
from infimm_data.files import exists, resolve
from pipelines.annotations.image_folder import WEB, ImageFolder
from pipelines.annotations.joining import join_rows
from pipelines.annotations.reading import annotation_rows, rows_answered, rows_format
from pipelines.annotations.tasks import TASKS, NotARow, Task, TaskName, exchanges_of
from pipelines.records.files import Record, list_items
from pipelines.records.frame import preview_rows
from pipelines.records.json_lines import SUFFIXES
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
        items = list_items(self.path, SUFFIXES, "tasks")
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
        reading = _Reading(self, item)
        rows = annotation_rows(item, reading.task.place)
        if self.annotations is not None:
            beside = replace(item, path=resolve(self.annotations))
            rows = join_rows(rows, annotation_rows(beside, "annotations"), "question_id")
        return rows_answered(rows, item.name, reading.task.place, reading.answers)

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (name, image file) of the wanted images that lie in the folder."""
        if self.images_root is not None:
            yield from ImageFolder(self.images_root).read(urls, self.max_image_bytes)

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Tell what the beginning of the first file holds, extrapolated."""
        return preview_rows(self, items, rows_format(self._task.place))


class _Reading:
    """Reads the rows of one file; knows the names of its images where a list of them gives these."""

    def __init__(self, source: Tasks, item: WorkItem) -> None:
        self.task = TASKS[source.task]
        self._item, self._split = item, source.split
        self._prompt = self.task.prompt if source.prompt is None else source.prompt
        self._folder = None if source.images_root is None else ImageFolder(source.images_root)
        self._pattern = source.image_name or self.task.image
        self._names = _names(item, self.task) if self.task.names else {}

    def answers(self, row: Record) -> Iterator[Answer]:
        """Yield what becomes of a row."""
        name = next((str(row.data[key]) for key in _IDS if _has_id(row.data, key)), row.key)
        try:
            nodes = self._nodes(row)
        except NotARow as problem:
            yield Skipped(reason=problem.reason, offset=row.offset, url=name, detail=str(problem))
        else:
            yield new_document(nodes, Origin(dump=self._item.name, offset=row.offset, url=name))

    def _nodes(self, row: Record) -> tuple[Node, ...]:
        if not isinstance(row.data, dict):
            raise NotARow("bad_row", f"found {type(row.data).__name__}, expected an object")
        data: Mapping[str, Any] = row.data
        if self._names and _has_id(data, "image_id"):
            data = {**data, **self._names.get(data["image_id"], {})}
        if self._split is not None and (split := self._split_of(data)) != self._split:
            raise NotARow("other_split", split)
        exchanges = exchanges_of(data, self.task, self._prompt)
        shown = self._shown(row.key, data)
        nodes: list[Node] = [] if shown is None else [ImageNode(url=shown, role="user")]
        for question, answer in exchanges:
            nodes.append(TextNode(text=question, role="user", loss=False))
            nodes.append(TextNode(text=answer, role="assistant"))
        return tuple(nodes)

    def _split_of(self, data: Mapping[str, Any]) -> str:
        split = str(data.get(self.task.split))[:80]
        return self.task.splits.get(split, split)

    def _shown(self, key: str, data: Mapping[str, Any]) -> str | None:
        """Return the URL of a row's image; None where it is a row about none, as half of ScienceQA's are."""
        if self.task.choices and data.get("image") in (None, ""):
            return None
        if self._folder is None:
            return _address(data, self.task.urls)
        try:
            name = self._pattern.format(**{**data, "key": key})
        except (KeyError, ValueError, IndexError, AttributeError, TypeError) as error:
            raise NotARow("no_image_name", f"{self._pattern!r} does not fit the row ({error!r})") from None
        if self.task.suffix_varies:
            name = self._folder.other_suffix(name) or name
        url = self._folder.url(name)
        if url is None:
            raise NotARow("unsafe_image_name", self._folder.refusal(name))
        return url


def _address(data: Mapping[str, Any], names: Sequence[str]) -> str:
    found = next((data[name] for name in names if isinstance(data.get(name), str)), "")
    if not found.startswith(WEB):
        raise NotARow("no_image_name", f"no address in {', '.join(names)}")
    return str(found)


def _names(item: WorkItem, task: Task) -> dict[Any, dict[str, Any]]:
    """Return what the list of images says of each, by its id; about 300 bytes an image, of which COCO has 120,000."""
    wanted = ("file_name", *task.urls)
    rows = (
        row.data for row in annotation_rows(item, task.names) if isinstance(row, Record) and _has_id(row.data, "id")
    )
    return {row["id"]: {name: row.get(name) for name in wanted} for row in rows}


def _has_id(data: Any, key: str) -> bool:
    return isinstance(data, dict) and isinstance(data.get(key), str | int)
