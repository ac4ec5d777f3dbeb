"""What a recipe may say about fetching images over HTTP, with bounds that keep a hostile web harmless."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from infimm_data.config import Settings
from infimm_data.resize import Resize


class ResizeSettings(Settings):
    """How images are stored where they are not stored as they came; modes and sizes as `infimm_data.resize.Resize`.

    size: pixels; quality: of JPEG and WebP (img2dataset's default is 95); format: "jpeg", "webp" or "png".
    """

    size: int = Field(default=256, ge=1, le=16_384)
    mode: Literal["keep_ratio", "keep_ratio_largest", "center_crop", "border", "none"] = "keep_ratio"
    quality: int = Field(default=95, ge=1, le=100)
    format: Literal["jpeg", "webp", "png"] = "jpeg"

    def plan(self) -> Resize:
        """Return the settings as `infimm_data` takes them."""
        return Resize(size=self.size, mode=self.mode, quality=self.quality, format=self.format)


class FetchSettings(Settings):
    """Limits and manners of the fetch pass; every bound is inclusive.

    timeout_s: seconds for one image in all, redirects included (img2dataset's 10 s is per read, so that a slow
    drip runs for ever); max_bytes: of one body as it arrives, decompressed; max_redirects: hops; max_pixels:
    width x height as the header declares, checked before decoding (Pillow's own bomb limit is 89 million);
    concurrency: requests under way per work item; per_host: of these to one host; allow_private_hosts: host
    names whose addresses may be private or local; user_agent: sent with every request. engine: what fetches,
    "infimm" (aiohttp) or "img2dataset" (that package's own download function); both under the same limits.

    delay_s: seconds between the starts of two requests to one host; a Crawl-delay that asks for more is obeyed.
    attempts: at one URL, while it fails in a way that seconds may mend (`pipelines.host_pace.RETRIED`); backoff_s:
    before the second attempt, doubled with each more, plus up to half of it (by URL, the same in every run);
    max_wait_s: the longest Retry-After, backoff or Crawl-delay that is waited for; a host that asks for more is left
    alone for this run. robots: obey each host's robots.txt (RFC 9309) as `agent`; on by default, since a fetch of
    millions of images is what the file is written for, at one small request per host and work item. tdmrep: ask for
    each host's /.well-known/tdmrep.json too and leave out what it reserves (`pipelines.crawl.reservations`); on by
    default, since TDMRep has every miner look there before anything else, at one more small request per host and
    work item over the same connection; a live crawl does the same. A tdm-reservation header is honoured without it.
    check: "pixels" decodes each image once, which proves it whole and gives its perceptual hash; "header" believes
    what the file says of itself. resize: how images are stored; None stores the bytes as they came.
    """

    engine: Literal["infimm", "img2dataset"] = "infimm"

    timeout_s: float = Field(default=10.0, gt=0)
    max_bytes: int = Field(default=20_000_000, ge=1)
    max_redirects: int = Field(default=5, ge=0)
    max_pixels: int = Field(default=89_478_485, ge=1)
    concurrency: int = Field(default=64, ge=1)
    per_host: int = Field(default=4, ge=1)
    allow_private_hosts: tuple[str, ...] = ()
    user_agent: str = "infimm/0.1 (dataset builder; honours robots.txt, X-Robots-Tag and tdm-reservation)"

    delay_s: float = Field(default=0.0, ge=0)
    attempts: int = Field(default=3, ge=1)
    backoff_s: float = Field(default=1.0, ge=0)
    max_wait_s: float = Field(default=30.0, ge=0)
    robots: bool = True
    tdmrep: bool = True
    check: Literal["pixels", "header"] = "pixels"
    resize: ResizeSettings | None = None

    @property
    def agent(self) -> str:
        """The product token that robots.txt is asked for: what stands before the version in the user agent."""
        return self.user_agent.partition("/")[0].partition(" ")[0].lower()
