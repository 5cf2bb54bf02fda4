"""One StreamEvents call, spoken a message at a time over the generated stub."""

import queue
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from tests.rpc.samples import SOURCE, new_id
from tests.rpc.statuses import Answer, answer_of
from trimtab.v1 import event_pb2, event_service_pb2_grpc
from trimtab.v1 import event_service_pb2 as pb

_ANSWER_S_MAX = 20.0


class Conversation:
    """A producer's stream: what it says and what it hears."""

    def __init__(
        self,
        stub: event_service_pb2_grpc.EventServiceStub,
        *,
        producer_id: str = "",
        epoch: int = 1,
        source: str = SOURCE,
    ) -> None:
        self.producer_id = producer_id or new_id()
        self._open = pb.Open(producer_id=self.producer_id, producer_epoch=epoch, source=source)
        self._said: queue.Queue[pb.StreamEventsRequest | None] = queue.Queue(10_000)
        self._call: Any = stub.StreamEvents(iter(self._said.get, None), timeout=_ANSWER_S_MAX)
        self._answers: Iterator[pb.StreamEventsResponse] = iter(self._call)

    def __enter__(self) -> Self:
        """Opens the stream."""
        self.say(open=self._open)
        self.opened = self.hear().opened
        assert self.opened.log_id
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._said.put(None)
        if kind is not None:
            self._call.cancel()
            return
        for _ in self._answers:
            pass

    def say(self, **message: Any) -> None:
        """Sends one message."""
        self._said.put(pb.StreamEventsRequest(**message))

    def hear(self) -> pb.StreamEventsResponse:
        """The server's next message."""
        return next(self._answers)

    def send(self, first_seq: int, *events: event_pb2.Event) -> None:
        """Sends a batch, without waiting."""
        self.say(batch=pb.Batch(first_seq=first_seq, events=events))

    def ack_through(self, seq: int) -> pb.Ack:
        """The acknowledgements up to the one that reaches a number, as one."""
        whole = pb.Ack()
        while whole.durable_through_seq < seq:
            answer = self.hear()
            assert answer.WhichOneof("message") == "ack", answer
            whole.duplicate_count += answer.ack.duplicate_count
            whole.rejections.extend(answer.ack.rejections)
            whole.durable_through_seq = answer.ack.durable_through_seq
            whole.window.CopyFrom(answer.ack.window)
        return whole

    def record(self, first_seq: int, events: Sequence[event_pb2.Event]) -> pb.Ack:
        """Sends a batch and waits until it is settled."""
        self.send(first_seq, *events)
        return self.ack_through(first_seq + len(events) - 1)

    def half_close(self) -> list[pb.StreamEventsResponse]:
        """Ends our side; what the server still says until it ends in good order."""
        self._said.put(None)
        return list(self._answers)

    def ending(self) -> Answer:
        """The error that the server ends the stream with, whatever it says before."""
        try:
            for _ in self._answers:
                pass
        except grpc.RpcError as error:
            return answer_of(error)
        raise AssertionError("the stream ended in good order")
