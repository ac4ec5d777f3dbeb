"""The two tables of InfiMM's README with our rows in them, as Markdown and as HTML with the best and worst answers."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infimm_data.files import write_bytes
from model.evaluation.published_rows import INSTRUCTED, INSTRUCTION, PRETRAINED, PRETRAINING

OURS = "this model"
MOST = 300  # characters of a question or an answer that the page shows
ABSENT = "-"
CONVENTIONS = {"two_text_demonstrations": "after two examples without pictures", "nothing": "no example at all"}
"""How a recipe's `zero_shot` reads in a row: the two give very different figures."""

NOTE = (
    "Our figures: 95 % interval in brackets (normal approximation over questions). Published rows: README of "
    "InfiMM-Zephyr; IDEFICS was measured with other prompts. * only the first questions."
)


@dataclass(frozen=True)
class Table:
    """rows: the first cell is the model."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def write_tables(out: str) -> None:
    """Write OUT/tables.md and OUT/tables.html from every result.json below OUT."""
    results: dict[tuple[str, int], Mapping[str, Any]] = {}
    others: list[tuple[str, ...]] = []
    for file in sorted(Path(out).glob("*/*/result.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        task, shots = str(result["task"]), int(result["shots"])
        if result["dataset"] is None and (task in PRETRAINING or task in INSTRUCTION):
            results[task, shots] = result
        else:
            name = task if result["dataset"] is None else f"{task} on {result['dataset']}"
            others.append((f"{OURS}, {shots} shots, {name}", _cell(result)))
    tables = [pretraining_table(results), instruction_table(results)]
    if others:
        tables.append(Table("Other questions", ("Model", "Score"), tuple(others)))
    write_bytes(str(Path(out) / "tables.md"), _markdown(tables).encode())
    write_bytes(str(Path(out) / "tables.html"), _page(tables, out).encode())


Results = Mapping[tuple[str, int], Mapping[str, Any]]


def pretraining_table(results: Results) -> Table:
    """Return captioning and question answering by number of shots, the published rows first."""
    all_shots = sorted({0, 4} | {shots for task, shots in results if task in PRETRAINING})
    rows: list[tuple[str, ...]] = []
    for shots in all_shots:
        rows += [(f"{model}, {shots} shots", *own[shots]) for model, own in PRETRAINED.items() if shots in own]
        ours = [_cell(results[task, shots]) if (task, shots) in results else ABSENT for task in PRETRAINING]
        used = {results[task, shots]["zero_shot"] for task in PRETRAINING if (task, shots) in results} - {None}
        convention = "".join(f", {CONVENTIONS[name]}" for name in sorted(used))
        rows.append((f"{OURS}, {shots} shots{convention}", *ours))
    return Table("After pretraining", ("Model", *PRETRAINING.values()), tuple(rows))


def instruction_table(results: Results) -> Table:
    """Return the benchmarks of instruction-tuned models, at 0 shots."""
    rows = [(model, *cells) for model, cells in INSTRUCTED.items()]
    ours = [_cell(results[task, 0]) if (task, 0) in results else ABSENT for task in INSTRUCTION]
    return Table("After instruction tuning", ("Model", *INSTRUCTION.values()), (*rows, (OURS, *ours)))


def _cell(result: Mapping[str, Any]) -> str:
    """Return "59.1 [58.0, 60.2]", for MME "1406.0 / 327.0 [...]"; a star where only some questions were asked."""
    score = f"{result['score']:.1f}"
    if result["task"] == "mme":
        score += f" / {result['cognition']:.1f}"
    interval = result["interval"]
    spread = f" [{interval[0]:.1f}, {interval[1]:.1f}]" if interval else ""
    return score + ("*" if result["limit"] is not None else "") + spread


def _markdown(tables: Sequence[Table]) -> str:
    parts = []
    for table in tables:
        lines = [" | ".join(row) for row in (table.head, *table.rows)]
        lines.insert(1, " | ".join(["---"] * len(table.head)))
        parts.append(f"## {table.title}\n\n" + "\n".join(f"| {line} |" for line in lines))
    return "\n\n".join([*parts, NOTE]) + "\n"


def _page(tables: Sequence[Table], out: str) -> str:
    body = []
    for table in tables:
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
        rows = "".join(
            f"<tr{' class=ours' if row[0].startswith(OURS) else ''}>"
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
            + "</tr>"
            for row in table.rows
        )
        body.append(f"<h2>{html.escape(table.title)}</h2><table><tr>{head}</tr>{rows}</table>")
    body.append(f"<p>{html.escape(NOTE)}</p>")
    body += [_answers(file) for file in sorted(Path(out).glob("*/*/gallery.json"))]
    style = (
        "body{font:15px/1.4 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
        "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.3em .6em;text-align:left}"
        ".ours{background:#eef6ff;font-weight:600}.answers{display:flex;flex-wrap:wrap;gap:1em}"
        "figure{margin:0;width:224px}figcaption{font-size:13px;overflow-wrap:anywhere}"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Evaluation</title><style>{style}</style>"
        f"<h1>Evaluation</h1>{''.join(body)}</html>\n"
    )


def _answers(file: Path) -> str:
    """Return the section with the best and worst answers of one cell."""
    entries = json.loads(file.read_text(encoding="utf-8"))
    sections = []
    for rank in ("best", "worst"):
        figures = "".join(_figure(entry, file.parent) for entry in entries if entry["rank"] == rank)
        sections.append(f"<h4>{rank}</h4><div class=answers>{figures}</div>" if figures else "")
    return f"<h3>{html.escape(f'{file.parent.parent.name}, {file.parent.name}')}</h3>{''.join(sections)}"


def _figure(entry: Mapping[str, Any], folder: Path) -> str:
    lines = [
        f"<b>{html.escape(str(entry['answer'])[:MOST])}</b>",
        html.escape(str(entry["question"])[:MOST]),
        html.escape("right: " + "; ".join(map(str, entry["references"]))[:MOST]),
        f"points {entry['points']:.3g}",
    ]
    picture = ""
    if entry["picture"]:
        data = base64.b64encode((folder / entry["picture"]).read_bytes()).decode()
        picture = f'<img alt="" src="data:image/jpeg;base64,{data}">'
    return f"<figure>{picture}<figcaption>{'<br>'.join(filter(None, lines))}</figcaption></figure>"
