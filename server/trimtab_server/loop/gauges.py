"""What is measured at the moment somebody asks: the writer's queue, health, the signal gate."""

from collections.abc import Iterable

from trimtab_server.domain.events import CLOCKED, Environment
from trimtab_server.domain.gate.breaker_record import BreakerState
from trimtab_server.domain.gate.signal_gate import World
from trimtab_server.loop.health import Health
from trimtab_server.loop.ingest import Ingest
from trimtab_server.loop.signal_gate import SignalGate
from trimtab_server.telemetry import (
    METRIC_BYTES_BUFFERED,
    METRIC_COLLECTION_SHARE,
    METRIC_DISK_FREE_BYTES,
    METRIC_EVENTS_BUFFERED,
    METRIC_READY,
    METRIC_WRITER_OLDEST_AGE,
    Telemetry,
)

_STATES = {BreakerState.CLOSED: 0, BreakerState.OPEN: 1, BreakerState.HALF_OPEN: 2}


def observe_log(telemetry: Telemetry, health: Health, ingest: Ingest) -> None:
    """Reports readiness and what the writer has before it."""
    telemetry.observe(METRIC_READY, lambda: int(health.is_ready), "1 while ready.")
    telemetry.observe_conditions(lambda: [(each.name, each.ok) for each in health.conditions])
    telemetry.observe(
        METRIC_EVENTS_BUFFERED, lambda: ingest.events_buffered, "Accepted, not committed."
    )
    telemetry.observe(METRIC_BYTES_BUFFERED, lambda: ingest.bytes_buffered, "Their bytes.")
    telemetry.observe(
        METRIC_DISK_FREE_BYTES,
        lambda: health.disk.free_bytes if health.disk else None,
        "Free bytes of the database's file system.",
    )
    telemetry.observe(
        METRIC_WRITER_OLDEST_AGE,
        lambda: ingest.waits().oldest_s or 0.0,
        "How long the oldest accepted work has waited for its commit.",
        unit="s",
    )
    telemetry.observe(
        METRIC_COLLECTION_SHARE,
        lambda: health.collection_share,
        "Stored events as a share of those stored, rejected or lost, over the last minute.",
    )


def observe_gate(telemetry: Telemetry, gate: SignalGate) -> None:
    """Reports the states of breakers and the revisions of LIVE and PAPER."""

    def states() -> Iterable[tuple[str, str, int]]:
        for (kind, environment), state in gate.worst_states().items():
            yield kind.name.lower(), Environment(environment).name.lower(), _STATES[state]

    def revisions() -> Iterable[tuple[str, int]]:
        for environment in CLOCKED:
            held = gate.held(World(int(environment), ""))
            yield environment.name.lower(), held.rules.revision

    telemetry.observe_gate(states, revisions)
