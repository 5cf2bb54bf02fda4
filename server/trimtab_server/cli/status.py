"""`trimtab status`: whether a running sidecar is ready, why not, and its figures.

Exit code 0: ready. 1: not ready. 2: no sidecar answers, or the arguments are wrong.
"""

# Imports stand inside the command: the command line starts fast.

from __future__ import annotations

import json
import math
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trimtab_server.cli.event_lines import fitted, line_width, time_text
from trimtab_server.cli.events import AddressOption, fail, sidecar
from trimtab_server.cli.narrow import wrapped

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from trimtab_client import Client, GetHealthResponse

_READY, _NOT_READY, _UNREACHABLE = 0, 1, 2
_ANSWER_S_MAX = 5.0
# Seconds between two looks of --watch.
_WATCH_S = 1.0
_LABEL = 13
# Erases the terminal and goes to its top.
_CLEAR = "\x1b[2J\x1b[H"


def status(
    address: AddressOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a look, as GetHealth answers.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again until Ctrl-C.")] = False,
) -> None:
    """Tell whether the sidecar is ready (exit code 0), why not (1), and how it fares."""
    code = _UNREACHABLE
    with sidecar(address, code=_UNREACHABLE) as client:
        try:
            while True:
                health = _asked(client, may_be_away=watch)
                code = _UNREACHABLE
                if health is not None:
                    # Known before it is shown: Ctrl-C may come in between.
                    code = _READY if health.ready else _NOT_READY
                    _show(health, client.address, as_json=as_json, clears=watch)
                if not watch:
                    break
                time.sleep(_WATCH_S)
        except KeyboardInterrupt:
            pass
    raise typer.Exit(code)


def _asked(client: Client, *, may_be_away: bool) -> GetHealthResponse | None:
    """The sidecar's answer; None, with a line about it, when it gives none and may be away."""
    from trimtab_client import DeadlineExceeded, Unavailable

    try:
        return client.get_health(timeout_s=_ANSWER_S_MAX)
    except (Unavailable, DeadlineExceeded):
        if not may_be_away:
            raise
        fail(f"no sidecar answers at {client.address}")
        return None


def _show(health: GetHealthResponse, address: str, *, as_json: bool, clears: bool) -> None:
    if as_json:
        from google.protobuf.json_format import MessageToDict

        plain = MessageToDict(
            health, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        typer.echo(json.dumps(plain, sort_keys=True))
        return
    if clears and sys.stdout.isatty():
        typer.echo(_CLEAR, nl=False)
    state, color = ("READY", "green") if health.ready else ("NOT READY", "red")
    facts = f"  {address}, {health.store}, up {span_text(seconds(health.uptime))}"
    typer.echo(typer.style(state, fg=color, bold=True) + facts)
    for line in status_lines(health, line_width()):
        typer.echo(line)


def status_lines(health: GetHealthResponse, width: int | None) -> list[str]:
    """The screen below its first line: conditions that fail, with reason and since when, then the
    figures, no wider than `width` (None = no limit)."""
    lines = []
    now_s = health.server_time.seconds
    for condition in health.conditions:
        if not condition.ok:
            since = condition.since_time
            words = (
                f"{condition.message} (since {time_text(since.seconds, 0)},"
                f" {span_text(max(0, now_s - since.seconds))})"
            )
            lines += _labelled(condition.name, words, width)
    well = ", ".join(condition.name for condition in health.conditions if condition.ok)
    lines += _labelled("well", well or "nothing", width)
    for label, words in (
        ("collection", _collection(health)),
        ("last minute", _events(health.last_minute)),
        ("since start", _events(health.since_start)),
        ("queue", _queue(health)),
        ("commits", _commits(health)),
        ("disk", _disk(health)),
        ("open", _open(health)),
    ):
        lines += _labelled(label, words, width)
    return lines


def _labelled(label: str, words: str, width: int | None) -> list[str]:
    """The words beside their label; further lines are indented."""
    clean = fitted(words, None)
    found = [clean] if width is None else wrapped(clean, width - _LABEL).splitlines()
    heads = [fitted(label, None), *[""] * len(found)]
    return [f"{head:{_LABEL}}{line}" for head, line in zip(heads, found, strict=False)]


def _collection(health: GetHealthResponse) -> str:
    if not health.HasField("collection_share"):
        return "nothing came in the last minute"
    share = _share_text(health.collection_share)
    return f"{share} of what came in the last minute; {health.events_per_second:,.1f} events/s"


def _share_text(share: float) -> str:
    """A share in percent, cut and not rounded: 100 % means all."""
    return f"{math.floor(share * 10_000) / 100:.2f} %" if share < 1 else "100 %"


def _events(counts: Any) -> str:
    return (
        f"{counts.stored_count:,} stored, {counts.duplicate_count:,} sent again,"
        f" {counts.rejected_count:,} rejected, {counts.lost_count:,} lost"
    )


def _queue(health: GetHealthResponse) -> str:
    queue = health.queue
    words = (
        f"{queue.event_count:,} of {queue.event_count_max:,} events, {bytes_text(queue.bytes)} of"
        f" {bytes_text(queue.bytes_max)}"
    )
    if queue.HasField("oldest_age"):
        words += f"; the oldest has waited {span_text(seconds(queue.oldest_age))}"
    return words


def _commits(health: GetHealthResponse) -> str:
    commits = health.commits
    words = f"{commits.count:,} in the last minute, {commits.failure_count:,} failed"
    if commits.HasField("latency_p50"):
        p50, p99 = seconds(commits.latency_p50), seconds(commits.latency_p99)
        words += f"; half in {span_text(p50)}, 99 % in {span_text(p99)}"
    if commits.HasField("last_age"):
        return f"{words}; last {span_text(seconds(commits.last_age))} ago"
    return f"{words}; none since the start"


def _disk(health: GetHealthResponse) -> str:
    if not health.HasField("disk"):
        return "not a file here" if health.store != "sqlite" else "unknown"
    disk = health.disk
    return f"{bytes_text(disk.free_bytes)} free of {bytes_text(disk.total_bytes)}"


def _open(health: GetHealthResponse) -> str:
    streams, watchers = health.stream_count, health.watcher_count
    return f"{_counted(streams, 'recording stream')}, {_counted(watchers, 'watcher')}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def seconds(duration: Duration) -> float:
    """The duration in seconds."""
    return duration.seconds + duration.nanos / 1e9


def span_text(span_s: float) -> str:
    """A span of time in its two largest units; below ten seconds to three digits."""
    if span_s < 1:
        return f"{span_s * 1e3:.3g} ms"
    if span_s < 10:
        return f"{span_s:.3g} s"
    left = round(span_s)
    parts: list[tuple[int, str]] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append((count, unit))
    return " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)


def bytes_text(count: float) -> str:
    """Bytes to three digits, with a binary unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1_000:
            return f"{count:.3g} {unit}"
        count /= 1_024
    return f"{count:.3g} TiB"
