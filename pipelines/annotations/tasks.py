"""The task sets of InfiMM's multi-task stage as data: where their official files hold rows, images and answers.

Prompts are those of InfiMM's README (INFIMM.md 2.3); they follow the question on a line of their own, as LLaVA-1.5
has it. Layouts are those of the files that each set publishes:

| task | file | rows |
|---|---|---|
| coco_captions | captions_train2014.json | annotations[] with image_id, caption; images[] with id, file_name |
| vizwiz_captions | train.json | as COCO; annotations[] also with is_rejected, is_precanned |
| textcaps | TextCaps_0.1_train.json | data[] with image_id, caption_str |
| vqav2, okvqa | *_questions.json, *_annotations.json | questions[] and annotations[], one question_id |
| vizwiz | train.json | [] with image, question, answers[].answer |
| textvqa | TextVQA_0.5.1_train.json | data[] with image_id, question, answers[] |
| stvqa | train_task_3.json | data[] with file_path, question, answers[] |
| docvqa | train_v1.0.json | data[] with image, question, answers[] |
| ocrvqa | dataset.json | {id: questions[], answers[], imageURL, split}: one conversation per image |
| gqa | train_balanced_questions.json | {id: imageId, question, answer} |
| scienceqa | problems.json | {id: question, choices[], answer, hint, image, split} |

Compared with what public loaders of the official files read: OCR-VQA in open-mmlab/mmpretrain (datasets/ocr_vqa.py;
its own script saves a cover with the suffix of imageURL, LLaVA's as .jpg), DocVQA (questionId, docId,
ucsf_document_id, data_split) as HuggingFaceM4/DocumentVQA lists them, ST-VQA (file_path below `train/`; dataset and
file_name beside it), TextCaps (dl.fbaipublicfiles.com/textvqa/data/textcaps: image_path, flickr_original_url beside
it), TextVQA (image_id with .jpg below `train_images/`), GQA in NVIDIA NeMo 1.0 (collections/vis/datasets: groups,
types, semantic, semanticStr and fullAnswer beside what is read).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DESCRIBE = "Please describe the image."
SHORT = "Answer the question using a single word or phrase."
UNANSWERABLE = f"When the provided information is insufficient, respond with 'Unanswerable'. {SHORT}"
LETTER = "Answer with the option's letter from the given choices directly."

TaskName = Literal[
    "coco_captions", "vizwiz_captions", "textcaps", "vqav2", "okvqa", "vizwiz", "textvqa", "stvqa", "docvqa",
    "ocrvqa", "gqa", "scienceqa",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """How the rows of a set become questions about an image.

    place: of the rows, see `pipelines.records.json_values`; image: name of the image file from the fields of
    the row, `key` being the name of the row itself; prompt: after the question, or all there is to ask; question,
    answers, choices, hint: names of fields, the first answers field that is there counts; names: place of a list
    that gives the image of each image_id its file_name; urls: fields with an address of the image; splits: what the
    split field holds -> the split's name; rejects: fields that are true where a row is not to be used; spelling:
    answers that the prompt spells in another way; suffix_varies: an image may lie there with another suffix.
    """

    place: str
    image: str
    prompt: str
    answers: tuple[str, ...]
    question: str = ""
    choices: str = ""
    hint: str = ""
    names: str = ""
    urls: tuple[str, ...] = ()
    split: str = "split"
    splits: Mapping[str, str] = field(default_factory=dict)
    rejects: tuple[str, ...] = ()
    spelling: Mapping[str, str] = field(default_factory=dict)
    suffix_varies: bool = False


_COCO = "COCO_train2014_{image_id:012d}.jpg"
_FLICKR = ("flickr_300k_url", "flickr_original_url")  # the 300k first: the size that the sets were annotated on

TASKS: dict[TaskName, Task] = {
    "coco_captions": Task(
        place="annotations", names="images", image="{file_name}", urls=("coco_url", "flickr_url"),
        prompt=DESCRIBE, answers=("caption",),
    ),
    "vizwiz_captions": Task(
        place="annotations", names="images", image="{file_name}", urls=("vizwiz_url",),
        prompt=DESCRIBE, answers=("caption",), rejects=("is_rejected", "is_precanned"),
    ),
    "textcaps": Task(
        place="data", image="{image_id}.jpg", urls=_FLICKR, prompt=DESCRIBE, answers=("caption_str", "reference_strs"),
        split="set_name",
    ),
    "vqav2": Task(
        place="questions", image=_COCO, question="question", prompt=SHORT, answers=("multiple_choice_answer", "answers")
    ),
    "okvqa": Task(
        place="questions", image=_COCO, question="question", prompt=SHORT, answers=("multiple_choice_answer", "answers")
    ),
    "vizwiz": Task(
        place="data", image="{image}", question="question", prompt=UNANSWERABLE, answers=("answers",),
        spelling={"unanswerable": "Unanswerable"},
    ),
    "textvqa": Task(
        place="data", image="{image_id}.jpg", urls=_FLICKR, question="question", prompt=SHORT, answers=("answers",),
        split="set_name",
    ),
    "stvqa": Task(
        place="data", image="{file_path}", question="question", prompt=SHORT, answers=("answers",), split="set_name"
    ),
    "docvqa": Task(
        place="data", image="{image}", question="question", prompt=SHORT, answers=("answers",), split="data_split"
    ),
    "ocrvqa": Task(
        place="", image="{key}.jpg", urls=("imageURL",), question="questions", prompt=SHORT, answers=("answers",),
        splits={"1": "train", "2": "val", "3": "test"}, suffix_varies=True,
    ),
    "gqa": Task(place="", image="{imageId}.jpg", question="question", prompt=SHORT, answers=("answer",)),
    "scienceqa": Task(
        place="", image="{split}/{key}/image.png", question="question", prompt=LETTER, answers=("answer",),
        choices="choices", hint="hint",
    ),
}  # fmt: skip


class NotARow(ValueError):  # noqa: N818 -- an outcome with a reason slug, counted by the source
    """A row that gives no question and answer; `reason` is the slug that the funnel counts."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """Keep the slug beside the detail."""
        super().__init__(detail)
        self.reason = reason


def exchanges_of(row: Mapping[str, Any], task: Task, prompt: str) -> list[tuple[str, str]]:
    """Return the questions of a row, each with its answer; raises NotARow (`no_answer`, `rejected`, `bad_row`).

    Of several answers the most frequent counts, of equals the first.
    """
    if any(row.get(name) for name in task.rejects):
        raise NotARow("rejected", ", ".join(name for name in task.rejects if row.get(name)))
    found = next((row[name] for name in task.answers if row.get(name) not in (None, "", [])), None)
    if found is None:
        raise NotARow("no_answer", f"no {' or '.join(task.answers)}")
    if task.choices:
        return [_choice(row, task, found, prompt)]
    asked = row.get(task.question) if task.question else ""
    if isinstance(asked, list):
        return _many(asked, found, task, prompt)
    return [(_asked(asked, prompt), _spelt(_most_frequent(found), task))]


def _asked(question: Any, prompt: str) -> str:
    if not isinstance(question, str):
        raise NotARow("bad_row", f"the question is {type(question).__name__}, expected a text")
    return "\n".join(filter(None, (question.strip(), prompt)))


def _spelt(answer: str, task: Task) -> str:
    return task.spelling.get(answer, answer)


def _most_frequent(found: Any) -> str:
    """Return the answer out of a text, a list of texts, or a list of objects with an `answer`."""
    given = [found] if isinstance(found, str) else found
    if not isinstance(given, list):
        raise NotARow("bad_row", f"the answer is {type(found).__name__}, expected a text or a list")
    texts = [one.get("answer") if isinstance(one, dict) else one for one in given]
    counts = Counter(text.strip() for text in texts if isinstance(text, str) and text.strip())
    if not counts:
        raise NotARow("no_answer", "no answer with a text")
    return counts.most_common(1)[0][0]


def _many(asked: list[Any], found: Any, task: Task, prompt: str) -> list[tuple[str, str]]:
    if not isinstance(found, list) or len(found) != len(asked):
        raise NotARow("bad_row", f"{len(asked)} questions, but not as many answers")
    return [
        (_asked(one, prompt), _spelt(_most_frequent(answer), task)) for one, answer in zip(asked, found, strict=True)
    ]


def _choice(row: Mapping[str, Any], task: Task, answer: Any, prompt: str) -> tuple[str, str]:
    """Return hint, question and lettered choices (A. ...), and the letter."""
    choices, hint = row.get(task.choices), row.get(task.hint)
    if not isinstance(choices, list) or not isinstance(answer, int) or not 0 <= answer < len(choices) <= 26:
        raise NotARow("bad_row", f"answer {str(answer)[:40]} of {str(choices)[:80]}: expected the number of a choice")
    letters = [chr(ord("A") + number) for number in range(len(choices))]
    lines = [f"{letter}. {choice}" for letter, choice in zip(letters, choices, strict=True)]
    question = "\n".join(
        filter(None, (hint.strip() if isinstance(hint, str) else "", _asked(row.get(task.question), "")))
    )
    return "\n".join((question, *lines, prompt)), letters[answer]
