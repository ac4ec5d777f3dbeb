"""The captioned file tree of the README, made from the first sentence of every file.

`python tests/readme_tree.py` writes it; test_architecture.py checks that it is true.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("infimm_data", "filters", "model", "pipelines", "configs", "benchmarks")
START, END = "<!-- tree: python tests/readme_tree.py -->\n```\n", "```\n<!-- end of tree -->\n"
WIDTH = 46


def caption(path: Path) -> str:
    """First sentence of a module's docstring, or what a recipe says of itself after `# What:`."""
    text = path.read_text()
    if path.suffix == ".yaml":
        return text.splitlines()[0].removeprefix("# What:").strip()
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, f"{path}: no docstring"
    return docstring.split("\n\n")[0].replace("\n", " ")


def tree() -> str:
    lines = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix not in (".py", ".yaml"):
                continue
            if path.name == "__init__.py":
                name = path.parent.relative_to(ROOT).as_posix() + "/"
            lines.append((name, caption(path)))
    lines.sort(key=lambda line: line[0])
    return "".join(f"{name:<{WIDTH}} {text}\n" for name, text in lines)


def with_tree(readme: str) -> str:
    """Return the README with its tree as it should be now."""
    before, _, rest = readme.partition(START)
    _, _, after = rest.partition(END)
    assert rest, "README.md has its two tree marks"
    return before + START + tree() + END + after


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_tree(path.read_text()))
