"""The files of evaluation sets, as they are published, into an index; and a mistake is said in one line."""

from __future__ import annotations

import base64
import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from infimm_data.benchmarks import load_index
from infimm_data.errors import ConfigError
from pipelines.benchmark_files import FIELDS, read_file
from pipelines.cli import main
from pipelines.recipe import load_recipe

DATA = Path(__file__).resolve().parents[3] / "../shared/data"
QUESTION = "which of the two boats on the lake has the larger red sail"


def png(seed=0):
    file = io.BytesIO()
    Image.linear_gradient("L").rotate(seed).resize((40, 40)).save(file, "png")
    return file.getvalue()


def contents(path):
    found = list(read_file(str(path), FIELDS))
    return [one for one in found if isinstance(one, str)], [one for one in found if isinstance(one, bytes)]


def test_every_kind_of_file_gives_its_questions_and_images(tmp_path):
    rows = [{"id": 7, "question": QUESTION, "other": "no"}, {"deep": [{"text": ["a", "b"]}]}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    (tmp_path / "a.tsv").write_text(
        f"index\tquestion\timage\n0\t{QUESTION}\t{base64.b64encode(png()).decode()}\n1\tq\t0\n"
    )
    (tmp_path / "a.csv").write_text(f"question,x\n{QUESTION},y\n")
    (tmp_path / "a.txt").write_text(f"1.jpg\t{QUESTION}\tYes\n\n")
    (tmp_path / "a.png").write_bytes(png())
    image = {"bytes": png(), "path": "a.png"}
    pq.write_table(pa.Table.from_pylist([{"question": QUESTION, "image": image}]), tmp_path / "a.parquet")
    assert contents(tmp_path / "a.json") == ([QUESTION, "a", "b"], [])
    assert contents(tmp_path / "a.jsonl.gz") == ([QUESTION, "a", "b"], [])
    assert contents(tmp_path / "a.tsv") == ([QUESTION, "q"], [png()])
    assert contents(tmp_path / "a.csv") == ([QUESTION], [])
    assert contents(tmp_path / "a.txt") == (["1.jpg", QUESTION, "Yes"], [])
    assert contents(tmp_path / "a.png") == ([], [png()])
    assert contents(tmp_path / "a.parquet") == ([QUESTION], [png()])


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.parquet", "a.json.gz", "a.csv"])
def test_a_damaged_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b'{"question": \xff\xfe')
    with pytest.raises(ConfigError, match=f"{name}: cannot be read as what its name says"):
        contents(tmp_path / name)


def test_an_index_is_made_and_a_recipe_with_it_is_read(tmp_path, capsys):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "q.json").write_text(json.dumps({"question": [QUESTION, "too short"]}))
    (tmp_path / "set" / "i.png").write_bytes(png())
    (tmp_path / "set" / "broken.jpg").write_bytes(b"no image")
    out = tmp_path / "index.parquet"
    assert main(["benchmark-index", f"made={tmp_path / 'set'}", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "made: 2 questions (1 with fewer than 8 words left out), 2 images (1 of them compared by file alone)" in said
    assert load_index(str(out)).in_text(QUESTION) == {"made": 1}
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"source: {{kind: web_archive, path: x}}\nsteps:\n- {{filter: benchmark_text, index: {out}}}\n")
    assert load_recipe(str(recipe)).steps[0].filter.index == str(out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mme", "--out", "x"], "mme: expected NAME=PATH"),
        (["mme=absent", "--out", "x"], "absent: no such file, or a folder without any of .jsonl"),
        (["a=b", "--out", "x", "--shortest", "14"], "--shortest is 14, expected 1 to --ngram (13)"),
    ],
)
def test_a_mistake_is_one_line(arguments, said, capsys):
    assert main(["benchmark-index", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "step 1: benchmark_image: the key 'index' is missing; add it"),
        (", index: absent", "no index of benchmarks is"),
    ],
)
def test_a_recipe_without_its_index_stops_before_any_work(tmp_path, given, said):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"source: {{kind: web_archive, path: x}}\nsteps:\n- {{filter: benchmark_image{given}}}\n")
    with pytest.raises(ConfigError, match=said):
        load_recipe(str(recipe))


def test_real_evaluation_sets_are_indexed(tmp_path):
    if not DATA.exists():
        pytest.skip("shared data is not here")
    out = str(tmp_path / "index.parquet")
    sets = [f"mme={DATA / 'eval_mme' / 'LaVIN'}", f"scienceqa={DATA / 'eval_scienceqa' / 'problems_partial.json.gz'}"]
    assert main(["benchmark-index", *sets, "--out", out]) == 0
    index = load_index(out)
    problems = json.loads(gzip.decompress((DATA / "eval_scienceqa" / "problems_partial.json.gz").read_bytes()))
    long = next(one["question"] for one in problems.values() if len(one["question"].split()) > 20)
    assert index.in_text(f"An exercise. {long}")["scienceqa"] >= 1
    assert index.in_text("The keeper of the old lighthouse wrote letters every night until the storm came.") == {}
