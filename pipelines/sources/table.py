"""Every source by its name in a recipe."""

from __future__ import annotations

from pipelines.sources.contract import Source
from pipelines.sources.web_archive import WebArchive

SOURCES: dict[str, type[Source]] = {"web_archive": WebArchive}
