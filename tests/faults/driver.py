"""Callers that keep calling while the server dies, stops and comes back: raw stubs, own records.

A producer resumes as the contract says: it opens again under the same id and epoch, and sends
again from behind its last acknowledgement or from where the server expects it, by chance.
"""

import random
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import grpc

from tests.faults.checker import Record, Sent
from tests.faults.events import body, event, uuid
from tests.rpc.statuses import FORBIDDEN, answer_of
from trimtab.v1 import event_pb2
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub

RETRY_S = 0.15
CALL_S_MAX = 20.0
DRAIN_S_MAX = 30.0
EVENTS_IN_FLIGHT_MAX = 240
BATCH_EVENTS_MAX = 40
REFUSED_SHARE = 0.03
# A connection that fell silent is given up after about 8 s; the server permits a ping every 5 s.
KEEPALIVE = (("grpc.keepalive_time_ms", 6_000), ("grpc.keepalive_timeout_ms", 2_000))


def open_channel(address: str, *more: tuple[str, int]) -> grpc.Channel:
    """A channel of its own that looks for a restarted server without delay."""
    options: list[tuple[str, int]] = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 200),
        *more,
    ]
    return grpc.insecure_channel(address, options=options)


@dataclass
class Ending:
    """How one stream or call ended. A reason stands there when the sidecar itself answered."""

    code: grpc.StatusCode
    details: str = ""
    said_go_away: bool = False
    was_open: bool = False
    reason: str = ""
    retry_after_s: float | None = None

    @classmethod
    def of(cls, error: grpc.RpcError) -> Self:
        """An error, read."""
        ending = cls(error.code(), error.details() or "")
        if ending.code not in FORBIDDEN:
            answer = answer_of(error)
            ending.reason, ending.retry_after_s = answer.reason, answer.retry_after_s
        return ending

    @property
    def fault(self) -> str:
        """What is wrong with it by the retry table; empty when nothing is."""
        if self.code in FORBIDDEN:
            return f"{self.code.name} was answered: {self.details}"
        ours = self.code is grpc.StatusCode.UNAVAILABLE and self.reason
        retry_helps = self.code is grpc.StatusCode.RESOURCE_EXHAUSTED or ours
        if retry_helps and self.retry_after_s is None:
            return f"{self.code.name} came without RetryInfo: {self.details}"
        return ""


class Caller(threading.Thread):
    """One thread that calls until it is told to drain (finish what it sent) or to halt.

    addresses: one, or several of which each connection takes any. pause_s_max: how long it rests
    between two sendings, at most.
    """

    pause_s_max: float = 0.0

    def __init__(
        self, name: str, addresses: str | Sequence[str], record: Record, seed: int
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.addresses = [addresses] if isinstance(addresses, str) else list(addresses)
        self.record = record
        self.rng = random.Random(f"{seed}-{name}")
        self.endings: list[Ending] = []
        self.protocol_faults: list[str] = []
        self.draining = threading.Event()
        self.halted = threading.Event()

    def run(self) -> None:
        """Calls, and calls again after a failure, until drained or halted."""
        while not self.halted.is_set():
            with open_channel(self._address(), *KEEPALIVE) as channel:
                if self.call(EventServiceStub(channel)):
                    return
            self.halted.wait(RETRY_S)

    def call(self, stub: EventServiceStub) -> bool:
        """Works over one channel until it fails. True when nothing is left to do."""
        raise NotImplementedError

    def _pause_s(self) -> float:
        return self.rng.uniform(0, self.pause_s_max) if self.pause_s_max else 0

    def _address(self) -> str:
        return self.addresses[self.rng.randrange(len(self.addresses))]

    def ended(self, error: grpc.RpcError) -> Ending:
        """Notes how a call failed."""
        ending = Ending.of(error)
        self.endings.append(ending)
        if ending.fault:
            self.protocol_faults.append(f"{self.name}: {ending.fault}")
        return ending


class UnaryCaller(Caller):
    """Records one event, or several, at a time; repeats a call until it is answered."""

    pending: list[event_pb2.Event]

    def __init__(
        self, name: str, addresses: str | Sequence[str], record: Record, seed: int
    ) -> None:
        super().__init__(name, addresses, record, seed)
        self.pending = []

    def call(self, stub: EventServiceStub) -> bool:
        """As in Caller."""
        while not self.halted.wait(self._pause_s()):
            if not self.pending:
                if self.draining.is_set():
                    return True
                self.pending = [
                    event(self.rng, self.name, padding=self.rng.randrange(1_500))
                    for _ in range(self.rng.choice((1, 1, 1, 12)))
                ]
                for made in self.pending:
                    self.record.note_sent(made.event_id, Sent(body(made)))
            try:
                self._send(stub)
            except grpc.RpcError as error:
                self.ended(error)
                return False
            self.record.note_acknowledged(made.event_id for made in self.pending)
            self.pending = []
        return True

    def _send(self, stub: EventServiceStub) -> None:
        if len(self.pending) == 1:
            stub.RecordEvent(pb.RecordEventRequest(event=self.pending[0]), timeout=CALL_S_MAX)
            return
        answer = stub.RecordEvents(pb.RecordEventsRequest(events=self.pending), timeout=CALL_S_MAX)
        told = [result.recorded.event_id for result in answer.results]
        if told != [made.event_id for made in self.pending]:
            self.protocol_faults.append(f"RecordEvents answered for {told}")


class StreamProducer(Caller):
    """One producer: numbered events, several batches in flight, one id for all its streams."""

    def __init__(
        self, name: str, addresses: str | Sequence[str], record: Record, seed: int
    ) -> None:
        super().__init__(name, addresses, record, seed)
        self.producer_id = uuid(self.rng)
        self.acknowledged_seq = 0
        self._unacknowledged: deque[tuple[int, event_pb2.Event]] = deque()
        self._last_seq = 0
        self._changed = threading.Condition()
        self._send_from = 0
        self._stream = 0
        self._go_away = False

    def call(self, stub: EventServiceStub) -> bool:
        """As in Caller: one stream."""
        with self._changed:
            self._stream += 1
            self._send_from = 0
            self._go_away = False
        stream = stub.StreamEvents(self._requests(self._stream))
        failed: grpc.RpcError | None = None
        try:
            for response in stream:
                self._take(response)
        except grpc.RpcError as error:
            failed = error
        with self._changed:
            self._stream += 1  # ends the request generator, which waits in a thread of grpc
            self._changed.notify_all()
            if failed is None:
                ending = Ending(grpc.StatusCode.OK)
                self.endings.append(ending)
            else:
                ending = self.ended(failed)
            ending.said_go_away, ending.was_open = self._go_away, self._send_from > 0
            return self.draining.is_set() and not self._unacknowledged

    def drain(self) -> None:
        """Makes no new events; the thread ends when all are acknowledged."""
        with self._changed:
            self.draining.set()
            self._changed.notify_all()

    @property
    def is_waiting(self) -> bool:
        """Whether it has sent all it may and waits for an acknowledgement."""
        with self._changed:
            return self._send_from > self.acknowledged_seq + EVENTS_IN_FLIGHT_MAX

    def _take(self, response: pb.StreamEventsResponse) -> None:
        kind = response.WhichOneof("message")
        with self._changed:
            if kind == "opened":
                self._opened(response.opened.next_expected_seq)
            elif kind == "ack":
                self._refused(response.ack.rejections)
                self._acknowledge(response.ack.durable_through_seq)
            elif kind == "go_away":
                self._go_away = True
            self._changed.notify_all()

    def _opened(self, next_seq: int) -> None:
        if not self.acknowledged_seq < next_seq <= self._last_seq + 1:
            self.protocol_faults.append(
                f"{self.name}: {next_seq} is expected after acknowledgement"
                f" {self.acknowledged_seq} of {self._last_seq}"
            )
        self._send_from = self.rng.choice((next_seq, self.acknowledged_seq + 1))
        if self._send_from == next_seq:
            self._acknowledge(next_seq - 1)

    def _refused(self, rejections: Iterable[pb.Rejection]) -> None:
        for rejection in rejections:
            if self.record.sent[rejection.event_id].valid:
                self.protocol_faults.append(f"{self.name}: a good event was refused: {rejection}")

    def _acknowledge(self, through_seq: int) -> None:
        if not self.acknowledged_seq <= through_seq <= self._last_seq:
            self.protocol_faults.append(
                f"{self.name}: {through_seq} is acknowledged after {self.acknowledged_seq}"
                f" of {self._last_seq}"
            )
        self.acknowledged_seq = through_seq
        done = []
        while self._unacknowledged and self._unacknowledged[0][0] <= through_seq:
            done.append(self._unacknowledged.popleft()[1].event_id)
        self.record.note_acknowledged(done)

    def _requests(self, stream: int) -> Iterator[pb.StreamEventsRequest]:
        """What grpc's thread sends on one stream: open, what is due again, then new events."""
        opening = pb.Open(producer_id=self.producer_id, producer_epoch=1, source=self.name)
        yield pb.StreamEventsRequest(open=opening)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._may_send(stream), CALL_S_MAX)
                if self._stream != stream or self.halted.is_set():
                    return
                batch = self._next_batch()
                if batch is None:
                    if self.draining.is_set() and not self._unacknowledged:
                        return
                    continue
            yield pb.StreamEventsRequest(batch=batch)
            self.halted.wait(self._pause_s())

    def _may_send(self, stream: int) -> bool:
        if self._stream != stream or self.halted.is_set():
            return True
        if not self._send_from or self._go_away:
            return False
        if self.draining.is_set():
            return not self._unacknowledged or self._send_from <= self._last_seq
        return self._send_from <= self.acknowledged_seq + EVENTS_IN_FLIGHT_MAX

    def _next_batch(self) -> pb.Batch | None:
        if not self._send_from or self._go_away:
            return None
        # What was acknowledged meanwhile is not kept any more, and not sent again.
        self._send_from = max(self._send_from, self.acknowledged_seq + 1)
        size = self.rng.randint(1, BATCH_EVENTS_MAX)
        while not self.draining.is_set() and self._last_seq < self._send_from + size - 1:
            self._make()
        events = [made for seq, made in self._unacknowledged if seq >= self._send_from][:size]
        if not events:
            return None
        batch = pb.Batch(first_seq=self._send_from, events=events)
        self._send_from += len(events)
        return batch

    def _make(self) -> None:
        self._last_seq += 1
        valid = self.rng.random() >= REFUSED_SHARE
        made = event(self.rng, self.name, padding=self.rng.randrange(600), valid=valid)
        sent = Sent(body(made), self.producer_id, self._last_seq, valid)
        self.record.note_sent(made.event_id, sent)
        self._unacknowledged.append((self._last_seq, made))


class Load:
    """Several producers and unary callers at once; a context manager that leaves no thread."""

    def __init__(
        self,
        addresses: str | Sequence[str],
        seed: int,
        producers: int = 3,
        unary: int = 2,
        pause_s_max: float = 0.0,
    ) -> None:
        self.record = Record()
        self.producers = [
            StreamProducer(f"stream-{i}", addresses, self.record, seed) for i in range(producers)
        ]
        self.unary = [UnaryCaller(f"unary-{i}", addresses, self.record, seed) for i in range(unary)]
        self.callers: list[Caller] = [*self.producers, *self.unary]
        for caller in self.callers:
            caller.pause_s_max = pause_s_max

    def __enter__(self) -> Self:
        for caller in self.callers:
            caller.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.halt()

    @property
    def protocol_faults(self) -> list[str]:
        """What the server said that it must not say."""
        return [fault for caller in self.callers for fault in caller.protocol_faults]

    @property
    def endings(self) -> list[Ending]:
        """How every stream and every failed call ended."""
        return [ending for caller in self.callers for ending in caller.endings]

    def drain(self, limit_s: float = DRAIN_S_MAX) -> None:
        """Everything that was sent gets acknowledged; no new events are made."""
        for producer in self.producers:
            producer.drain()
        for caller in self.unary:
            caller.draining.set()
        self._join(limit_s)

    def halt(self) -> None:
        """Ends every caller where it stands."""
        for caller in self.callers:
            caller.halted.set()
        for producer in self.producers:
            producer.drain()
        self._join(DRAIN_S_MAX)

    def _join(self, limit_s: float) -> None:
        for caller in self.callers:
            caller.join(limit_s)
            assert not caller.is_alive(), f"{caller.name} did not finish; it saw {caller.endings}"
