"""The pictures that a demo run leaves: its loss curves, and what the model said of pictures it never saw."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from infimm_data.files import write_bytes

COLUMNS = 6  # pictures side by side in the caption sheet
CAPTION_WIDTH = 30  # characters of one line under a picture
PIXELS_PER_INCH = 110


@dataclass(frozen=True)
class Curve:
    """One line of the loss plot: training loss by step, and the held-out points (step, loss)."""

    name: str
    steps: Sequence[int]
    losses: Sequence[float]
    held_out: Sequence[tuple[int, float]]


def plot_losses(curves: Sequence[Curve], path: str) -> None:
    """Write a PNG of the training loss (thin) and the held-out loss (dots) of several runs."""
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    figure = Figure(figsize=(8, 4.5), dpi=PIXELS_PER_INCH, layout="constrained")
    axes = figure.add_subplot()
    for number, curve in enumerate(curves):
        colour = f"C{number}"
        axes.plot(curve.steps, curve.losses, color=colour, linewidth=1, alpha=0.6, label=f"{curve.name}, training")
        steps, losses = zip(*curve.held_out, strict=True) if curve.held_out else ((), ())
        axes.plot(steps, losses, "o-", color=colour, markersize=4, label=f"{curve.name}, held out")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.grid(alpha=0.25, which="both")
    axes.legend()
    axes.set_title("The same text with and without its images")
    _save(figure, path)


def plot_captions(pictures: Sequence[tuple[Image.Image, str, bool]], path: str) -> None:
    """Write a PNG of pictures over what the model said of each, green where it named shape and colour."""
    from matplotlib.figure import Figure

    rows = -(-len(pictures) // COLUMNS)
    figure = Figure(figsize=(2.1 * COLUMNS, 2.4 * rows), dpi=PIXELS_PER_INCH, layout="constrained")
    for number, (picture, caption, right) in enumerate(pictures, 1):
        axes = figure.add_subplot(rows, COLUMNS, number)
        axes.imshow(picture)
        axes.set_xticks([])
        axes.set_yticks([])
        said = textwrap.fill(
            caption.partition("\n")[0], CAPTION_WIDTH
        )  # what follows the first paragraph is not judged
        axes.set_xlabel(said, fontsize=8, color="darkgreen" if right else "firebrick")
    figure.suptitle("Green: shape and colour are right. What is said of the background is not judged.", fontsize=10)
    _save(figure, path)


def _save(figure: object, path: str) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})  # type: ignore[attr-defined]  # a matplotlib Figure
    write_bytes(path, buffer.getvalue())
