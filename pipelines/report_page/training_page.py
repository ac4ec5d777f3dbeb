"""The report of a training run: RUN/report/index.html, from its log and from what the model said of some pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from infimm_data.errors import ConfigError
from infimm_data.files import exists, join, read_bytes, write_bytes
from pipelines.report_page.build_page import facts_list
from pipelines.report_page.charts import BOUND, INK, KEPT, LOST, MUTED, Charts, Line
from pipelines.report_page.page import Markup, Section, escaped, joined, page, paragraph, table
from pipelines.report_page.provenance import versions

Log = Sequence[Mapping[str, Any]]

SPEED: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("Model FLOPs utilisation", ("useful_mfu", "hardware_mfu", "mfu"), "share of the peak"),
    ("Operations per device", ("useful_tflops", "hardware_tflops"), "TFLOP/s"),
    ("Fill of the rows, and waiting for data", ("fill", "data_wait"), "share"),
    ("Tokens per second", ("tokens_per_s",), "tokens/s"),
    ("Gradient norm before clipping", ("grad_norm",), "norm"),
    ("Learning rate", ("learning_rate",), "rate"),
    ("Features found on disk", ("cache_hits",), "share of images"),
    ("Memory held on the device", ("memory_gb",), "GB"),
)
"""Charts by their fields in the log; a run has those that it logged, and any other number gets a chart of its own."""
_LOSSES = ("loss", "heldout_loss", "loss_by_source")
INKS = (KEPT, LOST, BOUND, INK, MUTED)
MOST_SOURCES = 4  # curves in one chart
STEPS_SHOWN = 6  # of what the model said, from the first to the last
_BASE64 = re.compile(r"[A-Za-z0-9+/]+=*")


def is_training(folder: str) -> bool:
    """Return whether a folder holds a training run."""
    return exists(join(folder, "metrics.jsonl"))


def write_training_page(run: str) -> str:
    """Write the page of a run and return where it lies; raises ConfigError where no step was logged."""
    log = _lines(join(run, "metrics.jsonl"))
    if not log:
        raise ConfigError(f"{run}: no metrics.jsonl with a logged step; expected the folder of a training run")
    path = join(run, "report", "index.html")
    write_bytes(path, training_page(log, _lines(join(run, "samples.jsonl"))))
    return path


def _lines(path: str) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines; a last line that was cut off is left out."""
    if not exists(path):
        return []
    found = []
    for line in read_bytes(path).decode("utf-8", "replace").splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            break
        if isinstance(one, dict):
            found.append(one)
    return found


def training_page(log: Log, samples: Log) -> bytes:
    """Return the page. log: lines of metrics.jsonl; samples: of samples.jsonl, [] where there are none."""
    charts = Charts()
    sections = [
        Section("loss", "Loss", _loss(log, charts)),
        Section("speed", "Speed and filling", _speed(log, charts)),
        Section("samples", "What it says of pictures", _samples(samples)),
        Section("versions", "Versions", table(("what", "version"), versions(), caption="That wrote this page")),
    ]
    return page("Training run", _lead(log), sections, style=charts.style)


def _lead(log: Log) -> Markup:
    named = (("loss", "loss"), ("held-out loss", "heldout_loss"), ("tokens/s", "tokens_per_s"), ("MFU", "useful_mfu"))
    facts = [("steps", f"{log[-1].get('step', 0):,}")]
    for name, key in named:
        values = [line[key] for line in log if isinstance(line.get(key), int | float)]
        if values:
            facts.append((name, f"{values[-1]:,.4g}"))
    return facts_list(facts)


def _curve(log: Log, key: str, ink: str, *, name: str = "", has_dots: bool = False) -> Line | None:
    points = [(line["step"], float(line[key])) for line in log if isinstance(line.get(key), int | float)]
    if not points:
        return None
    steps, values = zip(*points, strict=True)
    return Line(name or key, steps, values, ink, has_dots=has_dots or len(points) == 1)


def _loss(log: Log, charts: Charts) -> Markup:
    both = [
        _curve(log, "loss", KEPT, name="training"),
        _curve(log, "heldout_loss", LOST, name="held out", has_dots=True),
    ]
    found = [charts.lines("Loss", [one for one in both if one], unit="nats per token", is_log=True)]
    flat = [
        {"step": line["step"], **line["loss_by_source"]} for line in log if isinstance(line.get("loss_by_source"), dict)
    ]
    names = sorted({name for line in flat for name in line if name != "step"})
    for start in range(0, len(names), MOST_SOURCES):
        shown = names[start : start + MOST_SOURCES]
        labels = [f"source {start + number}" for number in range(1, len(shown) + 1)]
        curves = [_curve(flat, name, ink, name=label) for name, ink, label in zip(shown, INKS, labels, strict=False)]
        caption = "Loss by source: " + ", ".join(
            f"{label} is {name}" for name, label in zip(shown, labels, strict=True)
        )
        drawn = [curve for curve in curves if curve]
        found.append(
            charts.lines(f"Loss by source {start}", drawn, unit="nats per token", is_log=True, caption=caption)
        )
    return Markup(f'<div class="grid">{joined(found)}</div>')


def _speed(log: Log, charts: Charts) -> Markup:
    known = {key for _, keys, _ in SPEED for key in keys} | {*_LOSSES, "step"}
    numbers = {key for line in log for key, value in line.items() if isinstance(value, int | float)}
    others = [(key, (key,), "") for key in sorted(numbers - known)]
    found = []
    for title, keys, unit in (*SPEED, *others):
        curves = [_curve(log, key, ink) for key, ink in zip(keys, INKS, strict=False)]
        if any(curves):
            found.append(charts.lines(title, [curve for curve in curves if curve], unit=unit))
    return Markup(f'<div class="grid">{joined(found)}</div>')


def _samples(samples: Log) -> Markup:
    pictures = [one for line in samples for one in line.get("pictures", [])]
    said = [line for line in samples if "captions" in line]
    if not pictures or not said:
        return paragraph("This run kept none; 'infimm train' does.", kind="muted")
    places = sorted({round(at * (len(said) - 1) / max(STEPS_SHOWN - 1, 1)) for at in range(STEPS_SHOWN)})
    cards = [
        _card(one, [(said[place]["step"], said[place]["captions"][at]) for place in places])
        for at, one in enumerate(pictures)
    ]
    lead = "The same pictures after different steps; where documents are held out, of those."
    return joined((paragraph(lead, kind="muted"), *cards))


def _card(picture: Mapping[str, Any], captions: Sequence[tuple[int, str]]) -> str:
    jpeg = str(picture.get("jpeg", ""))
    shown = f'<img src="data:image/jpeg;base64,{jpeg}" alt="">' if _BASE64.fullmatch(jpeg) else ""
    rows = "".join(
        f'<li><span class="muted">step {step:,}</span> <bdi>{escaped(text)}</bdi></li>' for step, text in captions
    )
    there = f'<li><span class="muted">the page</span> <bdi>{escaped(picture.get("text", ""))}</bdi></li>'
    return f'<article class="document said"><figure>{shown}</figure><ul>{rows}{there}</ul></article>'
