"""infimm explain: text, JSON and picture of a row, and one clear line for what cannot be asked."""

import io
import json
from pathlib import Path

import pytest
import yaml
from PIL import Image

from infimm_data.document import ImageNode, Origin, TextNode, new_document
from infimm_data.shards import Sample, write_manifest, write_shard
from infimm_data.stream.explain import find_row
from infimm_data.stream.stream import Stream
from model.config import TrainConfig
from model.tokenizer import load_tokenizer
from pipelines.cli import main
from tests.infimm_data.stream.conftest import png

TOKENIZER = "package:pipelines.demo/data/tokenizer"


@pytest.fixture
def data(tmp_path) -> str:
    def page(number: int) -> Sample:
        nodes = (
            TextNode(text=f"The page {number} begins here."),
            ImageNode(url=f"http://example.org/{number}.png", file="0.png", sha256="ab"),
            TextNode(text="A square is seen in it, and a circle."),
        )
        return Sample(
            new_document(nodes, Origin(dump="d", offset=number, url=f"http://example.org/{number}")),
            {"0.png": png(number)},
        )

    folder = str(tmp_path / "shards")
    write_manifest(folder, [write_shard(folder, n, [page(i) for i in range(n * 20, n * 20 + 20)]) for n in range(2)])
    return folder


@pytest.fixture
def recipe(tmp_path) -> str:
    config = {
        "model": {
            "tokenizer": TOKENIZER,
            "vision": {"name": "ViT-B-32"},
            "language": {"config": {"model_type": "llama"}},
        },
        "stream": {"row_tokens": 128},
        "steps": 5,
        "rows_per_step": 3,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(config))
    return str(tmp_path / "recipe.yaml")


def explain(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(["explain", *arguments])
    out = capsys.readouterr()
    return status, out.out, out.err


def test_it_names_documents_images_and_what_a_token_sees_and_draws_them(data, recipe, tmp_path, capsys):
    picture = str(tmp_path / "row.png")
    arguments = [recipe, "--data", data, "--step", "2", "--row", "1"]
    status, out, _ = explain(capsys, *arguments, "--picture", picture, "--token", "20")
    assert status == 0
    assert "step 2, row 1 of 3: row 4 of the stream" in out
    assert "http://example.org/" in out
    assert ".tar at byte " in out
    status, text, _ = explain(capsys, *arguments, "--token", "20", "--json")
    row = json.loads(text)
    assert row["stream_row"] == 4
    document = row["documents"][row["token"]["document"]]
    image = row["images"][row["token"]["image"]]
    assert image["url"] == document["url"] + ".png"
    assert f"under infimm it sees image {row['token']['image']} (0.png, {image['url']})" in out
    with Image.open(picture) as drawn:
        colours = {colour for _, colour in drawn.convert("RGB").getcolors(1 << 24)}
        assert drawn.width > 1000
    greys = {(int(one["url"].split("/")[-1].split(".")[0]),) * 3 for one in row["images"]}
    assert greys <= colours  # the images themselves
    assert (255, 0, 0) in colours  # the mark


def test_positions_of_a_run_lead_to_the_same_row(data, recipe, tmp_path, capsys, monkeypatch):
    known: list = []
    config = TrainConfig.model_validate(yaml.safe_load(Path(recipe).read_text()))
    with Stream(data, load_tokenizer(TOKENIZER).vocabulary, config.stream, image_side=8, rows=3) as stream:
        next(stream)
        state = stream.state_dict()
        next(stream)
        logged = {"step": 2, "loss": 1.0, "stream": stream.state_dict()}
    folder = tmp_path / "run" / "checkpoints" / "step-00000001"
    folder.mkdir(parents=True)
    about = {"config": config.model_dump(mode="json"), "stream": state, "step": 1}
    (folder / "config.json").write_text(json.dumps(about))
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n' + json.dumps(logged) + "\n")
    monkeypatch.setattr(
        "infimm_data.stream.explain.find_row", lambda *asked: known.append(asked[2]) or find_row(*asked)
    )
    asked = ["--data", data, "--step", "3", "--json"]
    by_run = explain(capsys, str(tmp_path / "run"), *asked)
    by_recipe = explain(capsys, recipe, *asked)
    assert by_run == by_recipe
    assert by_run[0] == 0
    assert [position.rows for position in known[0]] == [3, 6]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--step", "0"], "--step 0 --row 0: steps count from 1, and a step has rows 0..2"),
        (["--step", "1", "--row", "3"], "a step has rows 0..2"),
        (["--step", "1", "--token", "128"], "--token 128: a row has slots 0..127"),
    ],
)
def test_what_is_not_there_is_one_clear_line(data, recipe, arguments, says, capsys):
    status, _, err = explain(capsys, recipe, "--data", data, *arguments)
    assert status == 2
    assert says in err
    assert err.count("\n") == 1


def test_data_and_run_that_are_missing_are_named(recipe, tmp_path, capsys):
    assert explain(capsys, recipe, "--step", "1")[2].startswith("infimm explain: --data is missing")
    assert "no checkpoint; expected the --out of a training run" in explain(capsys, str(tmp_path), "--step", "1")[2]


def test_padding_says_so(data, recipe, capsys, tmp_path):
    _, text, _ = explain(capsys, recipe, "--data", data, "--step", "1", "--token", "127", "--json")
    row = json.loads(text)
    assert row["tokens"] < 128
    assert row["token"] == {"token": 127, "says": "slot 127: padding"}


def test_the_picture_is_the_same_every_time(data, recipe, tmp_path, capsys):
    for name in ("one.png", "two.png"):
        explain(capsys, recipe, "--data", data, "--step", "1", "--picture", str(tmp_path / name))
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert io.BytesIO((tmp_path / "one.png").read_bytes()).read(4) == b"\x89PNG"
