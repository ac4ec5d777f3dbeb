"""Makes the demo's dump: three web archives, the pictures that only the server has, and the truth about all of it.

    python -m pipelines.demo.make_dump [DIRECTORY]

The same code writes the same bytes under the same Pillow and zlib, named in made_with.json. Cost: 12 seconds.

    dump/demo-0000N.warc.gz   pages, each followed by those of its pictures that the archive holds
    pictures.zip              HOST/PATH -> the pictures of the picture hosts
    truth.jsonl               one line per page: url, kind, language, file, and its images with scene, match, problem
    made_with.json            versions on which the bytes depend
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import __version__ as pillow_version

from infimm_data.files import write_bytes
from pipelines.demo.archive import Archive, compressor
from pipelines.demo.oddities import odd_pages, site_images
from pipelines.demo.pages import ARTICLES, content_pages
from pipelines.demo.web import MOVED, Page, Picture

DIRECTORY = Path(__file__).parent / "data"
NUM_FILES = 3
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that zip can say

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Dump:
    """What `make` returns: file name (relative to the data directory) -> its bytes."""

    files: dict[str, bytes]


def make(articles: int = ARTICLES) -> Dump:
    """Return all files of the dump; articles: of the main kind (>= 1), everything else in proportion."""
    pages = sorted([*content_pages(articles), *odd_pages(min(1.0, articles / ARTICLES))], key=_shuffled)
    parts = [pages[number::NUM_FILES] for number in range(NUM_FILES)]
    archives = [Archive(f"demo-{number:05d}.warc.gz") for number in range(NUM_FILES)]
    for archive, part in zip(archives, parts, strict=True):
        _fill(archive, part, site_images() if archive is archives[0] else ())
    files = {f"dump/{archive.name}": bytes(archive.data) for archive in archives}
    files["pictures.zip"] = _zip(pages)
    lines = [_truth(page, archive.name) for archive, part in zip(archives, parts, strict=True) for page in part]
    files["truth.jsonl"] = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines).encode()
    files["made_with.json"] = (json.dumps(made_with(), sort_keys=True) + "\n").encode()
    return Dump(files)


def made_with() -> dict[str, str]:
    """Return the versions on which the bytes of the dump depend."""
    return {"pillow": pillow_version, "zlib": compressor()}


def write(dump: Dump, directory: Path = DIRECTORY) -> None:
    """Write every file of the dump, whole or not at all."""
    for name, data in dump.files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(str(directory / name), data)
        log.info("file=%s size_bytes=%d", name, len(data))


def _shuffled(page: Page) -> bytes:
    """Order pages by a digest, so that every file of the dump holds some of every kind."""
    return hashlib.sha256(page.url.encode()).digest()


def _fill(archive: Archive, pages: Iterable[Page], shared: Iterable[Picture]) -> None:
    """Append the shared pictures, then each page and its archived pictures, no address twice."""
    written = set()
    for picture in shared:
        archive.picture(picture)
    for page in pages:
        archive.page(page)
        for picture in page.pictures:
            if picture.stored == "archive" and picture.url not in written:
                written.add(picture.url)
                archive.picture(picture)


def _served(pages: Iterable[Page]) -> Iterator[tuple[str, bytes]]:
    """Yield (HOST/PATH, file) of each picture that only the server has; moved ones where they are now."""
    for page in pages:
        for picture in page.pictures:
            if picture.stored == "http":
                yield picture.url.removeprefix("http://").replace(MOVED, "/", 1), picture.body


def _zip(pages: Iterable[Page]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as packed:
        for name, body in sorted(dict(_served(pages)).items()):
            packed.writestr(zipfile.ZipInfo(name, date_time=_ZIP_DATE), body)
    return file.getvalue()


def _truth(page: Page, file: str) -> dict[str, Any]:
    images = [
        {
            "url": picture.url,
            "stored": picture.stored,
            "matches": picture.matches,
            "problem": picture.problem,
            "scene": picture.scene.key if picture.scene else None,
        }
        for picture in page.pictures
    ]
    return {"url": page.url, "kind": page.kind, "language": page.language, "file": file, "images": images}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    write(make(), *map(Path, sys.argv[1:2]))
