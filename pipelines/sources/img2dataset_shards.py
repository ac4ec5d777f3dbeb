"""Finished WebDataset shards of img2dataset and DataComp, read in place: every pair in a tar is a document."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infimm_data.document import Document, ImageNode, Origin, TextNode, new_document
from infimm_data.errors import SourceError
from infimm_data.files import exists, read_bytes
from pipelines.annotations.caption_sets import SETS
from pipelines.preview import sampled
from pipelines.records.files import list_items
from pipelines.records.rows import RowFormat, read_rows
from pipelines.records.tars import TarSample, read_samples
from pipelines.records.values import BadValue, as_pixels, as_slug, as_text, stored_measures
from pipelines.sources.contract import Preview, Skipped, WorkItem

IMAGE_FIELDS = ("jpg", "jpeg", "png", "webp")  # img2dataset's encode_format, and what was stored without re-encoding
SUCCESS = "success"
MAX_MEMBER_BYTES = 1 << 26  # of one file in a tar; what is larger is passed over, like a link
_TABLE = RowFormat(columns=("key", "url", "status", "error_message"))
_PREVIEWED_ITEMS = 20
_NUMBERS = tuple(dict.fromkeys(name for known in SETS.values() for name in known.numbers))
_SLUGS = ("uid", *dict.fromkeys(name for known in SETS.values() for name in known.slugs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Img2datasetShards:
    """path: a folder or a glob of .tar shards {key}.jpg, {key}.txt, {key}.json; local or any fsspec URL.

    What could not be downloaded stands only in the {shard}.parquet beside a tar; where that is missing it goes
    uncounted. max_image_bytes: larger images are skipped. numbers, slugs: fields of the JSON that are kept as
    measures; by default all that LAION, COYO and DataComp measured, and DataComp's uid.
    """

    path: str
    max_image_bytes: int = 20_000_000
    numbers: tuple[str, ...] = _NUMBERS
    slugs: tuple[str, ...] = _SLUGS

    def work_items(self) -> list[WorkItem]:
        """List the tars by name; raises ConfigError where there is none."""
        return list_items(self.path, (".tar",), "img2dataset_shards")

    def read(self, item: WorkItem) -> Iterator[Document | Skipped]:
        """Yield a document for each whole pair of the tar; a Skipped for every other, and for each failed download.

        A pair's offset is the byte of its first member in the tar. Raises SourceError where the file is no tar.
        """
        keys: set[str] = set()
        for found in read_samples(item, (*IMAGE_FIELDS, "txt", "json"), MAX_MEMBER_BYTES):
            if isinstance(found, Skipped):
                yield found
            elif found.key in keys:
                yield Skipped(reason="repeated_id", offset=found.offset, detail=found.key)
            else:
                keys.add(found.key)
                yield self._pair(found, item)
        yield from _not_in_tar(item, keys)

    def images(self, item: WorkItem, urls: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (wanted URL, image file) from the tar; of a URL that stands there twice the first picture."""
        wanted = set(urls)
        for found in read_samples(item, (*IMAGE_FIELDS, "json"), MAX_MEMBER_BYTES):
            if isinstance(found, Skipped):
                continue
            url, image = _url(_json(found), found, item), _image(found)
            if image is not None and url in wanted and len(image) <= self.max_image_bytes:
                wanted.discard(url)
                yield url, image

    def preview(self, items: Sequence[WorkItem]) -> Preview:
        """Tell how many pairs the {shard}_stats.json beside the tars count; else what a sample says."""
        asked = items[:_PREVIEWED_ITEMS]
        counts = [count for item in asked if (count := _successes(item)) is not None]
        if len(counts) < len(asked):
            return sampled(self, items)
        scale = sum(item.size_bytes for item in items) / max(1, sum(item.size_bytes for item in asked))
        pairs = round(sum(counts) * scale)
        how = f"_stats.json of {len(counts)} of {len(items)} shards"
        return Preview(num_documents=pairs, num_images=pairs, how=how)

    def _pair(self, sample: TarSample, item: WorkItem) -> Document | Skipped:
        try:
            return self._document(sample, item)
        except BadValue as bad:
            return Skipped(reason=bad.reason, offset=sample.offset, detail=f"{sample.key}: {bad.detail}")

    def _document(self, sample: TarSample, item: WorkItem) -> Document | Skipped:
        """Return the document of a pair, or why it is none; raises BadValue on a text that is none."""
        facts = _json(sample)
        if facts is None:
            return Skipped(reason="bad_json", offset=sample.offset, detail=sample.key)
        url = _url(facts, sample, item)
        status, image = as_text(facts.get("status")) or SUCCESS, _image(sample)
        caption = as_text(sample.fields.get("txt")) or as_text(facts.get("caption"))
        reason = ""
        if status != SUCCESS:
            reason = _failure(status)
        elif image is None:
            reason = "no_image"
        elif len(image) > self.max_image_bytes:
            reason = "too_many_bytes"
        elif not caption:
            reason = "no_caption"
        if reason:
            return Skipped(reason=reason, offset=sample.offset, url=url, detail=sample.key)
        node = ImageNode(
            url=url,
            caption=caption,
            width=as_pixels(facts.get("width")),
            height=as_pixels(facts.get("height")),
            scores=stored_measures(facts, self.numbers, self.slugs),
        )
        licence = as_slug(facts.get("license", facts.get("LICENSE"))) or ""
        origin = Origin(dump=item.name, offset=sample.offset, url=url, licence=licence.strip("?"))
        return new_document((node, TextNode(text=caption)), origin)


def _json(sample: TarSample) -> Mapping[str, Any] | None:
    """Return the facts of a sample: {} where it has no JSON, None where that is broken."""
    if "json" not in sample.fields:
        return {}
    try:
        facts = json.loads(sample.fields["json"])
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def _image(sample: TarSample) -> bytes | None:
    return next((sample.fields[name] for name in IMAGE_FIELDS if name in sample.fields), None)


def _url(facts: Mapping[str, Any] | None, sample: TarSample, item: WorkItem) -> str:
    """Return the image's URL, or where there is none a name for it that no fetch can follow."""
    url = (facts or {}).get("url")
    return url.strip() if isinstance(url, str) and url.strip() else f"tar:{item.name}/{sample.key}"


def _failure(status: str) -> str:
    """Return the reason of a pair whose status is no success: img2dataset's own two, or that it is another."""
    return status if status in ("failed_to_download", "failed_to_resize") else "unknown_status"


def _beside(item: WorkItem, ending: str) -> str:
    return item.path.removesuffix(".tar") + ending


def _not_in_tar(item: WorkItem, keys: Collection[str]) -> Iterator[Skipped]:
    """Yield what the table beside the tar tells of: failed downloads, and successes that the tar has lost."""
    path = _beside(item, ".parquet")
    if not exists(path):
        return
    try:
        for found in read_rows(replace(item, name=f"{item.name} table", path=path), _TABLE):
            if isinstance(found, Skipped):
                yield found
                continue
            row = found.data
            status = as_slug(row.get("status")) or ""
            if status == SUCCESS and as_slug(row.get("key")) in keys:
                continue
            reason = "missing_from_tar" if status == SUCCESS else _failure(status)
            detail = f"{row.get('key')}: {row.get('error_message')}"
            yield Skipped(reason=reason, url=str(row.get("url") or ""), detail=detail)
    except SourceError as error:
        yield Skipped(reason="damaged_table", detail=str(error))


def _successes(item: WorkItem) -> int | None:
    try:
        count = json.loads(read_bytes(_beside(item, "_stats.json"))).get("successes")
    except (OSError, ValueError, AttributeError):
        return None
    return count if isinstance(count, int) and count >= 0 else None
