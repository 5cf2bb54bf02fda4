"""Charts as inline SVG, by hand: text from numbers, nothing to install, nothing to load.

Colours are classes of the page's style sheet (`pages.STYLE`), so a chart follows light and dark.
Every chart has a title for screen readers and tooltips on its marks. Values are fractions unless
a function says otherwise.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from trimtab_server.domain.calibration import ReliabilityBin

WIDTH = 720


def tick_values(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round values from within low..high, about `wanted` of them; [low] when the range is empty.

    Steps are 1, 2 or 5 times a power of ten.
    """
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    raw = span / max(1, wanted)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((m * power for m in (1, 2, 5) if m * power >= raw * 0.999), 10 * power)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(k * step, 12) + 0.0 for k in range(first, last + 1)]


def percent_text(value: float) -> str:
    """A fraction as per cent, with a decimal only where it is needed."""
    shown = round(100 * value, 6) + 0.0
    return f"{shown:.0f}%" if abs(shown - round(shown)) < 1e-6 else f"{shown:.1f}%"


@dataclass(frozen=True, slots=True)
class _Frame:
    """A plot area in pixels and the data range that it shows."""

    left: float
    top: float
    width: float
    height: float
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        span = self.x_high - self.x_low
        return self.left + (value - self.x_low) / span * self.width

    def y(self, value: float) -> float:
        span = self.y_high - self.y_low
        return self.top + self.height - (value - self.y_low) / span * self.height


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", kind: str = "tick") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'
    )


def _grid_y(frame: _Frame, ticks: Sequence[float], label: Callable[[float], str]) -> list[str]:
    parts = []
    for value in ticks:
        y = frame.y(value)
        parts.append(_line(frame.left, y, frame.left + frame.width, y, "grid"))
        parts.append(_text(frame.left - 8, y + 4, label(value), "end"))
    return parts


def _grid_x(frame: _Frame, ticks: Sequence[float], label: Callable[[float], str]) -> list[str]:
    base = frame.top + frame.height
    parts = []
    for value in ticks:
        x = frame.x(value)
        parts.append(_line(x, frame.top, x, base, "grid"))
        parts.append(_text(x, base + 18, label(value)))
    return parts


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    body = "".join(parts)
    return (
        f'<div class="scroll"><svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" class="chart">'
        f"<title>{escape(title)}</title>{body}</svg></div>"
    )


def _nothing(title: str) -> str:
    return f'<p class="note">{escape(title)}: no value is known, so there is no chart.</p>'


def _legend(top: float, entries: Sequence[tuple[str, str]], left: float = 64) -> list[str]:
    """entries: (class of the swatch, words)."""
    parts, x = [], left
    for kind, words in entries:
        parts.append(f'<rect x="{x:.0f}" y="{top - 9:.0f}" width="14" height="10" class="{kind}"/>')
        parts.append(_text(x + 20, top, words, "start", "legend"))
        x += 38 + 6.6 * len(words)
    return parts


def reliability_chart(bins: Sequence[ReliabilityBin]) -> str:
    """Claimed confidence against win rate with both bands, and how many claims there were.

    Grey boxes: where the win rate would lie if the claims were right. Points: the win rate, with
    its interval. Below: the number of trades per bin. No bins: an empty frame that says so.
    """
    frame = _Frame(64, 42, WIDTH - 88, 330, 0.0, 1.0, 0.0, 1.0)
    ticks = [k / 10 for k in range(11)]
    parts = _grid_y(frame, ticks[::2], percent_text) + _grid_x(frame, ticks, percent_text)
    parts += _legend(
        22,
        [
            ("fill-expected", "expected if the claims were right"),
            ("fill-a", "win rate, 95% interval"),
            ("fill-diagonal", "claim = win rate"),
        ],
    )
    parts.append(_line(frame.x(0), frame.y(0), frame.x(1), frame.y(1), "diagonal"))
    if not bins:
        parts.append(_text(frame.left + frame.width / 2, 200, "no matured trades", kind="legend"))
    for one in bins:
        x, half = frame.x(one.mean_claim), 11.0
        top, bottom = frame.y(one.consistent_high), frame.y(one.consistent_low)
        tip = (
            f"claimed {percent_text(round(one.mean_claim, 3))}, won {one.win_rate:.1%} "
            f"[{one.win_low:.1%}, {one.win_high:.1%}], n = {one.n}"
        )
        parts.append(
            f'<rect x="{x - half:.1f}" y="{top:.1f}" width="{2 * half:.1f}" '
            f'height="{max(1.0, bottom - top):.1f}" rx="2" class="fill-expected"/>'
        )
        parts.append(_line(x, frame.y(one.win_low), x, frame.y(one.win_high), "whisker"))
        for bound in (one.win_low, one.win_high):
            parts.append(_line(x - 4, frame.y(bound), x + 4, frame.y(bound), "whisker"))
        parts.append(
            f'<circle cx="{x:.1f}" cy="{frame.y(one.win_rate):.1f}" r="5" class="fill-a">'
            f"<title>{escape(tip)}</title></circle>"
        )
    parts.append(_text(frame.left - 8, frame.top - 20, "win rate", "end", "axis"))
    parts += _claim_counts(bins, frame)
    return _svg(522, "Claimed confidence against win rate", parts)


def _claim_counts(bins: Sequence[ReliabilityBin], above: _Frame) -> list[str]:
    most = max((one.n for one in bins), default=1)
    frame = _Frame(above.left, 420, above.width, 58, 0.0, 1.0, 0.0, float(most))
    base = frame.top + frame.height
    parts = [_line(frame.left, base, frame.left + frame.width, base, "axis-line")]
    for one in bins:
        left, right, top = frame.x(one.low) + 2, frame.x(one.high) - 2, frame.y(one.n)
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
            f'height="{max(1.0, base - top):.1f}" rx="2" class="fill-count">'
            f"<title>{one.n} trades</title></rect>"
        )
        parts.append(_text((left + right) / 2, top - 4, f"{one.n:,}", kind="small"))
    parts.append(_text(frame.left - 8, base - 2, "trades", "end", "axis"))
    middle = frame.left + frame.width / 2
    parts.append(_text(middle, base + 24, "claimed confidence", kind="axis"))
    return parts


def line_chart(
    title: str,
    labels: Sequence[str],
    lines: Mapping[str, Sequence[float]],
) -> str:
    """Lines over a shared calendar, values as per cent.

    labels: ISO dates, one a point; years are marked where they change. lines: words -> values, each
    as long as labels; at most three are told apart by colour. No points: an empty frame.
    """
    values = [v for line in lines.values() for v in line] or [0.0]
    low, high = min(0.0, *values), max(0.0, *values)
    pad = 0.06 * (high - low) or 0.01
    count = max(2, len(labels))
    frame = _Frame(64, 42, WIDTH - 88, 250, 0.0, count - 1.0, low - pad, high + pad)
    parts = _grid_y(frame, tick_values(frame.y_low, frame.y_high, 5), percent_text)
    years: list[int] = [k for k in range(len(labels)) if k and labels[k][:4] != labels[k - 1][:4]]
    parts += _grid_x(frame, years, lambda k: labels[int(k)][:4])
    zero = frame.y(0.0)
    parts.append(_line(frame.left, zero, frame.left + frame.width, zero, "axis-line"))
    for name, line in zip("abc", lines.values(), strict=False):
        points = " ".join(f"{frame.x(k):.1f},{frame.y(v):.1f}" for k, v in enumerate(line))
        parts.append(f'<polyline points="{points}" class="line-{name}"/>')
    parts += _legend(22, [(f"fill-{k}", words) for k, words in zip("abc", lines, strict=False)])
    return _svg(320, title, parts)


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """A row of `interval_chart`. low, high None = no interval; note: said at the right."""

    label: str
    value: float
    low: float | None
    high: float | None
    note: str = ""


LABEL_CHARS = 26
"""Of a row's name in `interval_chart`; the whole name is in its tooltip."""


def interval_chart(
    title: str,
    rows: Sequence[IntervalRow],
    axis: str,
    number: Callable[[float], str] = percent_text,
) -> str:
    """Values with intervals, a row each, against zero; values as per cent, or as `number` writes
    them. No rows: a sentence in its place."""
    if not rows:
        return _nothing(title)
    bounds = [b for row in rows for b in (row.value, row.low, row.high) if b is not None] or [0.0]
    low, high = min(0.0, *bounds), max(0.0, *bounds)
    pad = 0.08 * (high - low) or 0.01
    height = 30.0 * len(rows)
    frame = _Frame(190, 14, WIDTH - 190 - 130, height, low - pad, high + pad, 0.0, 1.0)
    parts = _grid_x(frame, tick_values(frame.x_low, frame.x_high, 8), number)
    parts.append(_line(frame.x(0), frame.top, frame.x(0), frame.top + height, "zero"))
    for k, row in enumerate(rows):
        y = frame.top + 30.0 * k + 15
        cut = row.label[: LABEL_CHARS - 1] + "…" if len(row.label) > LABEL_CHARS else row.label
        parts.append(_text(frame.left - 10, y + 4, cut, "end", "legend"))
        parts.append(_text(frame.left + frame.width + 10, y + 4, row.note, "start", "small"))
        if row.low is not None and row.high is not None:
            parts.append(_line(frame.x(row.low), y, frame.x(row.high), y, "whisker"))
        told = f"{row.value:+.2%}" if number is percent_text else number(row.value)
        parts.append(
            f'<circle cx="{frame.x(row.value):.1f}" cy="{y:.1f}" r="5" class="fill-a">'
            f"<title>{escape(f'{row.label}: {told}')}</title></circle>"
        )
    parts.append(_text(frame.left + frame.width / 2, frame.top + height + 36, axis, kind="axis"))
    return _svg(height + 60, title, parts)


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A point of `curve_chart`. low, high None = no interval."""

    label: str
    value: float
    low: float | None
    high: float | None


def curve_chart(title: str, points: Sequence[CurvePoint], axis: str) -> str:
    """A curve over labelled steps with its intervals as a band; values as per cent.

    Steps stand at equal distances, whatever lies between them. No points: a sentence in its place.
    """
    if not points:
        return _nothing(title)
    bounds = [b for p in points for b in (p.value, p.low, p.high) if b is not None] or [0.0]
    low, high = min(0.0, *bounds), max(0.0, *bounds)
    pad = 0.08 * (high - low) or 0.01
    last = max(1.0, len(points) - 1.0)
    frame = _Frame(64, 24, WIDTH - 104, 250, 0.0, last, low - pad, high + pad)
    parts = _grid_y(frame, tick_values(frame.y_low, frame.y_high, 5), percent_text)
    every = max(1, math.ceil(len(points) / 12))
    parts += _grid_x(frame, range(0, len(points), every), lambda k: points[int(k)].label)
    zero = frame.y(0.0)
    parts.append(_line(frame.left, zero, frame.left + frame.width, zero, "axis-line"))
    parts += [_band(frame, run) for run in _banded(points) if len(run) > 1]
    shown = " ".join(f"{frame.x(k):.1f},{frame.y(p.value):.1f}" for k, p in enumerate(points))
    parts.append(f'<polyline points="{shown}" class="line-a"/>')
    for k, p in enumerate(points):
        x, told = frame.x(k), f"{p.label}: {p.value:+.2%}"
        if p.low is not None and p.high is not None:
            told += f" [{p.low:+.2%}, {p.high:+.2%}]"
            parts.append(_line(x, frame.y(p.low), x, frame.y(p.high), "whisker"))
        parts.append(
            f'<circle cx="{x:.1f}" cy="{frame.y(p.value):.1f}" r="4" class="fill-a">'
            f"<title>{escape(told)}</title></circle>"
        )
    parts.append(_text(frame.left + frame.width / 2, 318, axis, kind="axis"))
    return _svg(330, title, parts)


def _banded(points: Sequence[CurvePoint]) -> list[list[tuple[int, float, float]]]:
    """Runs of neighbouring points that have an interval: (position, low, high)."""
    runs: list[list[tuple[int, float, float]]] = [[]]
    for k, point in enumerate(points):
        if point.low is None or point.high is None:
            runs.append([])
        else:
            runs[-1].append((k, point.low, point.high))
    return runs


def _band(frame: _Frame, run: Sequence[tuple[int, float, float]]) -> str:
    edge = [(k, high) for k, _, high in run] + [(k, low) for k, low, _ in reversed(run)]
    shown = " ".join(f"{frame.x(k):.1f},{frame.y(value):.1f}" for k, value in edge)
    return f'<polygon points="{shown}" class="fill-expected"/>'
