"""One engine's stream: batches in, cumulative acknowledgements out.

One coroutine reads and submits; another sends. What is to be sent is state, not a queue: the
acknowledgement that is due grows while the client does not read.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from trimtab.v1 import event_service_pb2 as pb
from trimtab_server.domain.events import Append, Appended, Loss, Producer, Violation
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import (
    Conflict,
    InvalidRequest,
    OutOfRange,
    Overloaded,
    StreamBroken,
    Unavailable,
)
from trimtab_server.loop.ingest import Ingest
from trimtab_server.rpc.convert import loss_event, rejection_message, uuid_words
from trimtab_server.rpc.intake import Intake, Taken
from trimtab_server.rpc.requests import checked_lost, checked_open, uuid_bytes

# Seconds for the last Ack of a stream that has failed.
_LAST_ACK_S_MAX = 1.0
# Rejections of one Ack, in bytes; the others follow in the next one. Callers take 4 MiB.
_ACK_BYTES_MAX = 1 << 20


@dataclass(frozen=True, slots=True)
class StreamTerms:
    """What a stream is opened with and held to."""

    log_id: str
    limits: pb.Limits
    window_events: int
    window_bytes: int
    retry_after_s: float
    new_event_id: Callable[[], str]
    new_stream_key: Callable[[], int]
    now_ns: Callable[[], int]


@dataclass(slots=True)
class _Due:
    """What the client is to be told next."""

    durable_through_seq: int = 0
    duplicate_count: int = 0
    rejections: list[pb.Rejection] = field(default_factory=list)
    event_count: int = 0
    byte_count: int = 0
    is_due: bool = False


class EventStream:
    """The server's end of one StreamEvents call."""

    def __init__(self, context: Any, ingest: Ingest, intake: Intake, terms: StreamTerms) -> None:
        self._context = context
        self._ingest = ingest
        self._intake = intake
        self._terms = terms
        self._due = _Due()
        self._acked_through_seq = 0
        self._wake = asyncio.Event()
        self._leaving = asyncio.Event()
        self._receiving: asyncio.Future[Any] | None = None
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._is_open = True
        self._in_flight: deque[tuple[int, int]] = deque()  # bounded: by the window
        self._events_in_flight = 0
        self._bytes_in_flight = 0
        self.producer: Producer | None = None

    # -- what others ask of it ------------------------------------------------------------------

    def leave(self) -> None:
        """The server stops: send GoAway, settle what was sent, close in good order."""
        self._leaving.set()
        if self._receiving is not None:
            self._receiving.cancel()
        self._wake.set()

    def supersede(self, epoch: int) -> None:
        """Another stream of this producer took over, with this epoch."""
        if self.producer is not None and epoch > self.producer.epoch:
            words, metadata = f"epoch {epoch} took over", {"producer_epoch": str(epoch)}
            self._fail(StreamBroken(Reason.PRODUCER_FENCED, words, metadata=metadata))
        else:
            self._fail(StreamBroken(Reason.PRODUCER_SUPERSEDED, "a newer stream took over"))

    async def open(self) -> Producer:
        """Reads the first message. Raises StreamBroken, InvalidRequest, or Unavailable."""
        request = await self._receive()
        if request is None and self._leaving.is_set():
            raise Unavailable(Reason.SHUTTING_DOWN, "the server is stopping")
        if request is None or request.WhichOneof("message") != "open":
            raise StreamBroken(Reason.STREAM_PROTOCOL, "the first message must be open")
        opening = request.open
        checked_open(opening)
        self.producer = Producer(
            uuid_bytes(opening.producer_id, "open.producer_id"),
            opening.producer_epoch,
            opening.source,
            self._terms.new_stream_key(),
        )
        return self.producer

    async def run(self, next_seq: int) -> None:
        """Serves the stream until the client half-closes, the server leaves, or a rule breaks."""
        self._due.durable_through_seq = self._acked_through_seq = next_seq - 1
        opened = pb.Opened(
            log_id=self._terms.log_id,
            next_expected_seq=next_seq,
            limits=self._terms.limits,
            window=self._window(),
        )
        await self._context.write(pb.StreamEventsResponse(opened=opened))
        reading = asyncio.create_task(self._read())
        sending = asyncio.create_task(self._send())
        failing = asyncio.create_task(self._failed.wait())
        try:
            await asyncio.wait({sending, failing}, return_when=asyncio.FIRST_COMPLETED)
            # A client that reads nothing does not hold a stream that has failed.
            await asyncio.wait({sending}, timeout=_LAST_ACK_S_MAX)
            if sending.done():
                sending.result()
        finally:
            failing.cancel()
            for task in (reading, sending):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
        if self._failure is not None:
            raise self._failure

    # -- reading --------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while not self._failed.is_set() and (request := await self._receive()) is not None:
                await self._take(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - it ends the stream, with its status
            self._fail(error)
        finally:
            self._is_open = False
            self._wake.set()

    async def _receive(self) -> Any:
        """The next message; None when the client has half-closed or the server leaves."""
        if self._leaving.is_set():
            return None
        self._receiving = asyncio.ensure_future(self._context.read())
        try:
            request = await self._receiving
        except asyncio.CancelledError:
            if self._leaving.is_set() or self._failed.is_set():
                return None
            raise
        return None if request is grpc.aio.EOF else request

    async def _take(self, request: pb.StreamEventsRequest) -> None:
        kind = request.WhichOneof("message")
        if kind == "batch":
            await self._take_batch(request.batch)
        elif kind == "lost":
            await self._take_lost(request.lost)
        elif kind == "flush":
            await self._submit(Taken(Append([], 0, self.producer, 1), ()), 0, urgent=True)
        else:
            words = "open comes once, first" if kind == "open" else "the message is empty"
            raise StreamBroken(Reason.STREAM_PROTOCOL, words)

    async def _take_batch(self, batch: pb.Batch) -> None:
        if batch.first_seq < 1:
            raise InvalidRequest(Violation("batch.first_seq", "numbers start at 1"))
        taken = await self._intake.take(
            batch.events, "batch.events", self.producer, batch.first_seq
        )
        count = len(taken.append.events)
        if self._events_in_flight and (
            self._events_in_flight + count > self._terms.window_events
            or self._bytes_in_flight + taken.append.byte_count > self._terms.window_bytes
        ):
            raise Overloaded(
                Reason.WINDOW_EXCEEDED,
                f"{self._events_in_flight} events are in flight; {count} more exceed the window of"
                f" {self._terms.window_events} events or {self._terms.window_bytes} bytes",
            )
        await self._submit(taken, batch.first_seq + count - 1, urgent=False)

    async def _take_lost(self, lost: pb.Lost) -> None:
        checked_lost(lost)
        assert self.producer is not None
        event = loss_event(
            self._terms.new_event_id(),
            self.producer.source,
            self._terms.now_ns(),
            lost,
            uuid_words(self.producer.producer_id),
        )
        loss = Loss(lost.first_seq, lost.last_seq, event)
        append = Append([event], len(event.body), self.producer, lost.first_seq, loss)
        await self._submit(Taken(append, ()), lost.last_seq, urgent=True)

    async def _submit(self, taken: Taken, last_seq: int, *, urgent: bool) -> None:
        done = await self._ingest.submit(
            taken.append, urgent=urgent, traceparents=taken.traceparents
        )
        size = (len(taken.append.events), taken.append.byte_count)
        self._in_flight.append(size)
        self._events_in_flight += size[0]
        self._bytes_in_flight += size[1]
        done.add_done_callback(partial(self._settle, taken.append, last_seq))

    # -- settling what was submitted ------------------------------------------------------------

    def _settle(self, append: Append, last_seq: int, done: "asyncio.Future[Appended]") -> None:
        """Called in the order of submission, as the commits end."""
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            self._fail(error)
            return
        result = done.result()
        size = self._in_flight.popleft()
        if result.error_reason is not None:
            self._fail(_stream_error(result, append))
            return
        due = self._due
        due.durable_through_seq = max(due.durable_through_seq, last_seq)
        due.duplicate_count += len(result.duplicates)
        due.event_count += size[0]
        due.byte_count += size[1]
        for index in sorted(result.rejections):
            rejection = result.rejections[index]
            due.rejections.append(rejection_message(rejection, append.first_seq + index))
        due.is_due = True
        self._wake.set()

    # -- sending --------------------------------------------------------------------------------

    async def _send(self) -> None:
        said_go_away = False
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._leaving.is_set() and not said_go_away:
                said_go_away = True
                await self._context.write(pb.StreamEventsResponse(go_away=self._go_away()))
            while self._due.is_due:
                await self._context.write(pb.StreamEventsResponse(ack=self._take_ack()))
            if self._leaving.is_set() and not said_go_away and self._failure is None:
                # The server began to leave while an Ack was being written.
                self._wake.set()
            elif self._failure is not None or self._is_settled():
                return

    def _is_settled(self) -> bool:
        return not self._is_open and not self._in_flight

    def _take_ack(self) -> pb.Ack:
        """The Ack that is due. It frees the window, so a client that reads no Ack may not go on
        sending; rejections that do not fit stay due, and hold the mark below them."""
        due, told, byte_count = self._due, 0, 0
        while told < len(due.rejections) and byte_count < _ACK_BYTES_MAX:
            byte_count += due.rejections[told].ByteSize()
            told += 1
        rest = due.rejections[told:]
        through = min([due.durable_through_seq, *(each.producer_seq - 1 for each in rest)])
        self._acked_through_seq = max(self._acked_through_seq, through)
        self._events_in_flight -= due.event_count
        self._bytes_in_flight -= due.byte_count
        self._due = _Due(due.durable_through_seq, rejections=rest, is_due=bool(rest))
        return pb.Ack(
            durable_through_seq=self._acked_through_seq,
            duplicate_count=due.duplicate_count,
            rejections=due.rejections[:told],
            window=self._window(),
        )

    def _window(self) -> pb.Window:
        """The window shrinks as the server's queue fills, down to a sixteenth."""
        share = max(self._ingest.free_share(), 1 / 16)
        return pb.Window(
            event_count=max(1, int(self._terms.window_events * share)),
            bytes=max(1, int(self._terms.window_bytes * share)),
        )

    def _go_away(self) -> pb.GoAway:
        retry_after = Duration()
        retry_after.FromNanoseconds(int(self._terms.retry_after_s * 1e9))
        return pb.GoAway(
            reason=pb.GO_AWAY_REASON_SHUTTING_DOWN,
            retry_after=retry_after,
        )

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
        self._failed.set()
        if self._receiving is not None:
            self._receiving.cancel()
        self._wake.set()


def _stream_error(result: Appended, append: Append) -> Exception:
    reason = result.error_reason or Reason.STREAM_PROTOCOL
    field_name = "lost.first_seq" if append.loss else "batch.first_seq"
    violation = Violation(field_name, result.error_message)
    metadata = {"expected_seq": str(result.expected_seq)}
    if reason is Reason.SEQUENCE_GAP:
        return OutOfRange(reason, result.error_message, [violation], metadata=metadata)
    if reason is Reason.SEQUENCE_REUSED:
        return Conflict(reason, result.error_message, [violation], metadata=metadata)
    return StreamBroken(reason, result.error_message)
