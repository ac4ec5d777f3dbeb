"""Archive files over HTTP: fsspec's file system with deadlines, retries and the safety rules of `http_session`.

fsspec alone follows redirects anywhere, never retries, and reads a whole file where a server ignores the range
that was asked for. Common Crawl answers 503 (SlowDown) to whoever presses it.
"""

from __future__ import annotations

import asyncio
import random
import re
from datetime import UTC, datetime
from typing import Any

import aiohttp
import fsspec
from fsspec.implementations.http import HTTPStreamFile
from yarl import URL

from infimm_data.files import file_system
from pipelines.fetch_settings import FetchSettings
from pipelines.http_session import Refused, check_url, new_session, retry_after_s

HTTP = ("http://", "https://")
ATTEMPTS = 6  # with the waits between them about half a minute of a host that does not answer
NAME_ATTEMPTS = 2  # of a name that is not found: more often a typing error or no network than a passing trouble
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0  # doubled each time; Retry-After counts up to the longest
ANSWER_S = 120.0  # of one answer with its body: 5 MB, fsspec's block, at 42 KB/s
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class StoreError(Exception):
    """A store over HTTP does not give what was asked for. No OSError: aiohttp would make one of its own of it."""


class NotThereError(StoreError):
    """The store has no such file, or the file ends before the bytes that were asked for."""


READ_ERRORS = (OSError, StoreError, aiohttp.ClientError)
"""What reading from any file system may raise."""


def archive_file_system(path: str) -> tuple[Any, str]:
    """Return the fsspec file system of `path` and the path inside it; over HTTP, one that is safe to leave alone.

    The host that `path` names is trusted (it may be a mirror at a private address); where it redirects to is not.
    Raises ConfigError as `infimm_data.files.file_system`.
    """
    if not path.startswith(HTTP):
        return file_system(path)
    host = URL(path).raw_host or ""
    return fsspec.filesystem("http", get_client=_new_client, client_kwargs={"trusted_host": host}), path


def check_seekable(file: Any) -> None:
    """Raise StoreError where a file over HTTP can only be read from its beginning on, once."""
    if isinstance(file, HTTPStreamFile):
        raise StoreError("the server does not answer byte ranges; download the file and give its local path")


async def _new_client(*, loop: object, trusted_host: str) -> aiohttp.ClientSession:
    settings = FetchSettings(allow_private_hosts=(trusted_host,))

    async def careful(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        return await _answer(request, handler, settings)

    return new_session(settings, {}, {"Accept-Encoding": "identity"}, (careful,))


async def _answer(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType, settings: FetchSettings
) -> aiohttp.ClientResponse:
    """Return the answer to one hop, asked again while that may help; raises StoreError that says why there is none."""
    try:
        check_url(str(request.url), settings)
    except Refused as refused:
        raise StoreError(f"{request.url}: refused ({refused.reason})") from None
    for attempt in range(1, ATTEMPTS + 1):
        wait: float | None = None
        try:
            async with asyncio.timeout(ANSWER_S):
                response = await handler(request)
                if response.status not in _RETRIED:
                    return await _checked(request, response)
            problem = f"HTTP {response.status}"
            wait = retry_after_s(response.headers, datetime.now(UTC))
            response.close()
        except Refused as refused:  # of the resolver
            raise StoreError(f"{request.url}: refused ({refused.reason})") from None
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is one
            problem = str(error) or type(error).__name__
            if isinstance(error, aiohttp.ClientConnectorDNSError) and attempt >= NAME_ATTEMPTS:
                break
        if attempt < ATTEMPTS:
            backoff = FIRST_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)  # so that workers spread
            await asyncio.sleep(min(max(backoff, wait or 0.0), LONGEST_WAIT_S))
    raise StoreError(f"{request.url}: {problem}, asked {attempt} times")


async def _checked(request: aiohttp.ClientRequest, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
    """Return an answer that is what was asked for, a part with its body read, so that a broken one is asked again."""
    problem: StoreError | None = None
    asked = _RANGE.fullmatch(request.headers.get("Range", ""))
    length = response.content_length
    if response.status in (404, 410):
        problem = NotThereError(f"{request.url}: HTTP {response.status}")
    elif response.status == 416:
        problem = NotThereError(f"{request.url}: HTTP 416, the file ends before {request.headers.get('Range')}")
    elif response.status >= 400:
        problem = StoreError(f"{request.url}: HTTP {response.status}")
    elif asked and response.status < 300:
        first, last = int(asked[1]), int(asked[2])
        if response.status != 206 and first > 0:
            problem = StoreError(f"{request.url}: the server does not answer byte ranges")
        elif length is None or length > last - first + 1:
            problem = StoreError(
                f"{request.url}: the server sends {length} bytes where {last - first + 1} were asked for"
            )
        else:
            await response.read()
    if problem is not None:
        response.close()
        raise problem
    return response
