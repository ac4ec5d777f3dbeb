"""Small archives of exactly the right shape, made by code: WARC, WAT and WET of the same pages."""

from __future__ import annotations

import gzip
import json

WORDS = "The red circle stands left of the blue square on this page."


def warc_record(kind: str, url: str, block: bytes, content_type: str = "application/http; msgtype=response") -> bytes:
    lines = {
        "WARC-Type": kind,
        "WARC-Target-URI": url,
        "WARC-Date": "2023-12-01T02:03:04Z",
        "WARC-Record-ID": f"<urn:uuid:00000000-0000-4000-8000-{len(block):012d}>",
        "Content-Type": content_type,
        "Content-Length": str(len(block)),
    }
    head = "WARC/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return gzip.compress(head.encode() + b"\r\n" + block + b"\r\n\r\n", mtime=0)


def response(url: str, html: str, status: int = 200, media_type: str = "text/html") -> bytes:
    body = html.encode()
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return warc_record("response", url, head.encode() + body)


def request(url: str) -> bytes:
    return warc_record("request", url, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "application/http; msgtype=request")


def page_html(number: int) -> str:
    image = f'<figure><img src="/pictures/{number}.jpg" alt="Picture {number}"></figure>'
    main = f"<main><p>{WORDS} {number}</p>{image}</main>"
    return f"<html><head><title>Page {number}</title></head><body>{main}</body></html>"


def page_records(numbers) -> list[bytes]:
    """A request and a response per page; every fifth page is gone."""
    records = []
    for n in numbers:
        url = f"https://site{n}.example/{n}"
        answer = response(url, "gone", status=404) if n % 5 == 4 else response(url, page_html(n))
        records += [request(url), answer]
    return records


def wat_record(url: str, *, status: str = "200", links=None, head=None, payload=None) -> bytes:
    """A WAT record of a response; links None: no HTML metadata; payload: instead of a response's."""
    answer = {"Response-Message": {"Status": status, "Version": "HTTP/1.1", "Reason": ""}, "Headers": {}}
    if links is not None:
        answer["HTML-Metadata"] = {"Head": head or {}, "Links": links}
    envelope = {
        "Payload-Metadata": payload or {"HTTP-Response-Metadata": answer},
        "WARC-Header-Metadata": {"WARC-Type": "response", "WARC-Target-URI": url, "WARC-Date": "2023-12-01T02:03:04Z"},
    }
    return warc_record(
        "metadata", url, json.dumps({"Container": {}, "Envelope": envelope}).encode(), "application/json"
    )


def image_link(url: str, alt: str | None = None, path: str = "IMG@/src") -> dict:
    return {"path": path, "url": url} | ({} if alt is None else {"alt": alt})


def wet_record(url: str, text: str) -> bytes:
    return warc_record("conversion", url, text.encode(), "text/plain")


def wat_of(number: int) -> bytes:
    links = [image_link(f"/pictures/{number}.jpg", f"Picture {number}")]
    return wat_record(f"https://site{number}.example/{number}", head={"Title": f"Page {number}"}, links=links)


def wet_of(number: int) -> bytes:
    return wet_record(f"https://site{number}.example/{number}", f"Page {number}\n{WORDS}  {number}\n")


def write_crawl(folder, *, crawl: str = "CC-MAIN-2023-50", files: int = 3, pages: int = 6):
    """Write a crawl below `folder` as Common Crawl lays one out; return [(file name, offset, length, URL)]."""
    captures = []
    for kind in ("warc", "wat", "wet"):
        ends = {"warc": "warc.gz", "wat": "warc.wat.gz", "wet": "warc.wet.gz"}[kind]
        names = [f"crawl-data/{crawl}/segments/1.{n}/{kind}/CC-MAIN-{n:05d}.{ends}" for n in range(files)]
        listing = folder / "crawl-data" / crawl / f"{kind}.paths.gz"
        listing.parent.mkdir(parents=True, exist_ok=True)
        listing.write_bytes(gzip.compress("".join(f"{name}\n" for name in names).encode()))
        for first, name in zip(range(0, files * pages, pages), names, strict=True):
            numbers = range(first, first + pages)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            records = {"warc": page_records, "wat": lambda of: map(wat_of, of), "wet": lambda of: map(wet_of, of)}
            data = list(records[kind](numbers))
            (folder / name).write_bytes(b"".join(data))
            if kind == "warc":
                captures += _captures(name, data, first)
    return captures


def _captures(name: str, records: list[bytes], first: int):
    """Return the places of the responses, which are every second record."""
    found, offset = [], 0
    for place, record in enumerate(records):
        if place % 2:
            number = first + place // 2
            found.append((name, offset, len(record), f"https://site{number}.example/{number}"))
        offset += len(record)
    return found
