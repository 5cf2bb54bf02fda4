"""The first line of every engine: `tt = trimtab_client.connect(...)`."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from types import TracebackType
from typing import Self

from trimtab_client.channel import LazyChannel
from trimtab_client.client import Client
from trimtab_client.credentials import Credentials
from trimtab_client.event import ENVIRONMENT, Event, Word
from trimtab_client.event_builder import EventBuilder
from trimtab_client.gate import ON_UNAVAILABLE, SignalGate
from trimtab_client.market_events import MarketEvents
from trimtab_client.outcome_events import OutcomeEvents
from trimtab_client.recorder import OnRefused, Recorder
from trimtab_client.rejections import OnRejected
from trimtab_client.ring import EventClass
from trimtab_client.settings import GateSettings, RecorderSettings
from trimtab_client.stats import FlushResult, RecorderStats
from trimtab_client.trade_events import TradeEvents

_BACKTEST = ENVIRONMENT("BACKTEST", "environment")


class Trimtab(TradeEvents[str | None], OutcomeEvents[str | None], MarketEvents[str | None]):
    """One engine's connection: recording methods, `allow` and the `gate` behind it, a `client` for
    unary calls.

    Every recording method returns the event's id, or None when the ring refused it. Use `connect`.
    """

    def __init__(
        self,
        *,
        source: str,
        environment: Word,
        run_id: str = "",
        on_unavailable: str = "CLOSED",
        address: str | None = None,
        credentials: Credentials | None = None,
        timeout_s: float = 5.0,
        settings: RecorderSettings | None = None,
        gate_settings: GateSettings | None = None,
        on_rejected: OnRejected | None = None,
        on_refused: OnRefused | None = None,
    ) -> None:
        """See `connect`."""
        super().__init__(source=source, environment=environment, run_id=run_id)
        if on_unavailable not in ON_UNAVAILABLE:
            raise ValueError(f"on_unavailable: {on_unavailable!r} is none of CLOSED, OPEN")
        self.on_unavailable = on_unavailable
        self._channel = LazyChannel(address, credentials)
        self.address = self._channel.address
        self.client = Client(channel=self._channel, timeout_s=timeout_s)
        self.recorder = Recorder(
            self._channel,
            source,
            settings=self._recorder_settings(settings or RecorderSettings()),
            on_rejected=on_rejected,
            on_refused=on_refused,
        )
        # Bound once: two attribute look-ups less on the engine's thread, for every event.
        self._record_bytes = self.recorder.record_bytes
        self.gate = SignalGate(
            source=source,
            environment=environment,
            run_id=run_id,
            on_unavailable=on_unavailable,
            client=self.client,
            make_channel=lambda: LazyChannel(address, credentials),
            recorder=self.recorder,
            settings=gate_settings,
        )
        # `tt.allow(...)`: whether a signal may be emitted. Bound once, as above.
        self.allow = self.gate.check

    def _recorder_settings(self, settings: RecorderSettings) -> RecorderSettings:
        """A backtest has no spool unless told: it can be run again."""
        told = settings.spool_mode is not None or settings.spool_dir is not None
        if told or self.environment != _BACKTEST:
            return settings
        return replace(settings, spool_mode="off")

    @property
    def builder(self) -> EventBuilder:
        """Builders of events with this envelope that record nothing: for `client.record_event`."""
        return EventBuilder(source=self.source, environment=self.environment, run_id=self.run_id)

    def _emit(self, event: Event, event_class: EventClass) -> str | None:
        taken = self._record_bytes(event.SerializeToString(), event_class)
        return event.event_id if taken else None

    def record(self, event: Event) -> str | None:
        """Records a ready event; empty envelope fields (event_id, source, environment, run_id,
        event_time, traceparent) are filled in place. TypeError for an event without payload."""
        self.fill(event)
        return event.event_id if self.recorder.record(event) else None

    def flush(self, timeout: float = 10.0) -> FlushResult:
        """Waits up to `timeout` seconds until all that was accepted before is settled; the result
        tells apart what is `durable` and what is only answered (`settled`)."""
        self.gate.drain()
        return self.recorder.flush(timeout)

    async def flush_async(
        self,
        timeout: float = 10.0,  # noqa: ASYNC109 - the flush itself ends, not the wait for it
    ) -> FlushResult:
        """`flush` for asyncio: waits on a worker thread, not on the event loop."""
        return await asyncio.get_running_loop().run_in_executor(None, self.flush, timeout)

    def wait_ready(self, timeout: float = 10.0) -> bool:
        """Whether the sidecar serves and the gate holds a lease within `timeout` seconds; connects
        the stream meanwhile."""
        end_s = time.monotonic() + timeout
        self.recorder.start()
        self.gate.start()
        serves = self.client.wait_ready(timeout)
        return serves and self.gate.wait_fresh(max(0.0, end_s - time.monotonic()))

    @property
    def stats(self) -> RecorderStats:
        """The recorder's counts."""
        return self.recorder.stats

    def close(self, timeout: float | None = None) -> FlushResult:
        """Flushes, ends the stream, closes the channel, all within `timeout` seconds (default 10;
        2 when no sidecar ever answered, `RecorderSettings.absent_close_timeout_s`). Idempotent.
        What is not settled by then is kept in the spool (`spooled_count`) or, without one, gone
        (`dropped_count`); one warning in the log tells either."""
        self.gate.close()
        result = self.recorder.close(timeout)
        self.client.close()
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def connect(
    *,
    source: str,
    environment: Word,
    run_id: str = "",
    on_unavailable: str = "CLOSED",
    address: str | None = None,
    credentials: Credentials | None = None,
    timeout_s: float = 5.0,
    settings: RecorderSettings | None = None,
    gate_settings: GateSettings | None = None,
    on_rejected: OnRejected | None = None,
    on_refused: OnRefused | None = None,
) -> Trimtab:
    """A connection for one engine. Does no I/O and never fails because the sidecar is down.

    source: the engine, 1 to 64 characters. environment: LIVE, PAPER or BACKTEST. run_id: the
    backtest or paper run, required for BACKTEST. on_unavailable: what absence of the sidecar means
    for entries, CLOSED (none) or OPEN (the fallback rule); exits always pass. See `tt.allow`.
    address: "host:port" or "unix:/path"; default $TRIMTAB_ADDRESS, else 127.0.0.1:7517.
    credentials: token and TLS, for a secured sidecar; what they do not tell the environment may.
    timeout_s: deadline of unary calls, seconds. settings: the recorder's limits. gate_settings:
    the gate's. on_rejected, on_refused: see Recorder. ValueError when an argument makes no sense.
    """
    return Trimtab(
        source=source, environment=environment, run_id=run_id, on_unavailable=on_unavailable,
        address=address, credentials=credentials, timeout_s=timeout_s, settings=settings,
        gate_settings=gate_settings, on_rejected=on_rejected, on_refused=on_refused,
    )  # fmt: skip
