"""The house rules of the design, kept by reading every file; each rule is seen to fail on a planted violation."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))  # tests are no package
from readme_tree import with_tree

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("infimm_data", "filters", "model", "pipelines")
MAY_IMPORT = {
    "infimm_data": {"infimm_data"},
    "filters": {"filters", "infimm_data"},
    "model": {"model", "infimm_data"},
    "pipelines": set(ROOMS),
}
# Where training and evaluation are launched, and where a training recipe's tokenizer shows how it reads shards:
MODEL_CALLERS = (
    "pipelines.commands.train", "pipelines.commands.plan", "pipelines.commands.explain", "pipelines.commands.eval",
    "pipelines.commands.explore", "pipelines.demo.",
)  # fmt: skip
TORCH_BELOW = ("infimm_data.stream", "infimm_data.torchvision_ops")  # the shim that filters and model both need
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 80
P95_FUNCTION_LINES = 40


@dataclass(frozen=True)
class Import:
    module: str
    target: str


def module_name(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def python_files(root: Path) -> list[Path]:
    return sorted(path for room in ROOMS for path in (root / room).rglob("*.py"))


def imports_of(path: Path, root: Path) -> list[Import]:
    """All imports of a file, those inside functions too."""
    name = module_name(path, root)
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [Import(name, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            found += [Import(name, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def ours(found: Import) -> bool:
    return found.target.split(".")[0] in ROOMS


def wrong_direction(found: Import) -> str | None:
    """Say which rule an import breaks, or None."""
    room, target_room = found.module.split(".")[0], found.target.split(".")[0]
    if target_room not in MAY_IMPORT[room]:
        return f"{room} may not import {target_room}"
    if room == "filters" and found.target.startswith("infimm_data.stream"):
        return "filters may not import the stream"
    if room == "pipelines" and target_room == "model" and not found.module.startswith(MODEL_CALLERS):
        return "pipelines imports the model only where training is launched"
    for siblings in ("filters", "pipelines.sources"):
        names = (found.module.removeprefix(siblings + "."), found.target.removeprefix(siblings + ".").split(".")[0])
        both_inside = found.module.startswith(siblings + ".") and found.target.startswith(siblings + ".")
        if (
            both_inside
            and "." not in names[0]
            and names[0] != "table"
            and names[1] not in (names[0], "contract", "models")
        ):
            return f"siblings in {siblings} may not import each other"
    return None


def heavy(found: Import) -> bool:
    return found.target.split(".")[0] in ("torch", "transformers", "open_clip", "torchvision")


def cycles(edges: dict[str, set[str]]) -> list[str]:
    """Modules that reach themselves."""

    def reaches(start: str) -> bool:
        seen: set[str] = set()
        stack = list(edges.get(start, ()))
        while stack:
            here = stack.pop()
            if here == start:
                return True
            if here not in seen:
                seen.add(here)
                stack.extend(edges.get(here, ()))
        return False

    return [module for module in sorted(edges) if reaches(module)]


def import_graph(root: Path) -> dict[str, set[str]]:
    modules = {module_name(path, root) for path in python_files(root)}
    edges: dict[str, set[str]] = {module: set() for module in modules}
    for path in python_files(root):
        for found in imports_of(path, root):
            target = found.target if found.target in modules else found.target.rpartition(".")[0]
            if target in modules and target != found.module:
                edges[found.module].add(target)
    return edges


def function_lengths(path: Path) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((f"{path.name}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1))
    return found


def violations(root: Path) -> list[str]:
    found = []
    for path in python_files(root):
        name = module_name(path, root)
        lines = len(path.read_text().splitlines())
        if lines > MAX_FILE_LINES:
            found.append(f"{name}: {lines} lines")
        for one in imports_of(path, root):
            problem = wrong_direction(one) if ours(one) else None
            if problem:
                found.append(f"{name} -> {one.target}: {problem}")
            if heavy(one) and name.startswith("infimm_data") and not name.startswith(TORCH_BELOW):
                found.append(f"{name} -> {one.target}: torch in infimm_data lives in stream/ only")
        for function, length in function_lengths(path):
            if length > MAX_FUNCTION_LINES:
                found.append(f"{function}: {length} lines")
        if path.name == "__init__.py" and len(ast.parse(path.read_text()).body) != 1:
            found.append(f"{name}: __init__ is a docstring only")
    return found + [f"{module} imports itself in a circle" for module in cycles(import_graph(root))]


def test_imports_point_down_and_files_stay_small():
    assert violations(ROOT) == []


def test_95_of_100_functions_have_at_most_40_lines():
    lengths = sorted(length for path in python_files(ROOT) for _, length in function_lengths(path))
    assert lengths[int(0.95 * len(lengths))] <= P95_FUNCTION_LINES


@pytest.mark.parametrize(
    ("file", "code", "problem"),
    [
        ("infimm_data/bad.py", "def f():\n    import pipelines.cli\n", "infimm_data may not import pipelines"),
        ("filters/bad.py", "from model import infimm\n", "filters may not import model"),
        ("filters/bad.py", "from filters.other import x\n", "siblings in filters may not import each other"),
        ("filters/bad.py", "from infimm_data.stream import batch\n", "filters may not import the stream"),
        ("pipelines/sources/bad.py", "from pipelines.sources.web import x\n", "siblings in pipelines.sources"),
        ("pipelines/passes/bad.py", "import model.train\n", "only where training is launched"),
        ("infimm_data/bad.py", "def f():\n    import torch\n", "torch in infimm_data"),
        ("infimm_data/__init__.py", '"""Doc."""\nx = 1\n', "docstring only"),
        ("model/bad.py", "x = 1\n" * 301, "301 lines"),
        ("model/bad.py", "def f():\n" + "    x = 1\n" * 80, "81 lines"),
        ("model/a.py", "import model.b\n", "circle"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, file, code, problem):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "b.py").write_text("def f():\n    import model.a\n")
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(code)
    assert any(problem in found for found in violations(tmp_path))


def tracked_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if (ROOT / line).exists()]


def test_the_readme_tree_has_every_file_with_its_own_first_sentence():
    readme = (ROOT / "README.md").read_text()
    assert readme == with_tree(readme), "run: python tests/readme_tree.py"


def test_no_machine_path_stands_in_the_repository():
    banned = ("/" + "work/", "/" + "root/", "/home/" + "user")
    for name in tracked_files():
        if name.endswith((".py", ".md", ".yaml", ".toml", "Makefile", ".json", "run")):
            text = (ROOT / name).read_text()
            assert not [word for word in banned if word in text], name


def test_configs_hold_yaml_only():
    assert {path.suffix for path in (ROOT / "configs").rglob("*") if path.is_file()} <= {".yaml"}
