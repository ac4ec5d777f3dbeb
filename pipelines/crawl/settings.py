"""How a crawl behaves: its pace, its patience, and what it asks for."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.fetch_settings import FetchSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlSettings:
    """The manners of a crawl; `fetch` holds the limits of one request.

    delay_s: seconds between two requests to a host, from the end of one to the start of the next; a Crawl-delay
    that asks for more is obeyed; max_delay_s: hosts that ask for more are left alone; attempts: at one URL, on 429,
    503 and what passes by itself; max_wait_s: of one Retry-After or backoff, more ends the attempts; page_images:
    ask for the images of each page as well; max_pages_per_host: None is all.
    """

    fetch: FetchSettings
    delay_s: float = 1.0
    max_delay_s: float = 60.0
    attempts: int = 3
    max_wait_s: float = 120.0
    page_images: bool = False
    max_pages_per_host: int | None = None

    @property
    def agent(self) -> str:
        """The product token that robots.txt is asked for."""
        return self.fetch.agent
