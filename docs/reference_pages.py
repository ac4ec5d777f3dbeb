"""The pages of the reference that the code itself writes: commands, filters, sources and recipes."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filters.table import FILTERS
from pipelines.cli import make_parser
from pipelines.sources.table import SOURCES

ROOT = Path(__file__).parent.parent
_KINDS = {"build": "Build recipes", "train": "Training recipes", "eval": "Evaluation recipes"}


def write(folder: Path) -> None:
    """Write the pages as Markdown into a folder; what is there already and the same keeps its time."""
    folder.mkdir(parents=True, exist_ok=True)
    pages = {
        "commands": _page("Commands", _commands()),
        "filters": _page("Filters", _entries(FILTERS, "filter")),
        "sources": _page("Sources", _entries(SOURCES, "kind")),
        **{f"recipes_{kind}": _page(title, _recipes(kind)) for kind, title in _KINDS.items()},
    }
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _page(title: str, parts: Iterator[str]) -> str:
    return "\n\n".join([f"# {title}", *parts]) + "\n"


def _commands() -> Iterator[str]:
    parser = make_parser()
    actions = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for name, command in actions.choices.items():
        command.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)
        yield f"## infimm {name}\n\n```text\n{command.format_help().strip()}\n```"


def _entries(table: Mapping[str, type[Any]], key: str) -> Iterator[str]:
    yield f"Each stands in a recipe as `{{{key}: NAME, setting: value}}`; a setting without a default must be given."
    for name, cls in table.items():
        opening = inspect.cleandoc(sys.modules[cls.__module__].__doc__ or "").strip()
        yield f"## {name}\n\n{_prose(opening)}\n\n{_prose(inspect.getdoc(cls) or '')}\n\n{_settings(cls)}"


def _prose(text: str) -> str:
    """Return a docstring as Markdown; what is indented there is shown as it stands."""
    shown = []
    for paragraph in text.split("\n\n"):
        as_it_stands = any(line.startswith((" ", "|")) for line in paragraph.splitlines())
        shown.append(f"```text\n{paragraph}\n```" if as_it_stands else _escaped(paragraph))
    return "\n\n".join(shown)


def _escaped(paragraph: str) -> str:
    """Return a paragraph in which only names in back-quotes are marked up."""
    parts = paragraph.split("`")
    plain = [part.replace("*", r"\*").replace("<", "&lt;").replace("_", r"\_") for part in parts]
    return "`".join(part if at % 2 else plain[at] for at, part in enumerate(parts))


def _settings(cls: type[Any]) -> str:
    rows = ["| setting | type | default |", "|---|---|---|"]
    for field in dataclasses.fields(cls):
        default = "must be given" if field.default is dataclasses.MISSING else f"`{_shown(field.default)}`"
        if field.default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = f"`{_shown(field.default_factory())}`"
        kind = str(field.type).replace("|", "or")
        rows.append(f"| `{field.name}` | `{kind}` | {default} |")
    return "\n".join(rows) if len(rows) > 2 else "It has no settings."


def _shown(value: Any) -> str:
    """Return a default as a recipe writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value).replace("|", "\\|") or '""'


def _recipes(kind: str) -> Iterator[str]:
    yield f"The files under `configs/{kind}/`; copy one and change what is yours."
    for path in sorted((ROOT / "configs" / kind).rglob("*.yaml")):
        text = path.read_text(encoding="utf-8").strip()
        yield f"## {path.relative_to(ROOT / 'configs' / kind).with_suffix('')}\n\n```yaml\n{text}\n```"
