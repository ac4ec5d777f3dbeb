"""Fetch pass: the image URLs of a work item -> their bytes in a tar, and one row of facts per URL.

Here is which images are still to be fetched; what a worker does with a work item is `pipelines.image_files`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from infimm_data.tables import fingerprint, read_metadata, read_table
from pipelines.facts import needs_pixels
from pipelines.host_pace import GIVEN_UP
from pipelines.image_files import MISSING, fetch_item
from pipelines.layout import Layout
from pipelines.passes.decide import decide
from pipelines.passes.group import gather
from pipelines.rates import IN
from pipelines.recipe import Step
from pipelines.run import Run
from pipelines.sources.contract import Source, WorkItem

log = logging.getLogger(__name__)

VERSION = 2
PASSING = frozenset({
    "timeout", "connection_error", "unknown_host", "incomplete_body", "robots_unreachable", GIVEN_UP,
    "http_408", "http_429", "http_500", "http_502", "http_503", "http_504",
})  # fmt: skip
"""Failures that another hour may not have: the network's, and those that HTTP calls temporary."""
WORTH_SAYING = 0.1  # of all images: below it, dead links of any crawl; above it, more often our own network


def fetch(run: Run) -> None:
    """Fetch the images of the documents that the steps before the first look at pixels keep."""
    facts = gather(run)
    live = decide(facts, _steps_before_pixels(run.recipe.steps), fetched=False).images.kept
    todo = []
    for item in run.items:
        print_ = fetch_print(run, item)
        here = facts.of_item(item.key, {"image": []})
        rows = np.flatnonzero(live[here.image_rows])
        urls = list(dict.fromkeys(here.images.column("url").take(rows).to_pylist()))
        done = is_fetched(run.layout, item.key, urls, print_)
        again = (
            PASSING if run.retry_failed and done and statuses(run.layout, item.key).keys() & PASSING else frozenset()
        )
        if not done or again or holds_missing(run.recipe.source, item, run.layout):
            given = (run.recipe.source, item, run.layout, run.recipe.fetch, run.connect_to, urls, print_, again)
            todo.append((item, given))
    run.go("fetch", fetch_item, todo, counted=asked)
    _warn_of_passing_failures(run)


def _warn_of_passing_failures(run: Run) -> None:
    """Say how many images failed in ways that may pass, where these are more than a few of all."""
    found = sum((statuses(run.layout, item.key) for item in run.items), Counter[str]())
    passing = Counter({status: number for status, number in found.items() if status in PASSING})
    if passing.total() > WORTH_SAYING * found.total():
        named = ", ".join(f"{status} {number}" for status, number in passing.most_common())
        log.warning(
            "%d of %d images failed in ways that may pass (%s): the same command with --retry-failed asks them again",
            passing.total(), found.total(), named,
        )  # fmt: skip


def statuses(layout: Layout, item: str) -> Counter[str]:
    """Return how many URLs of a work item ended in each status."""
    return Counter(read_metadata(layout.images(item))[1])


def _steps_before_pixels(steps: Sequence[Step]) -> Sequence[Step]:
    return steps[: next((number for number, step in enumerate(steps) if needs_pixels(step)), len(steps))]


def fetch_print(run: Run, item: WorkItem) -> str:
    """Return the fingerprint of fetched images: their limits and how they are stored, then the documents."""
    settings = run.recipe.fetch
    named = {"max_bytes", "max_pixels", "max_redirects", "timeout_s", "robots", "tdmrep", "check", "resize"}
    limits = settings.model_dump(mode="json", include=named)
    allowed = sorted(settings.allow_private_hosts)
    return fingerprint("fetch", VERSION, limits, allowed) + run.prints[item.key]


def is_fetched(layout: Layout, item: str, urls: Sequence[str], print_: str) -> bool:
    """Return whether all these URLs were already tried under the same limits."""
    if read_metadata(layout.images(item))[0] != print_:
        return False
    return set(urls) <= set(read_table(layout.images(item), columns=["url"]).column("url").to_pylist())


def holds_missing(source: Source, item: WorkItem, layout: Layout) -> bool:
    """Return whether the dump now holds a file that was missing when its images were fetched."""
    table = read_table(layout.images(item.key), columns=["url", "status"])
    missing = [row["url"] for row in table.to_pylist() if row["status"] == MISSING] if table.num_rows else []
    return bool(missing) and next(iter(source.images(item, missing)), None) is not None


def asked(counts: Mapping[str, int]) -> dict[str, int]:
    """Return how many images were asked for, and why some of them did not come."""
    return {IN: sum(counts.values()), **{status: number for status, number in counts.items() if status != "ok"}}
