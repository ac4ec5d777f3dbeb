"""What a dry run tells: a sample of the first work item in stored bytes, or what the source itself knows."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import pytest

from infimm_data.document import Document, ImageNode, Origin, TextNode, new_document
from infimm_data.errors import SourceError
from pipelines.preview import preview, sampled
from pipelines.sources.contract import Preview, Skipped, WorkItem


@dataclass(kw_only=True)
class Made:
    """Work items of 10 bytes per answer; every document has two images, every third answer is none."""

    answers: int = 10
    files: int = 4
    has_offsets: bool = True
    problem: str = ""
    pause_s: float = 0.0
    read_answers: list[int] = field(default_factory=list)

    def work_items(self) -> list[WorkItem]:
        return [
            WorkItem(index=n, name=f"{n}.x", path=f"/{n}.x", size_bytes=10 * self.answers) for n in range(self.files)
        ]

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        if self.problem:
            raise SourceError(self.problem)
        for number in range(self.answers):
            self.read_answers.append(number)
            time.sleep(self.pause_s)
            offset = 10 * number if self.has_offsets else -1
            if number % 3 == 2:
                yield Skipped(reason="http_404", offset=offset)
            else:
                nodes = (TextNode(text="a"), ImageNode(url="u"), ImageNode(url="v"))
                yield new_document(nodes, Origin(dump=item.name, offset=offset))

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        yield from ()


class Knowing(Made):
    """A source that knows its columns."""

    def preview(self, items) -> Preview:
        return Preview(columns=("url", "text"), num_documents=len(items), how="row counts")


def test_a_first_item_that_is_read_whole_is_extrapolated_by_size():
    made = Made(answers=9)
    found = preview(made, made.work_items())
    assert (found.num_documents, found.num_images) == (4 * 6, 4 * 12)
    assert found.how == "6 documents in 0.00 MB of 0.x"
    assert found.seconds is not None


def test_the_only_item_read_whole_is_exact():
    made = Made(files=1, answers=9)
    assert preview(made, made.work_items()).how == "all of 0.x"


def test_a_sample_stops_at_its_bound_and_counts_the_bytes_before_it():
    made = Made(answers=3_000)
    found = sampled(made, made.work_items(), max_documents=20)
    assert len(made.read_answers) == 30  # 20 documents, 9 that are none, and the answer whose offset is the end
    assert (found.num_documents, found.num_images) == (8_276, 16_552)  # 20 in 290 of 120,000 bytes


def test_a_sample_stops_when_its_time_is_up():
    made = Made(answers=3_000, pause_s=0.01)
    assert sampled(made, made.work_items(), max_seconds=0.05).num_documents == pytest.approx(8_000, rel=0.2)
    assert len(made.read_answers) < 20


def test_without_offsets_nothing_is_guessed():
    made = Made(answers=300, has_offsets=False)
    found = sampled(made, made.work_items(), max_documents=5)
    assert (found.num_documents, found.num_images, found.seconds) == (None, None, None)
    assert found.how == "0.x does not say how many bytes its first 5 documents take"


@pytest.mark.parametrize(("files", "answers"), [(0, 1), (2, 0)])
def test_nothing_to_read_is_no_error(files, answers):
    made = Made(files=files, answers=answers)
    assert preview(made, made.work_items()).num_documents == (0 if files == 0 else None)


def test_a_sample_that_cannot_be_read_says_so():
    made = Made(problem="0.x: not an archive")
    found = preview(made, made.work_items())
    assert found == Preview(how="the sample cannot be read: 0.x: not an archive")


def test_a_source_that_knows_is_not_sampled():
    made = Knowing()
    assert preview(made, made.work_items()).columns == ("url", "text")
    assert made.read_answers == []
