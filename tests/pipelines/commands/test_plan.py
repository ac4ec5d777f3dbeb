"""infimm plan: steps, tokens, images, memory and hours before a launch, and one clear line for wrong flags."""

import json
import re

import pytest

from pipelines.cli import main
from tests.pipelines.commands.test_explain import data, recipe  # noqa: F401  # fixtures


def plan(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(["plan", *arguments])
    out = capsys.readouterr()
    return status, out.out, out.err


def test_it_says_what_a_run_takes(data, recipe, capsys):  # noqa: F811
    status, out, _ = plan(capsys, recipe, "--data", data, "--memory-gb", "20")
    assert status == 0
    assert "steps: 5 of 3 rows of 128 slots" in out
    counts = re.search(r"tokens: ([\d,]+); images: ([\d,]+)", out)
    assert counts is not None
    tokens, images = (int(text.replace(",", "")) for text in counts.groups())
    assert 0.9 * 5 * 3 * 128 < tokens <= 5 * 3 * 128
    assert 20 < images < 100
    assert re.search(r"data: 40 documents with 40 images; share 1.000, \d+ documents in all, [\d.]+ epochs", out)
    assert re.search(r"vision +[\d,]+ parameters, 0 train", out)
    assert "on 20 GB, 90% of them usable: it does not" in out  # llama's default sizes in fp32
    assert re.search(r"hours: [\d.,]+ on 1 x 989 TFLOP/s at an MFU of 0.4 \(an assumption\)", out)


def test_devices_share_what_they_shard(data, recipe, capsys):  # noqa: F811
    _, alone, _ = plan(capsys, recipe, "--data", data)
    _, shared, _ = plan(capsys, recipe, "--data", data, "--devices", "3")
    assert "memory of one device without sharding, by formula" in alone
    assert "memory of one device of 3, sharded (FSDP2), by formula" in shared
    assert "gathered" not in alone
    assert "gathered" in shared
    moments = [float(re.search(r"optimizer +([\d.,]+) GB", said)[1].replace(",", "")) for said in (alone, shared)]
    assert moments[1] == pytest.approx(moments[0] / 3, abs=0.002)


def test_a_measured_speed_gives_the_hours(data, recipe, tmp_path, capsys):  # noqa: F811
    lines = [{"step": n, "tokens_per_s": speed} for n, speed in ((1, 1.0), (2, 3.0), (3, 5.0), (4, 4.0))]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _, given, _ = plan(capsys, recipe, "--data", data, "--tokens-per-s", "4")
    _, like, _ = plan(capsys, recipe, "--data", data, "--like", str(tmp_path))
    hours = re.search(r"hours: ([\d.]+) at 4 tokens/s", given)
    assert hours is not None
    assert f"hours: {hours[1]} at 4 tokens/s, as measured in {tmp_path}" in like
    assert 0.9 * 1920 / 4 / 3600 < float(hours[1]) <= 1920 / 4 / 3600 + 0.005


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--mfu", "40"], "--mfu 40: a share of the peak, at most 1"),
        (["--devices", "0"], "--devices 0: expected more than 0"),
        (["--tokens-per-s", "-1"], "--tokens-per-s -1: expected more than 0"),
        (["--like", "nowhere"], "--like nowhere: no metrics.jsonl with steps"),
    ],
)
def test_wrong_flags_are_one_clear_line(data, recipe, arguments, says, capsys):  # noqa: F811
    status, _, err = plan(capsys, recipe, "--data", data, *arguments)
    assert status == 2
    assert says in err


def test_missing_data_is_named(recipe, capsys):  # noqa: F811
    assert "--data is missing" in plan(capsys, recipe)[2]
