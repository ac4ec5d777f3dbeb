from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from infimm_data.torchvision_ops import declare_torchvision_ops


def test_torchvision_and_open_clip_import_after_it_and_again() -> None:
    declare_torchvision_ops()
    declare_torchvision_ops()
    assert importlib.import_module("torchvision").__name__ == "torchvision"
    assert importlib.import_module("open_clip.factory").__name__ == "open_clip.factory"


def test_it_declares_nothing_where_torchvision_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    declared: list[str] = []
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setattr(torch.library, "define", lambda name, schema: declared.append(name))
    declare_torchvision_ops()
    assert declared == []


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("operator torchvision::nms does not exist", ["torchvision::nms", "torchvision::qnms"]),
        ("the disk is full", []),
    ],
)
def test_only_missing_operators_are_mended(
    message: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared: list[str] = []
    (tmp_path / "torchvision.py").write_text(f"raise RuntimeError({message!r})")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(torch.library, "define", lambda name, schema: declared.append(name))
    if names:
        declare_torchvision_ops()
    else:
        with pytest.raises(RuntimeError, match=message):
            declare_torchvision_ops()
    assert declared == names
