"""The signal gate, joined: what answers, and what callers ask. `app` hands it the clocks."""

from collections.abc import Callable
from typing import Any

from trimtab_server.domain.gate.breaker_rules import GatePolicy
from trimtab_server.loop.gauges import observe_gate
from trimtab_server.loop.ingest import Ingest
from trimtab_server.loop.readers import Readers
from trimtab_server.loop.signal_gate import SignalGate
from trimtab_server.rpc.signal_gate_service import GateTerms, SignalGateService
from trimtab_server.settings import Settings
from trimtab_server.store.store import Store
from trimtab_server.telemetry import METRIC_GATE_WATCHERS, Telemetry


def signal_gate(
    policy: GatePolicy,
    store: Store,
    ingest: Ingest,
    readers: Readers,
    telemetry: Telemetry,
    now_ns: Callable[[], int],
) -> SignalGate:
    """The gate with what the store holds of it."""
    gate = SignalGate(store, ingest, readers, policy, telemetry, now_ns)
    gate.load()
    observe_gate(telemetry, gate)
    return gate


def gate_service(
    settings: Settings,
    gate: SignalGate,
    store: Store,
    telemetry: Telemetry,
    boot_id: str,
    *,
    uptime_ns: Callable[[], int],
    may_probe: Callable[[Any], bool] | None,
) -> SignalGateService:
    """What callers ask. may_probe: which of them may be granted probes; None = all."""
    terms = GateTerms(
        log_id=store.log_id,
        boot_id=boot_id,
        watchers_max=settings.gate.watchers_max,
        slow_reader_s=settings.slow_reader_s,
        former_log_ids=store.former_log_ids,
        may_probe=may_probe or (lambda _: True),
        uptime_ns=uptime_ns,
    )
    service = SignalGateService(gate, terms, telemetry)
    words = "WatchSignalGate calls open."
    telemetry.observe(METRIC_GATE_WATCHERS, lambda: service.watcher_count, words)
    return service
