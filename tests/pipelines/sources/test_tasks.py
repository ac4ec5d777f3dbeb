"""Task sets out of their official layouts: InfiMM's prompts, the answers that count, what is left out and why."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from infimm_data.document import Document, ImageNode
from infimm_data.errors import ConfigError, SourceError
from pipelines.annotations.tasks import TASKS
from pipelines.sources.tasks import Tasks
from tests.web_server import PNG

SAMPLES = Path(__file__).resolve().parents[3] / "../shared/data"
SHORT = "Answer the question using a single word or phrase."
TEN = [{"answer": answer} for answer in ("red", "blue", "blue")]

FILES = {
    "coco_captions": {
        "info": {}, "images": [{"id": 9, "file_name": "a.png", "coco_url": "http://c.example/a.jpg"}],
        "annotations": [{"image_id": 9, "id": 1, "caption": "A bus. "}],
    },
    "vizwiz_captions": {
        "images": [{"id": 9, "file_name": "a.png", "vizwiz_url": "http://v.example/a.jpg"}],
        "annotations": [
            {"image_id": 9, "id": 1, "caption": "A bus.", "is_rejected": False},
            {"image_id": 9, "id": 2, "caption": "Quality issues", "is_rejected": True},
        ],
    },
    "textcaps": {"data": [{"image_id": "a", "caption_str": "A bus.", "reference_strs": ["x"]}]},
    "vizwiz": [{"image": "a.png", "question": "What colour?", "answers": TEN}],
    "textvqa": {"data": [{"image_id": "a", "question": "What colour?", "answers": ["red", "blue", "blue"]}]},
    "stvqa": {"data": [{"file_path": "a.png", "question": "What colour?", "answers": ["blue", "navy"]}]},
    "docvqa": {"data": [{"image": "a.png", "questionId": 5, "question": "What colour?", "answers": ["blue"]}]},
    "gqa": {
        "02930152": {  # those that NeMo's loader reads, and as many again that it does not
            "semantic": [{"operation": "select", "dependencies": [], "argument": "bus (7)"}],
            "entailed": ["02930160"], "equivalent": ["02930152"], "question": "What colour?", "imageId": "a",
            "isBalanced": True, "groups": {"global": None, "local": "06-bus_colour"}, "answer": "blue",
            "semanticStr": "select: bus (7)->query: colour [0]",
            "annotations": {"answer": {}, "question": {"2": "7"}, "fullAnswer": {"1": "7"}},
            "types": {"detailed": "queryC", "semantic": "attr", "structural": "query"}, "fullAnswer": "It is blue.",
        }
    },
}  # fmt: skip
ANSWERS = {name: "A bus." if "cap" in name else "blue" for name in FILES}
SUFFIX = {"textcaps": ".png", "textvqa": ".png", "gqa": ".png"}


def read(tmp_path, name, data, **settings):
    """Return what a file with this data gives, of a folder that holds a.png."""
    (tmp_path / "a.png").write_bytes(PNG)
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(data))
    source = Tasks(task=name, path=str(path), **{"images_root": str(tmp_path), **settings})
    (item,) = source.work_items()
    return source, item, list(source.read(item))


def shape(document):
    """Return a document as [image name or (role, text, loss)]."""
    return [node.url if isinstance(node, ImageNode) else (node.role, node.text, node.loss) for node in document.nodes]


@pytest.mark.parametrize("name", FILES)
def test_a_row_of_each_set_is_an_image_a_prompt_and_the_answer_that_counts(tmp_path, name):
    pattern = TASKS[name].image.replace(".jpg", SUFFIX.get(name, ".jpg"))
    source, item, answers = read(tmp_path, name, FILES[name], image_name=pattern)
    documents = [one for one in answers if isinstance(one, Document)]
    asked = "Please describe the image." if "cap" in name else f"What colour?\n{TASKS[name].prompt}"
    assert [shape(one) for one in documents] == [["a.png", ("user", asked, False), ("assistant", ANSWERS[name], True)]]
    assert documents[0].images[0].role == "user"
    assert list(source.images(item, ["a.png"])) == [("a.png", PNG)]
    assert [one.reason for one in answers if not isinstance(one, Document)] == (
        ["rejected"] if name == "vizwiz_captions" else []
    )


def test_the_prompts_are_those_that_infimm_published():
    assert {task.prompt for name, task in TASKS.items() if "cap" in name} == {"Please describe the image."}
    assert {TASKS[name].prompt for name in ("vqav2", "okvqa", "textvqa", "ocrvqa", "stvqa", "docvqa", "gqa")} == {SHORT}
    assert TASKS["vizwiz"].prompt == (
        f"When the provided information is insufficient, respond with 'Unanswerable'. {SHORT}"
    )
    assert TASKS["scienceqa"].prompt == "Answer with the option's letter from the given choices directly."


def test_questions_and_annotations_of_two_files_are_joined(tmp_path):
    questions = [{"question_id": n, "image_id": 7, "question": f"Q{n}?"} for n in range(4)]
    annotations = [{"question_id": n, "multiple_choice_answer": f"a{n}", "answers": TEN} for n in (2, 0, 1)]
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"annotations": annotations}))
    given = {"annotations": str(path)}
    _, item, answers = read(tmp_path, "vqav2", {"questions": questions}, **given)
    found = {one.origin.url: shape(one) for one in answers if isinstance(one, Document)}
    assert found["1"] == [
        "COCO_train2014_000000000007.jpg", ("user", f"Q1?\n{SHORT}", False), ("assistant", "a1", True),
    ]  # fmt: skip
    assert sorted(found) == ["0", "1", "2"]
    assert [(one.reason, one.url) for one in answers if not isinstance(one, Document)] == [("no_answer", "3")]
    assert item.beside == (str(path),)


def test_the_most_frequent_answer_counts_and_of_equals_the_first(tmp_path):
    row = {"image_id": 7, "question": "Q?", "answers": [{"answer": x} for x in ("b", " ", "a", "a", "b", None)]}
    _, _, (document,) = read(tmp_path, "okvqa", {"questions": [row]})
    assert shape(document)[-1] == ("assistant", "b", True)


def test_what_vizwiz_calls_unanswerable_is_answered_as_the_prompt_spells_it(tmp_path):
    row = {"image": "a.png", "question": "What?", "answers": [{"answer": "unanswerable"}]}
    _, _, (document,) = read(tmp_path, "vizwiz", [row])
    assert shape(document)[-1] == ("assistant", "Unanswerable", True)


OCR = {
    "0001": {
        "imageURL": "http://x.example/1.gif",
        "questions": ["Who?", "When?"],
        "answers": ["Me", "1999"],
        "split": 1,
    },
    "0002": {"imageURL": "http://x.example/2.jpg", "questions": ["Who?"], "answers": ["You"], "split": 3},
    "0003": {"imageURL": "http://x.example/3.jpg", "questions": ["Who?"], "answers": [], "split": 1},
    "0004": {"imageURL": "http://x.example/4.jpg", "questions": ["Who?", "?"], "answers": ["You"], "split": 1},
}


@pytest.mark.parametrize(("there", "name"), [("0001.gif", "0001.gif"), ("0001.jpg", "0001.jpg"), ("none", "0001.jpg")])
def test_a_book_cover_is_found_under_its_own_suffix_and_under_that_of_llava(tmp_path, there, name):
    (tmp_path / there).write_bytes(PNG)
    _, _, (document, *_) = read(tmp_path, "ocrvqa", OCR, split="train")
    assert document.images[0].url == name


def test_all_questions_about_a_book_cover_are_one_conversation_of_the_wanted_split(tmp_path):
    _, _, (document, *left) = read(tmp_path, "ocrvqa", OCR, split="train")
    assert shape(document) == [
        "0001.jpg",
        ("user", f"Who?\n{SHORT}", False), ("assistant", "Me", True),
        ("user", f"When?\n{SHORT}", False), ("assistant", "1999", True),
    ]  # fmt: skip
    assert [(one.reason, one.url) for one in left] == [
        ("other_split", "0002"),
        ("no_answer", "0003"),
        ("bad_row", "0004"),
    ]


def test_without_a_folder_images_are_their_addresses(tmp_path):
    _, _, answers = read(tmp_path, "ocrvqa", OCR, images_root=None)
    assert answers[0].images[0].url == "http://x.example/1.gif"
    _, _, (coco,) = read(tmp_path, "coco_captions", FILES["coco_captions"], images_root=None)
    assert coco.images[0].url == "http://c.example/a.jpg"
    with pytest.raises(ConfigError, match="'images_root' is missing; the rows of gqa name image files"):
        Tasks(task="gqa", path="x")


SCIENCE = {
    "1": {
        "question": "Which is north?",
        "choices": ["Ohio", "Iowa"],
        "answer": 1,
        "hint": "",
        "image": "image.png",
        "split": "train",
    },
    "2": {"question": "Why?", "choices": ["x"], "answer": 0, "hint": "Look.", "image": None, "split": "train"},
    "3": {"question": "Why?", "choices": ["x"], "answer": 1, "hint": "", "image": None, "split": "train"},
    "4": {"question": "Why?", "choices": ["x"], "answer": 0, "hint": "", "image": None, "split": "test"},
}


def test_science_questions_have_lettered_choices_and_the_letter_as_answer(tmp_path):
    _, _, answers = read(tmp_path, "scienceqa", SCIENCE, split="train")
    letter = TASKS["scienceqa"].prompt
    assert [shape(one) for one in answers if isinstance(one, Document)] == [
        [
            "train/1/image.png",
            ("user", f"Which is north?\nA. Ohio\nB. Iowa\n{letter}", False),
            ("assistant", "B", True),
        ],
        [("user", f"Look.\nWhy?\nA. x\n{letter}", False), ("assistant", "A", True)],
    ]
    assert [one.reason for one in answers if not isinstance(one, Document)] == ["bad_row", "other_split"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"image": "../a.png"}, "unsafe_image_name"),
        ({"image": "/etc/passwd"}, "unsafe_image_name"),
        ({"image": None}, "no_answer"),
        ({}, "no_answer"),
        (7, "bad_row"),
        ({"image": "a.png", "answers": ["x"]}, "bad_row"),
        ({"image": "a.png", "question": "Q", "answers": 7}, "bad_row"),
        ({"image": "a.png", "question": "Q", "answers": [7, " "]}, "no_answer"),
        ({"question": "Q", "answers": ["x"]}, "no_image_name"),
    ],
)
def test_a_row_that_gives_no_question_and_answer_has_its_reason(tmp_path, row, reason):
    if isinstance(row, dict) and "image" in row and len(row) == 1 and row["image"]:
        row = {**row, "question": "Q", "answers": ["x"]}
    _, _, answers = read(tmp_path, "docvqa", {"data": [row, {"image": "a.png", "question": "Q", "answers": ["x"]}]})
    assert [getattr(one, "reason", "document") for one in answers] == [reason, "document"]


def test_a_split_that_is_no_name_is_another_split(tmp_path):
    rows = {"1": {"questions": ["Who?"], "answers": ["Me"], "split": [1]}, "2": {"questions": [], "answers": []}}
    _, _, answers = read(tmp_path, "ocrvqa", rows, split="train")
    assert [one.reason for one in answers] == ["other_split", "other_split"]


def test_a_pattern_that_does_not_fit_is_counted(tmp_path):
    row = {"image_id": "no number", "question": "Q", "answers": ["x"]}
    _, _, (left,) = read(tmp_path, "vqav2", {"questions": [row]})
    assert (left.reason, "does not fit the row" in left.detail) == ("no_image_name", True)


def test_a_file_of_another_layout_fails_with_what_was_expected(tmp_path):
    with pytest.raises(SourceError, match=r"no row .*expected a JSON list or a list under 'questions'"):
        read(tmp_path, "vqav2", {"data": []})


def test_one_annotation_file_needs_one_file_of_questions(tmp_path):
    for name in ("a", "b", "answers"):
        (tmp_path / f"{name}.json").write_text("[]")
    given = {"task": "vqav2", "path": str(tmp_path), "images_root": "x"}
    with pytest.raises(ConfigError, match="holds 3 files, but 'annotations' is one"):
        Tasks(annotations=str(tmp_path / "answers.json"), **given).work_items()
    with pytest.raises(ConfigError, match="no such file"):
        Tasks(annotations=str(tmp_path / "none.json"), **given).work_items()


def test_a_preview_counts_rows_and_names_columns(tmp_path):
    source, item, _ = read(tmp_path, "gqa", FILES["gqa"])
    found = source.preview([item])
    assert (found.num_documents, found.num_images) == (1, 1)
    assert found.columns[:5] == ("semantic", "entailed", "equivalent", "question", "imageId")
    assert len(found.columns) == 12


# --- real files


@pytest.mark.parametrize(
    ("folder", "task", "pattern", "number"),
    [
        ("vqav2_2962", "vqav2", "{image_id}.jpg", 2962),
        ("textvqa_val_2502", "textvqa", "{image_id}.jpg", 2502),
        ("vizwiz_val_2183", "vizwiz", "{image_id}", 2183),
    ],
)
def test_real_questions_find_their_answers(tmp_path, folder, task, pattern, number):
    root = SAMPLES / "eval_vqa" / folder
    if not root.is_dir():
        pytest.skip(f"the VQA sample is not beside this checkout (../shared/data/eval_vqa/{folder})")
    questions = json.loads((root / "questions.json").read_text())
    (tmp_path / "q.json").write_text(json.dumps({"data": questions["questions"], **questions}))
    source = Tasks(
        task=task, path=str(tmp_path / "q.json"), annotations=str(root / "annotations.json.gz"), image_name=pattern,
        images_root=str(tmp_path),
    )  # fmt: skip
    found = list(source.read(source.work_items()[0]))
    assert all(isinstance(one, Document) for one in found)
    assert len({one.id for one in found}) == number
    given = {
        a["question_id"]: a
        for a in json.loads(gzip.decompress((root / "annotations.json.gz").read_bytes()))["annotations"]
    }
    for one in found[:100]:
        counts = Counter(answer["answer"].strip() for answer in given[int(one.origin.url)]["answers"])
        most = one.texts[-1].text.replace("Unanswerable", "unanswerable")
        assert counts[most] == max(counts.values()) or task == "vqav2"


def test_real_science_questions(tmp_path):
    path = SAMPLES / "eval_scienceqa/problems_partial.json.gz"
    if not path.is_file():
        pytest.skip("the ScienceQA sample is not beside this checkout (../shared/data/eval_scienceqa)")
    source = Tasks(task="scienceqa", path=str(path), images_root=str(tmp_path))
    found = list(source.read(source.work_items()[0]))
    assert len(found) == 1773
    assert all(isinstance(one, Document) for one in found)
    assert sum(len(one.images) for one in found) == 879


def test_real_captions_and_their_images(tmp_path):
    root = SAMPLES / "images_coco_mini_train2017"
    if not root.is_dir():
        pytest.skip("the COCO sample is not beside this checkout (../shared/data/images_coco_mini_train2017)")
    path, images = str(root / "captions_train2017.json"), str(root / "train2017")
    source = Tasks(task="coco_captions", path=path, images_root=images)
    (item,) = source.work_items()
    found = list(source.read(item))
    assert len(found) == 400
    urls = {one.images[0].url for one in found}
    assert len(urls) == 80
    assert sorted(url for url, _ in source.images(item, urls)) == sorted(urls)
