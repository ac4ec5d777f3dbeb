"""Settings of the documentation: `make docs` builds it with Sphinx into build/docs, warnings being errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for the two scripts beside this file
sys.path.insert(0, str(HERE.parent))

project = "InfiMM"
author = "the founders of InfiMM"
project_copyright = f"2026, {author}"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["README.md"]
html_theme = "furo"
html_title = "InfiMM"
html_static_path: list[str] = []
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
default_role = "code"  # our docstrings write names in single back-quotes
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
nitpicky = False


def tables_as_they_stand(*event: Any) -> None:
    """Show a table in a docstring as it stands: reStructuredText has another form for tables."""
    lines: list[str] = event[-1]
    shown: list[str] = []
    was_table = False
    for line in lines:
        is_table = line.startswith("|")
        if is_table != was_table:
            shown += ["", "::", ""] if is_table else [""]
        shown.append(f"   {line}" if is_table else line)
        was_table = is_table
    lines[:] = shown


def setup(app: Any) -> None:
    """Write the pages that come from the code, before Sphinx looks for pages."""
    import mask_pictures
    import reference_pages

    app.connect("autodoc-process-docstring", tables_as_they_stand)
    reference_pages.write(HERE / "reference" / "made")
    mask_pictures.write(HERE / "explanation" / "made")
