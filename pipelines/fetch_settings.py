"""What a recipe may say about fetching images over HTTP, with bounds that keep a hostile web harmless."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from infimm_data.config import Settings


class FetchSettings(Settings):
    """Limits of the fetch pass; every bound is inclusive.

    timeout_s: seconds for one image in all, redirects included (img2dataset's 10 s is per read, so that a slow
    drip runs for ever); max_bytes: of one body as it arrives, decompressed; max_redirects: hops; max_pixels:
    width x height as the header declares, checked before decoding (Pillow's own bomb limit is 89 million);
    concurrency: requests under way per work item; per_host: of these to one host; allow_private_hosts: host
    names whose addresses may be private or local; user_agent: sent with every request. engine: what fetches,
    "infimm" (aiohttp) or "img2dataset" (that package's own download function); both under the same limits.
    """

    engine: Literal["infimm", "img2dataset"] = "infimm"

    timeout_s: float = Field(default=10.0, gt=0)
    max_bytes: int = Field(default=20_000_000, ge=1)
    max_redirects: int = Field(default=5, ge=0)
    max_pixels: int = Field(default=89_478_485, ge=1)
    concurrency: int = Field(default=64, ge=1)
    per_host: int = Field(default=4, ge=1)
    allow_private_hosts: tuple[str, ...] = ()
    user_agent: str = "infimm/0.1 (dataset builder; honours X-Robots-Tag)"
