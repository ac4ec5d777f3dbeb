"""A training row as a picture: every slot in the colour of the image that it sees, and the images beside it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from infimm_data.files import write_bytes
from infimm_data.stream.explain import Explained

SLOTS_PER_LINE = 128
IMAGES_PER_LINE = 6
PIXELS_PER_INCH = 110
INCHES = 12.0  # width of the picture
NO_IMAGE, PADDING = (0.90, 0.90, 0.88), (1.0, 1.0, 1.0)


def draw_row(row: Explained, sees: Sequence[int], path: str, *, title: str, token: int | None = None) -> None:
    """Write a PNG. sees: for each slot the image of the row that it sees, -1 for none; token: a slot to mark."""
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    lines = -(-len(sees) // SLOTS_PER_LINE)
    image_lines = -(-len(row.images) // IMAGES_PER_LINE)
    heights = [0.30 * lines + 0.6, *([2.1] * image_lines)]
    figure = Figure(figsize=(INCHES, sum(heights) + 0.9), dpi=PIXELS_PER_INCH, layout="constrained")
    grid = figure.add_gridspec(1 + image_lines, IMAGES_PER_LINE, height_ratios=heights)
    _draw_slots(figure.add_subplot(grid[0, :]), row, sees, lines, token)
    for number in range(len(row.images)):
        place = grid[1 + number // IMAGES_PER_LINE, number % IMAGES_PER_LINE]
        _draw_image(figure.add_subplot(place), row, number, is_seen=token is not None and sees[token] == number)
    used, slots = row.batch.num_tokens, len(sees)
    figure.suptitle(
        f"{title}: {len(row.documents)} documents, {len(row.images)} images, {used} of {slots} slots used\n"
        "colour: the image that a slot sees; grey: none; white: padding; bar: a document begins; dot: an image comes up"
    )
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(path, buffer.getvalue())


def colour_of(image: int) -> tuple[float, float, float]:
    """Return a colour for an image of the row: hues a golden angle apart, so that neighbours differ most."""
    from matplotlib.colors import hsv_to_rgb

    red, green, blue = hsv_to_rgb(((0.58 + image * 0.618034) % 1.0, 0.55, 0.92))
    return float(red), float(green), float(blue)


def _draw_slots(axes: Any, row: Explained, sees: Sequence[int], lines: int, token: int | None) -> None:
    documents = row.batch.document_ids[0].tolist()
    cells = np.ones((lines * SLOTS_PER_LINE, 3))
    for slot, (image, document) in enumerate(zip(sees, documents, strict=True)):
        cells[slot] = PADDING if document < 0 else NO_IMAGE if image < 0 else colour_of(image)
    axes.imshow(cells.reshape(lines, SLOTS_PER_LINE, 3), aspect="auto", interpolation="nearest")
    for number, document in enumerate(row.documents):
        first, stop = document.tokens
        if stop == first:
            continue
        line, column = divmod(first, SLOTS_PER_LINE)
        axes.plot([column - 0.5] * 2, [line - 0.48, line + 0.48], color="black", linewidth=2.5)
        name = f"d{number}" + ("" if document.part[0] == 0 else " (goes on)")
        axes.text(column + 0.6, line, name, fontsize=7, va="center", ha="left")
    for shown in row.images:
        for first, _ in shown.seen_by[:1]:
            line, column = divmod(first, SLOTS_PER_LINE)
            axes.plot(column, line, "o", color="black", markersize=4)
    if token is not None:
        line, column = divmod(token, SLOTS_PER_LINE)
        axes.plot(column, line, "s", markersize=11, markerfacecolor="none", markeredgecolor="red", markeredgewidth=2)
    axes.set_yticks(range(lines), [str(line * SLOTS_PER_LINE) for line in range(lines)], fontsize=7)
    axes.set_xticks(range(0, SLOTS_PER_LINE, 16))
    axes.set_ylim(lines - 0.5, -0.5)
    axes.set_xlim(-1, SLOTS_PER_LINE - 0.5)


def _draw_image(axes: Any, row: Explained, number: int, *, is_seen: bool) -> None:
    image, pixels = row.images[number], row.pixels.images[number]
    axes.imshow(pixels.transpose(1, 2, 0))
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set(color=colour_of(number), linewidth=6)
    seen = ", ".join(f"{first}-{stop - 1}" for first, stop in image.seen_by[:3])
    label = f"image {number}: d{image.document} {image.file}\nslots {seen}"
    axes.set_xlabel(label, fontsize=8, color="red" if is_seen else "black")
