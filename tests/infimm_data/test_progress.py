"""Progress of long work off a terminal: few plain lines with rate and time left."""

from __future__ import annotations

import io

from rich.console import Console

from infimm_data.progress import Track


class Clock:
    """A clock that stands until it is moved."""

    now = 100.0

    def __call__(self):
        return self.now


def test_a_line_names_rate_and_time_left():
    clock = Clock()
    with Track("fetch", 10, unit="items", clock=clock) as track:
        assert track.line() == "fetch: 0/10 items, 0/s, no rate yet"
        clock.now += 4
        track.advance(2)
        assert track.line("1 failed") == "fetch: 2/10 items, 0.5/s, 16 s left 1 failed"


def test_lines_come_every_five_seconds_and_once_at_the_end(capsys):
    clock = Clock()
    with Track("fetch", 100, clock=clock) as track:
        for _ in range(12):
            clock.now += 1
            track.advance(note="[x] [/y]")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "fetch: 5/100 items, 1/s, 95 s left [x] [/y]",
        "fetch: 10/100 items, 1/s, 90 s left [x] [/y]",
        "fetch: 12/100 items in 12.0 s [x] [/y]",
    ]


def test_on_a_terminal_there_is_one_live_line_with_rate_and_note(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(
        "infimm_data.progress.Console", lambda **_: Console(file=written, force_terminal=True, width=120)
    )
    clock = Clock()
    with Track("fetch", 10, unit="images", clock=clock) as track:
        clock.now += 4
        track.advance(2, note="10 in, 5.0 % dropped ([timeout] 5.0 %)")
    shown = written.getvalue()
    assert "0.5 images/s 10 in, 5.0 % dropped ([timeout] 5.0 %)" in shown
    assert "2/10" in shown
    assert "fetch: 2/10" not in shown, "the plain lines are for files"
