"""The judge, against a stub of an OpenAI-compatible endpoint on the loopback address."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from infimm_data.errors import ConfigError, InfiMMError
from model.evaluation.judge import Judge
from model.evaluation.scoring import Scoring
from model.evaluation.table import TASKS


class Stub:
    """Answers every chat completion with `reply(prompt)`; `failures` statuses come first."""

    def __init__(self) -> None:
        self.asked: list[dict] = []
        self.headers: list[dict] = []
        self.failures: list[int] = []
        self.reply = lambda prompt: "0.5"
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if stub.failures:
                    self.send_error(stub.failures.pop(0))
                    return
                assert self.path == "/v1/chat/completions"
                stub.asked.append(body)
                stub.headers.append(dict(self.headers))
                said = stub.reply(body["messages"][0]["content"])
                data = json.dumps({"choices": [{"message": {"role": "assistant", "content": said}}]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def stub():
    running = Stub()
    yield running
    running.server.shutdown()
    running.server.server_close()


def judge_of(stub, **settings) -> Judge:
    return Judge(url=stub.url, model="m", wait_s=0.0, **settings)


def test_a_question_is_asked_once_and_kept_for_later_runs(stub, tmp_path):
    cache = str(tmp_path / "a" / "judge.jsonl")
    judge = judge_of(stub, cache=cache)
    assert [judge.ask("q", max_tokens=3) for _ in range(2)] == ["0.5", "0.5"]
    assert judge_of(stub, cache=cache).ask("q", max_tokens=3) == "0.5"
    assert len(stub.asked) == 1
    judge.ask("q", max_tokens=3, temperature=0.5)
    judge.ask("q", max_tokens=3, repeat=1)
    assert len(stub.asked) == 3
    assert stub.asked[0] == {
        "model": "m", "messages": [{"role": "user", "content": "q"}], "max_tokens": 3, "temperature": 0.0,
    }  # fmt: skip


def test_half_a_line_in_the_cache_is_asked_again(stub, tmp_path):
    cache = tmp_path / "judge.jsonl"
    judge_of(stub, cache=str(cache)).ask("q", max_tokens=3)
    cache.write_text(cache.read_text()[:30])
    assert judge_of(stub, cache=str(cache)).ask("q", max_tokens=3) == "0.5"
    assert len(stub.asked) == 2


def test_the_key_comes_from_the_environment_and_is_not_written_down(stub, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "geheim")
    cache = tmp_path / "judge.jsonl"
    judge_of(stub, cache=str(cache)).ask("q", max_tokens=3)
    assert stub.headers[0]["Authorization"] == "Bearer geheim"
    assert "geheim" not in cache.read_text()


def test_a_busy_endpoint_is_asked_again_and_a_refusal_is_named(stub):
    stub.failures = [503, 429]
    assert judge_of(stub).ask("q", max_tokens=3) == "0.5"
    stub.failures = [401]
    with pytest.raises(InfiMMError, match=r"judge http://.*, model m: status 401; verdicts so far are kept"):
        judge_of(stub).ask("other", max_tokens=3)


def test_an_endpoint_that_is_not_there_is_named():
    with pytest.raises(InfiMMError, match=r"127\.0\.0\.1:9"):
        Judge(url="http://127.0.0.1:9/v1", model="m", attempts=1).ask("q", max_tokens=3)
    with pytest.raises(ConfigError, match="expected an address"):
        Judge(url="file:///etc/passwd", model="m")


RECORDS = {
    "v1_0": {"question": "What is x?", "answer": "-1<AND>-5", "capability": ["ocr", "math"], "imagename": "a.png"},
    "v1_1": {"question": "Where?", "answer": "here", "capability": ["spat"], "imagename": "b.png"},
}


def write(path, data) -> str:
    path.write_text(json.dumps(data))
    return str(path)


def test_mm_vet_is_the_mean_grade_and_by_capability(stub, tmp_path):
    stub.reply = lambda prompt: "1.0" if "Answer: x = -1" in prompt else "0.2"
    answers, records = (
        write(tmp_path / "p.json", {"v1_0": "x = -1", "v1_1": "there"}),
        write(tmp_path / "r.json", RECORDS),
    )
    result = TASKS["mmvet"].score("mmvet", answers, records, Scoring(judge=judge_of(stub)))
    assert result.score == pytest.approx(60.0)
    assert result.metrics["by"] == pytest.approx({"ocr": 100.0, "math": 100.0, "spat": 20.0})
    assert "Right answer: -1 <AND> -5" in stub.asked[0]["messages"][0]["content"]


def test_a_judge_that_gives_no_number_is_asked_warmer_and_then_counted(stub, tmp_path):
    stub.reply = lambda prompt: "fine" if "x = 7" in prompt else "0.5"
    answers, records = write(tmp_path / "p.json", {"v1_0": "x = 7", "v1_1": "b"}), write(tmp_path / "r.json", RECORDS)
    result = TASKS["mmvet"].score("mmvet", answers, records, Scoring(judge=judge_of(stub)))
    assert (result.score, result.metrics["ungraded"]) == (25.0, 1)
    assert [body["temperature"] for body in stub.asked[:5]] == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_a_judge_that_grades_nothing_is_an_error_and_no_score_of_zero(stub, tmp_path):
    stub.reply = lambda prompt: "Grade: 0.7"
    answers, records = write(tmp_path / "p.json", {"v1_0": "a", "v1_1": "b"}), write(tmp_path / "r.json", RECORDS)
    with pytest.raises(InfiMMError, match="--judge m: none of 2 answers was graded; expected a number from 0 to 1"):
        TASKS["mmvet"].score("mmvet", answers, records, Scoring(judge=judge_of(stub)))


def test_several_runs_are_averaged_and_the_prompt_can_be_another(stub, tmp_path):
    said = iter(["1.0", "0.5", "0.0", "x", "x", "x", "x", "x"])
    stub.reply = lambda prompt: next(said)
    answers, records = write(tmp_path / "p.json", {"v1_0": "a"}), write(tmp_path / "r.json", {"v1_0": RECORDS["v1_0"]})
    scoring = Scoring(judge=judge_of(stub), grader="Q {question} A {answer} {other}", grader_runs=4)
    assert TASKS["mmvet"].score("mmvet", answers, records, scoring).score == pytest.approx(50.0)
    assert stub.asked[0]["messages"][0]["content"] == "Q What is x? A a {other}"


def test_grades_that_are_there_need_no_judge(tmp_path):
    grades = {"v1_0": {"model": ["m"], "score": [1.0, 0.5]}, "v1_1": {"score": [0.0, 0.0]}}
    path, records = write(tmp_path / "p.json", grades), write(tmp_path / "r.json", RECORDS)
    assert TASKS["mmvet"].score("mmvet", path, records, Scoring()).score == pytest.approx(37.5)
    texts = write(tmp_path / "t.json", {"v1_0": "a", "v1_1": "b"})
    with pytest.raises(ConfigError, match="a judge is needed"):
        TASKS["mmvet"].score("mmvet", texts, records, Scoring())


def test_infimm_eval_weighs_high_complexity_twice(stub, tmp_path):
    records = [
        {"id": 1, "question": "a", "answer": "x", "steps": ["s1", "s2"], "complexity": "Moderate"},
        {"id": 2, "question": "b", "answer": "y", "complexity": "High"},
    ]
    stub.reply = lambda prompt: "1.0" if "Question: b" in prompt else "0.4"
    answers = write(tmp_path / "p.json", [{"question_id": 1, "answer": "x"}, {"question_id": 2, "answer": "y"}])
    path = write(tmp_path / "r.json", records)
    result = TASKS["infimm_eval"].score("infimm_eval", answers, path, Scoring(judge=judge_of(stub)))
    assert result.score == pytest.approx(100 * (0.4 + 2 * 1.0) / 3)
    assert "s1; s2" in stub.asked[0]["messages"][0]["content"]


def test_mmbench_asks_the_judge_only_where_the_rules_read_nothing(stub, tmp_path):
    stub.reply = lambda prompt: "B"
    rows = [{"index": i, "question": "q", "A": "red", "B": "blue", "answer": "B", "category": "c"} for i in (1, 2)]
    answers = write(tmp_path / "p.json", [{"index": 1, "prediction": "navy"}, {"index": 2, "prediction": "A"}])
    path = write(tmp_path / "r.json", rows)
    result = TASKS["mmbench"].score("mmbench", answers, path, Scoring(judge=judge_of(stub)))
    assert (result.score, result.metrics["unparsable"], len(stub.asked)) == (50.0, 1, 1)
