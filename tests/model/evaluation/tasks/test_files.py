"""Files of answers and references: every official layout, and one clear line for what is wrong in them."""

from __future__ import annotations

import base64
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infimm_data.errors import ConfigError
from model.evaluation.answers import read_data
from model.evaluation.intervals import mean_interval, sum_interval
from model.evaluation.scoring import Scoring
from model.evaluation.table import TASKS, task_named
from model.evaluation.tasks.contract import EvalFiles
from tests.infimm_data.stream.conftest import png

REFERENCES = {"1": ["a cat on a mat"], "2": ["two dogs run"], "3": ["a red bus"]}
TEN = [{"answer": "red", "answer_id": number} for number in range(10)]
PEOPLE = {"annotations": [{"question_id": number, "answers": TEN} for number in (1, 2, 3, 4, 5)]}


def write(path, data) -> str:
    text = data if isinstance(data, str) else json.dumps(data)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


def scored(task, tmp_path, answers, references, **scoring):
    files = write(tmp_path / "answers.json", answers), references and write(tmp_path / "references.json", references)
    return TASKS[task].score(task, *files, Scoring(**scoring))


def vqa(*ids, answer="red"):
    return [{"question_id": i, "answer": answer} for i in ids]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (vqa(1, 2), "3 questions (id 3, 4, 5) without an answer, of 5; answer them, or pass --partial"),
        (vqa(1), "4 questions (id 2, 3, 4, ...) without an answer"),
        (vqa(1, 2, 2, 3, 4, 5), "1 question (id 2) more than once"),
        (vqa(1, 2, 3, 4, 5, 9), "1 question (id 9) not among the 5 of the references"),
        ('{"1": "a", "2": "b", "1": "c"}', "1 question (id 1) more than once"),
        ([{"id": 1, "answr": "x"}], "record 1: no 'question_id'"),
        ([{"question_id": 1, "answr": "x"}], "no 'answer' (found keys 'question_id', 'answr'). Did you mean 'answr'"),
        (vqa(1, 2, 3, 4, 5, answer=["red"]), "the answer is list, expected text"),
        ("{", "line 1: not JSON"),
        ("3", "expected a list of records or an object by id"),
    ],
)
def test_wrong_answers_are_one_line_with_cases_and_number(tmp_path, answers, message):
    with pytest.raises(ConfigError) as error:
        scored("vqav2", tmp_path, answers, PEOPLE)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_partial_scores_what_is_there(tmp_path):
    result = scored("vqav2", tmp_path, vqa(1, 2), PEOPLE, is_partial=True)
    assert (result.count, result.score) == (2, 100.0)


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08\x00broken", b"\xff\xfe\x00", b""])
def test_broken_files_are_one_line(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.json"):
        TASKS["vqav2"].score("vqav2", str(tmp_path / "a.json"), write(tmp_path / "r.json", PEOPLE), Scoring())


def test_an_unknown_task_names_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown task 'vqa2'\. Did you mean 'vqav2'\? There are: coco, flickr30k"):
        task_named("vqa2")


def test_gzip_json_lines_and_objects_are_read_alike(tmp_path):
    references = write(tmp_path / "r.json.gz", PEOPLE)
    lines = write(tmp_path / "a.jsonl", "\n".join(json.dumps(one) for one in vqa(1, 2, 3, 4, 5)))
    by_id = write(tmp_path / "b.json", {str(i): "red" for i in (1, 2, 3, 4, 5)})
    packed = write(tmp_path / "c.json.gz", vqa(1, 2, 3, 4, 5))
    for path in (lines, by_id, packed):
        assert TASKS["vqav2"].score("vqav2", path, references, Scoring()).score == 100.0


@pytest.mark.parametrize(
    ("references", "answers"),
    [
        ({"data": [{"question_id": 7, "image_id": "x", "question": "q", "answers": ["red"] * 10}]}, vqa(7)),
        ([{"image": "v.jpg", "question": "q", "answers": [{"answer": "red", "n": i} for i in range(10)]}],
         [{"image": "v.jpg", "answer": "red"}]),
    ],
)  # fmt: skip
def test_textvqa_s_and_vizwiz_own_layouts(tmp_path, references, answers):
    assert scored("textvqa", tmp_path, answers, references).score == 100.0


def test_caption_references_in_three_layouts(tmp_path):
    answers = [{"image_id": int(key), "caption": own[0]} for key, own in REFERENCES.items()]
    coco = {
        "images": [{"id": int(key), "file_name": f"{key}.jpg"} for key in REFERENCES],
        "annotations": [{"image_id": int(key), "caption": own[0]} for key, own in REFERENCES.items()],
    }
    karpathy = {
        "images": [
            {"cocoid": int(key), "filename": f"{key}.jpg", "split": "test", "sentences": [{"raw": own[0]}]}
            for key, own in REFERENCES.items()
        ] + [{"cocoid": 9, "filename": "9.jpg", "split": "train", "sentences": []}]
    }  # fmt: skip
    scores = {scored("coco", tmp_path, answers, layout).score for layout in (REFERENCES, coco, karpathy)}
    assert len(scores) == 1
    with pytest.raises(ConfigError, match=r"1 question \(id 3\) without an answer, of 3"):
        scored("coco", tmp_path, answers[:2], REFERENCES)
    by_id = dict(REFERENCES)
    assert scored("coco", tmp_path, by_id, REFERENCES).score in scores
    with pytest.raises(ConfigError, match="1 captions of more than 10000 characters"):
        scored("coco", tmp_path, {**by_id, "2": "x" * 10_001}, REFERENCES)
    with pytest.raises(ConfigError, match="not references of captions"):
        scored("coco", tmp_path, answers, {"annotations": [{"caption": "x"}]})


def test_science_qa_scores_the_subset_with_pictures_if_that_is_what_was_answered(tmp_path):
    problem = {"question": "q", "choices": "['a', 'b']", "answer": "1", "split": "test"}
    problems = {"1": {**problem, "image": "image.png"}, "2": {**problem, "image": ""}}
    problems["3"] = {**problem, "image": "", "split": "train"}
    img = scored("scienceqa", tmp_path, {"1": "B"}, problems)
    assert (img.score, img.count, img.metrics["subset"]) == (100.0, 1, "IMG")
    both = scored("scienceqa", tmp_path, {"1": "B", "2": "what?"}, problems)
    assert (both.score, both.metrics["unparsable"], both.metrics["subset"]) == (50.0, 1, "test")
    guessed = {scored("scienceqa", tmp_path, {"1": "", "2": ""}, problems, guess_seed=seed).score for seed in range(9)}
    assert len(guessed) > 1


def mmbench_rows():
    options = {"A": "red", "B": "blue", "C": "green"}
    picture = base64.b64encode(png(9, (8, 8))).decode()
    row = {"question": "q?", "hint": "", **options, "answer": "B", "category": "c", "image": picture}
    return [{"index": 5, **row}, {"index": 6, **row}]


def test_mmbench_rotations_are_made_and_all_must_be_right(tmp_path):
    path = write(tmp_path / "rows.json", mmbench_rows())
    questions = TASKS["mmbench"].questions(EvalFiles(questions=path))
    assert len(questions) == 6
    right = {one.id: one.answers[0] for one in questions}
    assert all(one.options["ABC".index(one.answers[0])] == "blue" for one in questions)
    answers = TASKS["mmbench"].predictions(right, questions)
    assert scored("mmbench", tmp_path, answers, mmbench_rows()).score == 100.0
    constant = [row | {"prediction": "B"} for row in answers]
    result = scored("mmbench", tmp_path, constant, mmbench_rows())
    assert (result.score, result.metrics["single_pass"]) == (0.0, pytest.approx(100 / 3))
    assert questions[0].pictures[0].data.startswith(b"\x89PNG")


def test_mmbench_in_part_scores_only_questions_of_which_every_rotation_is_answered(tmp_path):
    path = write(tmp_path / "rows.json", mmbench_rows())
    questions = TASKS["mmbench"].questions(EvalFiles(questions=path))
    answers = TASKS["mmbench"].predictions({one.id: one.answers[0] for one in questions}, questions)
    some = [row for row in answers if row["index"] != max(row["index"] for row in answers)]
    result = scored("mmbench", tmp_path, some, mmbench_rows(), is_partial=True)
    assert (result.score, result.count, result.metrics["incomplete"]) == (100.0, 1, 1)
    last = [row for row in answers if row["index"] == max(row["index"] for row in answers)]
    with pytest.raises(ConfigError, match="no question with all its rotations answered"):
        scored("mmbench", tmp_path, last, mmbench_rows(), is_partial=True)


def test_captions_of_a_picture_are_a_list(tmp_path):
    with pytest.raises(ConfigError, match=r"not references of captions .*'a cat' are no list"):
        scored("coco", tmp_path, {"1": "a cat"}, {"1": "a cat"})


def test_mmbench_tsv_and_a_wrong_row(tmp_path):
    path = write(tmp_path / "rows.tsv", "index\tquestion\tA\tB\tanswer\n1\tq\tred\tblue\tA\n")
    answers = write(tmp_path / "a.tsv", "index\tprediction\n1\tA\n")
    assert TASKS["mmbench"].score("mmbench", answers, path, Scoring()).score == 100.0
    bad = write(tmp_path / "bad.tsv", "index\tquestion\tA\tB\tanswer\n1\tq\tred\tblue\tE\n")
    with pytest.raises(ConfigError, match=r"bad\.tsv, row 1: .*answer 'E' is no option"):
        TASKS["mmbench"].score("mmbench", answers, bad, Scoring())


def test_mmmu_questions_from_parquet_with_pictures_in_place(tmp_path):
    rows = [
        {"id": "validation_Art_1", "question": "See <image 1>?", "options": "['x', 'y']", "answer": "B",
         "image_1": {"bytes": png(9, (8, 8)), "path": None}, "image_2": None},
        {"id": "validation_Art_2", "question": "How many?", "options": "[]", "answer": "5",
         "image_1": None, "image_2": None},
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "0.parquet")
    questions = TASKS["mmmu"].questions(EvalFiles(questions=str(tmp_path)))
    assert [(len(one.pictures), one.options) for one in questions] == [(1, ("x", "y")), (0, ())]
    answers = TASKS["mmmu"].predictions({"validation_Art_1": "(B)", "validation_Art_2": "it is 5"}, questions)
    assert scored("mmmu", tmp_path, answers, None).score == 100.0
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="nor a saved dataset in this folder"):
        TASKS["mmmu"].questions(EvalFiles(questions=str(tmp_path / "empty")))


def test_mme_wants_two_questions_per_picture_and_every_response(tmp_path):
    rows = ["a.jpg\tq1\tYes\tyes", "a.jpg\tq2\tNo\tyes it is\twith a tab"]
    (tmp_path / "count.txt").write_text("\n".join(rows) + "\n")
    file = str(tmp_path / "count.txt")
    assert TASKS["mme"].score("mme", file, None, Scoring()).score == 50.0
    with pytest.raises(ConfigError, match=r"13 of MME's 14 files are absent \(existence, position"):
        TASKS["mme"].score("mme", str(tmp_path), None, Scoring())
    assert TASKS["mme"].score("mme", str(tmp_path), None, Scoring(is_partial=True)).score == 50.0
    (tmp_path / "count.txt").write_text(rows[0] + "\n")
    with pytest.raises(ConfigError, match=r"count: 1 pictures without exactly two questions \(a\.jpg"):
        TASKS["mme"].score("mme", file, None, Scoring())
    references = tmp_path / "r"
    references.mkdir()
    (references / "count.txt").write_text("\n".join(row.rsplit("\t", 1)[0] for row in rows[:1]) + "\na.jpg\tq2\tNo\n")
    with pytest.raises(ConfigError, match="1 of 2 questions without a response"):
        TASKS["mme"].score("mme", str(tmp_path / "count.txt"), str(references), Scoring())


def test_mmmu_wants_a_response_to_every_question_and_right_answers_in_the_references(tmp_path):
    right = write(
        tmp_path / "r.json",
        {f"validation_Art_{n}": {"question_type": "multiple-choice", "ground_truth": "A"} for n in (1, 2)},
    )
    answers = write(tmp_path / "a.json", {"validation_Art_1": "A", "validation_Art_2": "B"})
    assert TASKS["mmmu"].score("mmmu", answers, right, Scoring()).score == 50.0
    with pytest.raises(ConfigError, match="swapped"):
        TASKS["mmmu"].score("mmmu", answers, answers, Scoring())
    with pytest.raises(ConfigError, match=r"2 questions \(id validation_Art_1, validation_Art_2\) without an answer"):
        TASKS["mmmu"].score("mmmu", right, right, Scoring())
    with pytest.raises(ConfigError, match="found NoneType, expected a letter or text"):
        TASKS["mmmu"].score("mmmu", write(tmp_path / "n.json", {"validation_Art_1": None}), right, Scoring())


def test_mme_reads_gzip_and_refuses_what_is_answered_twice_or_not_at_all(tmp_path):
    row = {"subtask": "count", "image": "a.jpg", "question": "q1", "answer": "Yes", "response": "yes"}
    lines = b"a.jpg\tq1\tYes\tyes\na.jpg\tq2\tNo\tno\n"
    (tmp_path / "count.txt.gz").write_bytes(gzip.compress(lines))
    for path in (tmp_path / "count.txt.gz", tmp_path):
        assert TASKS["mme"].score("mme", str(path), None, Scoring(is_partial=True)).score == 200.0
    twice = write(tmp_path / "twice.json", [row, row])
    with pytest.raises(ConfigError, match=r"count, a\.jpg, 'q1' is answered twice"):
        TASKS["mme"].score("mme", twice, None, Scoring())
    unanswered = write(tmp_path / "null.json", [row, row | {"question": "q2", "response": None}])
    with pytest.raises(ConfigError, match=r"record 2: .*response: expected text"):
        TASKS["mme"].score("mme", unanswered, None, Scoring())
    (tmp_path / "existence.txt").write_text("")
    with pytest.raises(ConfigError, match=r"existence\.txt: the file is empty"):
        TASKS["mme"].score("mme", str(tmp_path), None, Scoring(is_partial=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ('{"outputs": {"4": "A", "4": "B"}}', r"1 question \(id 4\) more than once"),
        ("[" + "9" * 5_000 + "]", "not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_as_it_is_meant_is_one_line(text, message, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_data(str(path))
    assert "\n" not in str(caught.value)


def test_intervals_by_hand():
    assert mean_interval([0.0, 1.0]) == pytest.approx((0.5 - 1.959964 * 0.5, 0.5 + 1.959964 * 0.5))
    assert mean_interval([1.0]) is None
    low, high = sum_interval([[0.0, 1.0], [2.0, 2.0]])
    assert (low + high) / 2 == pytest.approx(2.5)


def test_flickr30k_s_own_token_file(tmp_path):
    lines = [f"{key}.jpg#{number}\t{own[0]}" for key, own in REFERENCES.items() for number in range(2)]
    path = write(tmp_path / "results.token", "\n".join(lines) + "\n")
    answers = write(
        tmp_path / "a.json", [{"image_id": f"{key}.jpg", "caption": own[0]} for key, own in REFERENCES.items()]
    )
    assert TASKS["flickr30k"].score("flickr30k", answers, path, Scoring()).metrics["Bleu_4"] == pytest.approx(1.0)
    with pytest.raises(ConfigError, match="line 1: expected NAME#NUMBER"):
        TASKS["flickr30k"].score("flickr30k", answers, write(tmp_path / "b.txt", "x\n"), Scoring())


def test_a_folder_that_datasets_saved_is_read_like_parquet(tmp_path):
    datasets = pytest.importorskip("datasets", reason="the package 'datasets' is not installed")
    row = {"id": "validation_Art_1", "question": "q", "options": "['x', 'y']", "answer": "A"}
    row["image_1"] = {"bytes": png(9, (8, 8)), "path": None}
    features = datasets.Features({key: datasets.Value("string") for key in row} | {"image_1": datasets.Image()})
    datasets.Dataset.from_list([row], features=features).save_to_disk(str(tmp_path / "saved"))
    (question,) = TASKS["mmmu"].questions(EvalFiles(questions=str(tmp_path / "saved")))
    assert question.pictures[0].data.startswith(b"\x89PNG")
    assert (question.options, question.answers) == (("x", "y"), ("A",))


def test_mmbench_s_published_rotations_take_the_picture_of_their_question(tmp_path):
    (first, _) = mmbench_rows()
    turned = {**first, "index": 1_000_005, "A": "blue", "B": "green", "C": "red", "answer": "A", "image": "5"}
    path = write(tmp_path / "rows.json", [first, turned])
    one, two = TASKS["mmbench"].questions(EvalFiles(questions=path))
    assert one.pictures[0].data == two.pictures[0].data
    result = scored("mmbench", tmp_path, {"5": "B", "1000005": "A"}, [first, turned])
    assert (result.score, result.count, result.metrics["is_circular"]) == (100.0, 1, True)
