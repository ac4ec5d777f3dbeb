"""Charts by matplotlib, as SVG inside the page: their colours follow its theme, their text is text.

Matplotlib writes colours and fonts into `style` attributes, which the page's content policy forbids. Each distinct
style becomes a class of the page's style sheet, and each of our named inks a variable of the theme. Names from outside
stay out of charts (their glyphs may be in no font): they stand in lists and tables.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from infimm_data.rules import Mask
from pipelines.histogram import Bars, Numbers, bars_of
from pipelines.report_page.page import Markup, escaped

INKS = {
    "#010101": "ink",
    "#010102": "muted",
    "#010103": "edge",
    "#010104": "kept",
    "#010105": "lost",
    "#010106": "bound",
}
"""Colours that no chart would have by chance, and the variables of the theme that replace them."""
INK, MUTED, EDGE, KEPT, LOST, BOUND = INKS
SIZE = (4.4, 2.2)  # inches at 72 to the inch: about the width of a phone, so that text is read at its own size

SHORT_SPAN = 300  # of a logarithmic axis: below it powers of ten alone would be one label or two
LEAST_OF_COUNTS = -1.5  # where `bars_of` starts counts from zero on, a bar before the first one

_STYLE = re.compile(r' style="([^"]*)"')
_FONT_FAMILY = re.compile(r"font-family:[^;]*;?|font: ?([0-9.]+px)[^;]*;?")
_FRAME = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->|<metadata>.*?</metadata>", re.DOTALL
)
_NAMES = re.compile(r' id="[a-z0-9.]+_[0-9]+"')  # of axes and patches: the same in every chart, and asked by nothing
_RC: dict[Any, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 9, "text.color": INK,
    "axes.edgecolor": MUTED, "axes.labelcolor": INK, "axes.facecolor": "none", "axes.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "grid.color": EDGE,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One curve: its points, its ink, its name in the legend, dots where points are few."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    ink: str = KEPT
    has_dots: bool = False


@dataclass(frozen=True)
class Bound:
    """A threshold: where it stands, and how it is said, e.g. "at least 0.27"."""

    value: float
    text: str


@dataclass
class Charts:
    """Draws the charts of one page and collects the classes that they need."""

    _classes: dict[str, str] = field(default_factory=dict)

    @property
    def style(self) -> str:
        """The rules of all charts drawn so far."""
        return "".join(f".{name}{{{rule}}}\n" for rule, name in self._classes.items())

    def histogram(self, name: str, values: Numbers, kept: Mask, bounds: Sequence[Bound] = ()) -> Markup:
        """Return the distribution of a measure: what is kept below what is not, its thresholds as lines.

        values: one per row, NaN where not measured; kept: of the same rows. Thresholds beyond the values are said in
        the caption, not drawn: they would squeeze the values into one bar.
        """
        known = np.isfinite(values)
        inside, alive = values[known], kept[known]
        said = ", ".join(bound.text for bound in bounds)
        unknown = len(values) - len(inside)
        caption = f"{name}: {len(inside):,} measured" + (f", {unknown:,} not" if unknown else "")
        caption += f"; kept: {said}" if said else ""
        if not len(inside):
            return Markup(f"<figure><figcaption>{escaped(caption)}</figcaption></figure>")
        bars, near = bars_of(inside, [bound.value for bound in bounds])
        figure, axes = self._axes()
        edges, places = bars.edges, bars.places(inside)
        both, stays = (np.bincount(at, minlength=len(edges) - 1) for at in (places, places[alive]))
        axes.stairs(both, edges, fill=True, color=LOST)
        axes.stairs(stays, edges, fill=True, color=KEPT)
        for value in near:
            axes.axvline(value, color=BOUND, linewidth=1.2, linestyle="--")
        _scale(axes, bars)
        return self._figure(name, figure, caption)

    def lines(self, name: str, curves: Sequence[Line], *, unit: str, is_log: bool = False, caption: str = "") -> Markup:
        """Return curves over training steps; unit: of the vertical axis."""
        from matplotlib.ticker import LogLocator

        figure, axes = self._axes()
        for curve in curves:
            dots = "o-" if curve.has_dots else "-"
            axes.plot(curve.x, curve.y, dots, color=curve.ink, linewidth=1.2, markersize=3, label=curve.name)
        axes.set_xlabel("step")
        axes.set_ylabel(unit)
        if is_log and all(min(curve.y, default=1) > 0 for curve in curves):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
        if len(curves) > 1:
            axes.legend(frameon=False, fontsize=8, labelcolor=INK)
        return self._figure(name, figure, caption or name)

    def _axes(self) -> tuple[Any, Any]:
        import matplotlib
        from matplotlib.figure import Figure  # not pyplot: no global state, no display

        with matplotlib.rc_context(_RC):
            figure = Figure(figsize=SIZE, dpi=72, layout="constrained")
            figure.patch.set_visible(False)
            axes = figure.add_subplot()
            axes.grid(axis="y", linewidth=0.5)
            axes.set_axisbelow(True)
            axes.tick_params(length=2, width=0.6)
            axes.locator_params(nbins=5, axis="y")
        return figure, axes

    def _figure(self, name: str, figure: Any, caption: str) -> Markup:
        import matplotlib

        written = io.StringIO()
        no_metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        with matplotlib.rc_context({**_RC, "svg.hashsalt": name}):  # so that ids differ between the charts of a page
            figure.savefig(written, format="svg", metadata=no_metadata)
        svg = _FRAME.sub("", written.getvalue()).strip()
        svg = _STYLE.sub(lambda found: f' class="{self._class(found[1])}"', svg)
        svg = _NAMES.sub("", svg)
        head = f'<svg class="chart" role="img" aria-label="{escaped(caption)}"'
        svg = re.sub(r'<svg[^>]*?(viewBox="[^"]*")[^>]*>', rf"{head} \1>", svg, count=1)
        return Markup(f"<figure>{svg}<figcaption>{escaped(caption)}</figcaption></figure>")

    def _class(self, style: str) -> str:
        rule = _FONT_FAMILY.sub(lambda found: f"font-size: {found[1]};" if found[1] else "", style)
        for colour, ink in INKS.items():
            rule = rule.replace(colour, f"var(--{ink})")
        return self._classes.setdefault(rule.strip(), f"c{len(self._classes)}")


def _scale(axes: Any, bars: Bars) -> None:
    """Set the axes of a histogram so that values can be read off: counts are whole, as are bars of whole numbers."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    low, high = float(bars.edges[0]), float(bars.edges[-1])
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    if bars.is_log:
        axes.set_xscale("log")
        steps = (1, 2, 5) if high / low < SHORT_SPAN else (1,)
        axes.xaxis.set_major_locator(LogLocator(subs=steps))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
    else:
        is_whole = bool((np.diff(bars.edges) == 1).all())
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=is_whole))
        low = -0.5 if is_whole and low == LEAST_OF_COUNTS else low
    axes.set_xlim(low, high)
