"""The one door: help that can be followed, mistakes in one line, exit codes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infimm_data.document import ImageNode, Origin, TextNode, new_document
from infimm_data.shards import Sample, write_manifest, write_shard
from pipelines import cli
from pipelines.sources.table import SOURCES
from tests.pipelines.made_source import MadeSource, write_dump

RECIPE = """
source: {{kind: made, path: {path}}}
steps:
  - {{filter: text_length, min_words: 10}}
  - {{filter: image_url}}
  - {{filter: image_size, min_side: 16, max_aspect: 2.0}}
output: {{documents_per_shard: 5}}
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A recipe over the made dump whose images over HTTP all fail; returns (recipe, out)."""
    monkeypatch.setitem(SOURCES, "made", MadeSource)
    recipe = tmp_path / "made.yaml"
    recipe.write_text(RECIPE.format(path=write_dump(tmp_path / "dump", files=2, pages=4)))
    return str(recipe), str(tmp_path / "out")


def infimm(*arguments):
    """Return the exit status of the command, however it leaves."""
    try:
        return cli.main(arguments)
    except SystemExit as left:
        return left.code


def commands():
    parser = cli.make_parser()
    (action,) = [action for action in parser._actions if isinstance(action.choices, dict)]
    return sorted(action.choices)


def test_help_does_not_wait_for_what_only_some_commands_need():
    heavy = ("torch", "transformers", "ray", "matplotlib", "duckdb")
    code = f"import sys; from pipelines import cli; cli.make_parser(); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_command_with_what_it_does(capsys):
    assert infimm("--help") == 0
    text = capsys.readouterr().out
    for command in commands():
        assert f"\n    {command} " in text or f"\n    {command}\n" in text
    assert "make demo" in text


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_for_all_that_it_takes(command, capsys):
    assert infimm(command, "--help") == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: infimm {command}")
    parser = cli.make_parser()
    (below,) = [action for action in parser._actions if isinstance(action.choices, dict)]
    for action in below.choices[command]._actions:
        assert action.help, f"{command}: {action.dest} has no help"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["biuld"], "infimm: invalid choice: 'biuld'. Did you mean 'build'? See 'infimm --help'.\n"),
        (["zzz"], "infimm: invalid choice: 'zzz'. See 'infimm --help'.\n"),
        ([], "infimm: the following arguments are required: COMMAND. See 'infimm --help'.\n"),
        (
            ["build", "r", "--ot", "x"],
            "infimm build: unknown flag --ot. Did you mean '--out'? See 'infimm build --help'.\n",
        ),
        (["build", "r", "--out=x", "--dry"], "unknown flag --dry. Did you mean '--dry-run'?"),
        (["build", "--out", "x"], "infimm build: the following arguments are required: recipe. See"),
        (["build", "r", "--out", "x", "--workers", "two"], "argument --workers: invalid int value: 'two'. See"),
        (["report"], "infimm report: the following arguments are required: out. See"),
    ],
)
def test_a_wrong_call_is_said_in_one_line(arguments, said, capsys):
    assert infimm(*arguments) == 2
    text = capsys.readouterr().err
    assert said in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--workers", "0"], "infimm build: --workers 0: expected 1 or more\n"),
        (["--connect-to", "x"], "infimm build: --connect-to x: expected HOST=ADDRESS:PORT"),
        (["--connect-to", "a=b:c"], "expected HOST=ADDRESS:PORT"),
        (["--ray", "auto", "--workers", "2"], "infimm build: --workers: the cluster at --ray has its own size"),
    ],
)
def test_a_wrong_flag_is_said_in_one_line(made, more, said, capsys):
    recipe, out = made
    assert infimm("build", recipe, "--out", out, *more) == 2
    assert said in capsys.readouterr().err
    assert not Path(out).exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file; expected a YAML recipe"),
        ("source: {kind: web_archive, path: /no/such/dump}\n", "/no/such/dump"),
        ("source: {kind: mad, path: x}\n", "unknown kind 'mad'. Did you mean 'made'?"),
        ("source: [\n", "not valid YAML"),
    ],
)
def test_a_wrong_recipe_is_said_in_one_line_and_nothing_is_written(made, tmp_path, content, said, capsys):
    path = tmp_path / "wrong.yaml"
    if content is not None:
        path.write_text(content)
    assert infimm("build", str(path), "--out", str(tmp_path / "none")) == 2
    text = capsys.readouterr().err
    assert said in text
    assert text.startswith("infimm build: ")
    assert text.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_a_dry_run_lists_the_work_and_does_none(made, capsys):
    recipe, out = made
    assert infimm("build", recipe, "--out", out, "--dry-run") == 0
    text = capsys.readouterr().out
    assert "0.json" in text
    assert re.search(r"2 work items, [\d.]+ k?B to read\nsteps: text_length -> image_url -> image_size", text)
    assert "before any step: about 8 documents, about 12 images, 0.0 s to extract on one core (" in text
    assert "records of the sample that become no document: no_content 1\nnothing was written" in text
    assert not Path(out).exists()


def test_a_build_is_reported_and_inspected(made, cluster, capsys):
    recipe, out = made
    assert infimm("build", recipe, "--out", out) == 0
    built = capsys.readouterr().out
    assert "too_few_words" in built
    assert "passes: extract" in built
    assert infimm("report", out) == 0
    assert "documents: 8 in the dump, 6 kept" in capsys.readouterr().out
    assert infimm("inspect", out, "--count", "2") == 0
    shown = capsys.readouterr().out
    assert shown.count("end of 0/") == 2
    key = shown.split()[0]
    assert infimm("inspect", out, "--id", key[:8]) == 0
    assert capsys.readouterr().out.startswith(f"{key} 00000.tar at byte 0\n")


def test_a_failed_work_item_is_named_and_the_status_is_1(made, cluster, tmp_path, capsys):
    recipe, out = made
    (tmp_path / "dump" / "0.json").write_text("{")
    assert infimm("build", recipe, "--out", out) == 1
    assert "failed in extract: 0.json: 0.json: not JSON" in capsys.readouterr().out


def test_a_run_that_cannot_go_on_has_status_1_and_one_line(made, cluster, tmp_path, capsys):
    recipe, out = made
    for path in (tmp_path / "dump").iterdir():
        path.write_text("{")
    assert infimm("build", recipe, "--out", out) == 1
    assert "every work item failed, the last 1.json: 1.json: not JSON" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "OUT"], "no report/funnel.json there; run 'infimm build RECIPE --out"),
        (["inspect", "OUT"], "no finished shards there; run 'infimm build RECIPE --out"),
        (["inspect", "OUT", "--count", "0"], "--count 0: expected 1 or more"),
        (["extract", "OUT/x.html", "--url", "https://a.example/"], "no such file; expected an HTML page"),
    ],
)
def test_looking_where_nothing_is_has_status_2_and_one_line(tmp_path, arguments, said, capsys):
    assert infimm(*(word.replace("OUT", str(tmp_path)) for word in arguments)) == 2
    text = capsys.readouterr().err
    assert said in text
    assert text.count("\n") == 1


def test_what_is_inspected_cannot_drive_the_terminal(tmp_path, capsys):
    nodes = (TextNode(text="[bold]a[/bold] [/x] \x1b[2Jb\x9b1m\n\tc"), ImageNode(url="u", alt="\x07[/]", file="0.png"))
    sample = Sample(new_document(nodes, Origin(url="https://a.example/\x1b]0;x")), {"0.png": b"x"})
    write_manifest(str(tmp_path / "shards"), [write_shard(str(tmp_path / "shards"), 0, [sample])])
    assert infimm("inspect", str(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert "[bold]a[/bold] [/x] \ufffd[2Jb\ufffd1m\n" in shown
    assert not set(shown) & {"\x1b", "\x07", "\x9b"}


def test_a_set_without_documents_is_said(tmp_path, capsys):
    write_manifest(str(tmp_path / "shards"), [])
    assert infimm("inspect", str(tmp_path)) == 0
    assert "no document was kept" in capsys.readouterr().out


def test_an_id_that_is_not_there_is_said(tmp_path, capsys):
    write_manifest(str(tmp_path / "shards"), [])
    assert infimm("inspect", str(tmp_path), "--id", "ff") == 2
    assert "--id ff: no such document in " in capsys.readouterr().err


def test_html_files_become_documents_line_by_line(tmp_path, capsys):
    page = tmp_path / "a.html"
    page.write_text("<html><body><article><p>" + "Some words of a page. " * 20 + "</p></article></body></html>")
    empty = tmp_path / "b.html"
    empty.write_text("<html></html>")
    assert infimm("extract", str(page), str(empty), "--url", "https://a.example/") == 1
    out = capsys.readouterr()
    assert out.out.count("\n") == 1
    assert out.out.startswith('{"id":"')
    assert f"{empty}: no content found" in out.err


def test_a_reader_that_closes_the_pipe_is_no_error(tmp_path):
    samples = [Sample(new_document((TextNode(text="x" * 1000),), Origin(offset=n)), {}) for n in range(300)]
    write_manifest(str(tmp_path / "shards"), [write_shard(str(tmp_path / "shards"), 0, samples)])
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "pipelines.cli", "inspect", str(tmp_path), "--count", "300"]
    with subprocess.Popen(
        command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.fixture
def built(made, cluster):
    """A finished build; returns its folder."""
    recipe, out = made
    infimm("build", recipe, "--out", out)
    return out


def test_a_document_is_inspected_by_the_url_of_its_page_or_of_an_image(built, capsys):
    capsys.readouterr()
    assert infimm("inspect", built, "--url", "https://site0.example/2") == 0
    page = capsys.readouterr().out
    assert "00000.tar at byte" in page
    assert "<image 26x26 px, " in page
    assert infimm("inspect", built, "--url", "https://site0.example/2-1-26.png") == 0
    assert capsys.readouterr().out == page
    assert infimm("inspect", f"{built}/shards", "--url", "https://site0.example/2-1-26.png") == 0
    assert capsys.readouterr().out == page, "of the shards alone"


def test_a_dropped_document_is_inspected_and_said_to_be_dropped(built, capsys):
    capsys.readouterr()
    assert infimm("inspect", built, "--url", "https://site0.example/1") == 0
    said = capsys.readouterr().out
    assert "not in the shards: too_few_words; 'infimm why' tells its life" in said
    assert "<image ? px, https://site0.example/1-0-25.png>" in said


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--url", "https://nowhere.example/"], "--url https://nowhere.example/: no such document in"),
        (["--url", "u", "--id", "abcdef"], "--id and --url: give one of both"),
    ],
)
def test_what_cannot_be_inspected_is_one_line(built, more, said, capsys):
    assert infimm("inspect", built, *more) == 2
    text = capsys.readouterr().err
    assert said in text
    assert text.splitlines()[-1].startswith("infimm inspect: ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_its_flags(shell, capsys):
    pytest.importorskip("shtab", reason="no shtab: pip install shtab")
    assert infimm("completion", shell) == 0
    script = capsys.readouterr().out
    for command in commands():
        assert command in script
    assert "retry-failed" in script


def test_bash_completes_with_it(tmp_path, capsys):
    pytest.importorskip("shtab", reason="no shtab: pip install shtab")
    infimm("completion", "bash")
    (tmp_path / "infimm").write_text(capsys.readouterr().out)
    ask = f'source {tmp_path}/infimm; COMP_WORDS=(infimm "$1"); COMP_CWORD=1; COMP_LINE="infimm $1"'
    ask += "; COMP_POINT=${#COMP_LINE}"
    ask += '; _shtab_infimm infimm "$1" infimm; printf "%s\\n" "${COMPREPLY[@]}"'
    found = subprocess.run(["bash", "-c", ask, "bash", "ex"], capture_output=True, text=True, check=True).stdout
    expected = {command for command in commands() if command.startswith("ex")}
    assert set(found.split()) == expected > {"extract", "explore"}


def test_without_shtab_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert infimm("completion", "bash") == 2
    assert capsys.readouterr().err == "infimm completion: shell completion needs shtab: pip install shtab\n"
