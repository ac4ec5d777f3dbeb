"""Is this machine fit for a build? DNS, file limits, disk, memory, Ray and packages, each with its remedy."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from infimm_data.errors import ConfigError
from pipelines.executor import Cluster, Task

OPEN_FILES = (
    4_096  # concurrency 64 x sockets, Ray's workers and tars; 1,024 (the usual default) was seen to end fetches
)
FREE_DISK_BYTES = 20 << 30  # a work item of a crawl with its images takes a few GB while it is written
FREE_MEMORY_BYTES = 4 << 30  # Ray with two workers takes 1.5 GB, a worker that scores another
SLOW_LOOKUP_S = 0.5  # a local caching resolver answers in milliseconds, a distant one in tens of them
NAMES = ("commoncrawl.org", "huggingface.co", "en.wikipedia.org", "example.org")  # asked where the user names none
PACKAGES = (
    "ray",
    "torch",
    "open_clip_torch",
    "transformers",
    "pyarrow",
    "webdataset",
    "fasttext-numpy2",
    "img2dataset",
)

Reading = tuple[bool, str, str]
"""(whether it is as it should be, what was found, what to do if not)."""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's answer."""

    name: str
    is_good: bool
    found: str
    remedy: str


def examine(out: str, names: Sequence[str] = NAMES, *, start_ray: bool = True) -> list[Finding]:
    """Return what was found; out: where a build would go (its nearest existing parent is asked for space)."""
    checks: dict[str, Callable[[], Reading]] = {
        "DNS": lambda: dns(names),
        "open files": open_files,
        "disk": lambda: disk(out),
        "memory": memory,
        "shared memory": shared_memory,
        "packages": packages,
    }
    if start_ray:
        checks["Ray"] = ray_starts
    return [Finding(name, *check()) for name, check in checks.items()]


def dns(names: Sequence[str]) -> Reading:
    """Look names up twice, all at once: failures, and the slowest second answer (which a cache should have)."""
    for _ in range(2):
        with ThreadPoolExecutor(len(names)) as threads:
            times = list(threads.map(_lookup_s, names))
    failed = [name for name, seconds in zip(names, times, strict=True) if seconds is None]
    answered = [seconds for seconds in times if seconds is not None]
    remedy = "run a caching resolver on this machine (unbound, systemd-resolved) and point /etc/resolv.conf to it"
    if failed:
        return False, f"no answer for {', '.join(failed)}", remedy
    slowest = max(answered)
    return slowest <= SLOW_LOOKUP_S, f"{len(answered)} names, slowest {1000 * slowest:.0f} ms", remedy


def _lookup_s(name: str) -> float | None:
    start = time.monotonic()
    try:
        socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
    except OSError:
        return None
    return time.monotonic() - start


def open_files() -> Reading:
    """Ask how many files a process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_unbounded = soft == resource.RLIM_INFINITY
    found = "no limit" if is_unbounded else f"{soft} (hard limit {hard})"
    return is_unbounded or soft >= OPEN_FILES, found, f"ulimit -n {OPEN_FILES} before the build"


def disk(out: str) -> Reading:
    """Ask for free space and free inodes where a build would go."""
    if "://" in out:
        return True, f"{out} is not on this machine", ""
    place = Path(out).absolute()
    while not place.exists():
        place = place.parent
    free, status = shutil.disk_usage(place).free, os.statvfs(place)
    is_writable = os.access(place, os.W_OK)
    has_inodes = status.f_files == 0 or status.f_favail > 10_000
    found = f"{free / 1e9:.1f} GB free at {place}" + ("" if is_writable else ", not writable")
    found += "" if has_inodes else f", room for {status.f_favail} files only"
    remedy = "choose another --out, or free space: measures take 1 % of a crawl, its images most of the rest"
    return free >= FREE_DISK_BYTES and is_writable and has_inodes, found, remedy


def memory() -> Reading:
    """Ask for available memory; container limits count."""
    available = _meminfo("MemAvailable")
    limit = _cgroup_limit()
    if limit is not None:
        available = min(available, limit) if available is not None else limit
    if available is None:
        return True, "not known on this system", ""
    remedy = "build with fewer --workers, or on a machine with more memory"
    return available >= FREE_MEMORY_BYTES, f"{available / 1e9:.1f} GB available", remedy


def _meminfo(name: str) -> int | None:
    path = Path("/proc/meminfo")
    lines = path.read_text().splitlines() if path.exists() else []
    values = [line.split() for line in lines if line.startswith(f"{name}:")]
    return int(values[0][1]) * 1024 if values else None


def _cgroup_limit() -> int | None:
    path = Path("/sys/fs/cgroup/memory.max")
    text = path.read_text().strip() if path.exists() else "max"
    return None if text == "max" else int(text)


def shared_memory() -> Reading:
    """Ask for the room that Ray's object store has; containers give 64 MB by default."""
    if not Path("/dev/shm").exists():  # noqa: S108  # the place that Ray itself uses
        return True, "not known on this system", ""
    free = shutil.disk_usage("/dev/shm").free  # noqa: S108
    return free >= 1 << 30, f"{free / 1e9:.1f} GB free in /dev/shm", "start the container with --shm-size=2g or more"


def packages() -> Reading:
    """Name the versions of what a build needs; an absent optional one is no fault."""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} absent")
    needed = [one for one in found if one.endswith("absent") and not one.startswith(("webdataset", "img2dataset"))]
    return not needed, ", ".join(found), "pip install -e '.[dev]'"


def ray_starts() -> Reading:
    """Start Ray as a build does and run one task."""
    start = time.monotonic()
    try:
        with Cluster() as cluster:
            report = cluster.run("doctor", os.getpid, [Task("one task", ())])
            found = (
                f"{cluster.num_cpus} CPUs, {cluster.num_gpus} GPUs; first task after {time.monotonic() - start:.1f} s"
            )
    except ConfigError as error:
        return False, str(error), "look into /tmp/ray/session_latest/logs"
    return not report.failures, found, "look into /tmp/ray/session_latest/logs"
