"""The fetch engine `img2dataset`: that package's own download function, in threads, behind guards that it lacks.

img2dataset 1.47.0 reads file:// URLs, follows redirects to private addresses, bounds neither the time nor the bytes
of an image, and poses as a browser. Its function asks through urllib's opener; the one installed here routes what
it asks through `GuardedGet`. Nothing is resized or re-encoded, so orientation and pixels stay as they were sent.
Cost: importing it takes 3 s and 390 MB in every worker (pandas, albumentations, wandb); measured on one core.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import os
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPMessage
from typing import Any

from yarl import URL

from infimm_data.errors import ConfigError
from pipelines.fetch_settings import FetchSettings
from pipelines.guarded_http import GuardedGet
from pipelines.http_session import OPT_OUT, Admit, ConnectTo, Refused

IMPORTED = ("img2dataset", "albumentations", "wandb", "exifread", "fire", "pandas")
_PROBE = "http://img2dataset.invalid/"  # RFC 6761: a name that no resolver knows

Get = Callable[[str], tuple[HTTPMessage, bytes]]


def check_installed() -> None:
    """Raise ConfigError where the package, or something that it imports, is not installed."""
    missing = [name for name in IMPORTED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"fetch engine img2dataset: {', '.join(missing)} not installed; run pip install 'infimm[img2dataset]', "
            "or set engine: infimm"
        )


class Img2datasetEngine:
    """img2dataset's download function in as many threads as requests may be under way."""

    def __init__(self, settings: FetchSettings, connect_to: ConnectTo) -> None:
        """Raises ConfigError where img2dataset is not installed, or does not ask through urllib's opener."""
        self._download = _download_function()
        self._get = GuardedGet(settings, connect_to)
        self._timeout_s = settings.timeout_s
        self._threads = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="img2dataset")
        if self._image(_PROBE, lambda url: (HTTPMessage(), url.encode())) != _PROBE.encode():
            raise ConfigError(
                "fetch engine img2dataset: this version does not ask through urllib's opener, so that nothing would "
                "guard it; install img2dataset==1.47.0, or set engine: infimm"
            )

    async def get(self, url: str, admit: Admit) -> bytes:
        """Return the image file; raises Refused with the same reasons as the engine `infimm`."""
        loop = asyncio.get_running_loop()

        async def asked(hop: str) -> URL:
            return await admit(hop)

        def admit_in_loop(hop: str, left_s: float) -> URL:
            future = asyncio.run_coroutine_threadsafe(asked(hop), loop)
            try:
                return future.result(left_s)
            finally:
                future.cancel()

        return await loop.run_in_executor(self._threads, self._image, url, lambda hop: self._get(hop, admit_in_loop))

    async def close(self) -> None:
        """Let go; a request still under way ends at its own deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._get.close()

    def _image(self, url: str, get: Get) -> bytes:
        refusals: list[Refused] = []

        def remembering(asked: str) -> tuple[HTTPMessage, bytes]:
            try:
                return get(asked)
            except Refused as refused:  # img2dataset makes a text of it
                refusals.append(refused)
                raise

        _this_thread.get = remembering
        try:
            _, stream, _ = self._download((0, url), self._timeout_s, 0, None, OPT_OUT)
        finally:
            del _this_thread.get
        if stream is None:
            raise refusals[-1] if refusals else Refused("connection_error")
        return bytes(stream.getvalue())


_this_thread = threading.local()  # .get: what answers urllib's requests in a thread of ours


class _Opener:
    """urllib's opener: requests in our threads go to their guard, all others the way they always went."""

    def __init__(self) -> None:
        self._others = urllib.request.build_opener()

    def open(self, request: Any, data: Any = None, timeout: Any = None) -> Any:
        get: Get | None = getattr(_this_thread, "get", None)
        if get is None:
            return self._others.open(request, data, timeout)
        return _Answer(*get(request.full_url))


class _Answer(io.BytesIO):
    """What img2dataset asks of a response: `read`, `headers` and a `with` block."""

    def __init__(self, headers: HTTPMessage, body: bytes) -> None:
        super().__init__(body)
        self.headers = headers


def _download_function() -> Callable[..., tuple[int, io.BytesIO | None, str | None]]:
    """Return img2dataset's `download_image_with_retry`, with our opener installed in this process."""
    check_installed()
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network for a newer version
    from img2dataset.downloader import download_image_with_retry

    urllib.request.install_opener(_Opener())  # type: ignore[arg-type]  # only `open` is asked of it
    return download_image_with_retry  # type: ignore[no-any-return]
