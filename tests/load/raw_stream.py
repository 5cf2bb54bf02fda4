"""A stream client that costs as little as can be: ready bytes out, acknowledgements in."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import grpc

from tests.load.messages import Batch
from trimtab.v1 import event_service_pb2 as pb
from trimtab_client.wire import open_message

STREAM_EVENTS = "/trimtab.v1.EventService/StreamEvents"
RECORD_EVENT = "/trimtab.v1.EventService/RecordEvent"
LIST_EVENTS = "/trimtab.v1.EventService/ListEvents"
_ROOM_S_MAX = 60.0


@dataclass
class Settled:
    """What became of a run. Times are seconds of `time.perf_counter`."""

    first_sent_s: float = 0.0
    # When each acknowledgement came, and through which number it went.
    acks: list[tuple[float, int]] = field(default_factory=list)
    event_count: int = 0
    byte_count: int = 0
    duplicate_count: int = 0
    rejections: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Raises RuntimeError unless every event was stored, once."""
        if self.rejections or self.duplicate_count:
            raise RuntimeError(
                f"{len(self.rejections)} events were rejected, {self.duplicate_count} were stored"
                f" before; the first: {self.rejections[:1]}"
            )
        if not self.acks or self.acks[-1][1] != self.event_count:
            raise RuntimeError(f"{self.event_count} events were sent; acknowledged: {self.acks}")


class RawStream:
    """One StreamEvents call that sends batches as they come and keeps to the server's window."""

    def __init__(self, channel: grpc.Channel, source: str) -> None:
        self._call: Any = channel.stream_stream(
            STREAM_EVENTS,
            request_serializer=None,
            response_deserializer=pb.StreamEventsResponse.FromString,
        )
        self._source = source
        self._changed = threading.Condition()
        self._settled = Settled()
        self._window = pb.Window()
        self._durable_seq = 0
        self._durable_bytes = 0
        self._over = False

    def run(self, batches: Iterator[Batch]) -> Settled:
        """Sends all batches, numbered from 1; returns when the last one is acknowledged.

        `batches` is read on another thread and may sleep. Raises grpc.RpcError when the stream
        breaks, and what `batches` raises."""
        failed: list[BaseException] = []
        responses = self._call(self._requests(batches, failed))
        try:
            for response in responses:
                self._take(response)
        except grpc.RpcError:
            if not failed:
                raise
        finally:
            with self._changed:
                self._over = True
                self._changed.notify()
        if failed:
            raise failed[0]
        return self._settled

    def _requests(self, batches: Iterator[Batch], failed: list[BaseException]) -> Iterator[bytes]:
        yield open_message(str(uuid4()), self._source)
        settled = self._settled
        through: dict[int, int] = {0: 0}
        try:
            # A paced series starts its clock when it is first asked.
            self._wait(lambda: self._window.event_count > 0)
            for batch in batches:
                self._wait_for_room(batch, through)
                if not settled.first_sent_s:
                    settled.first_sent_s = time.perf_counter()
                settled.event_count += batch.event_count
                settled.byte_count += batch.byte_count
                through[batch.last_seq] = settled.byte_count
                yield batch.message
        except Exception as error:  # noqa: BLE001 - grpc would hide it
            failed.append(error)

    def _wait_for_room(self, batch: Batch, through: dict[int, int]) -> None:
        def has_room() -> bool:
            count = self._settled.event_count - self._durable_seq
            # Acks fall on the ends of batches.
            size = self._settled.byte_count - through.get(self._durable_seq, 0)
            return count == 0 or (
                count + batch.event_count <= self._window.event_count
                and size + batch.byte_count <= self._window.bytes
            )

        self._wait(has_room)

    def _wait(self, ready: Callable[[], bool]) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._over or ready(), _ROOM_S_MAX):
                raise TimeoutError(f"no room in the window for {_ROOM_S_MAX:g} s")
            if self._over:
                raise RuntimeError("the stream ended early")

    def _take(self, response: pb.StreamEventsResponse) -> None:
        now_s = time.perf_counter()
        kind = response.WhichOneof("message")
        with self._changed:
            if kind == "opened":
                self._window = response.opened.window
            elif kind == "ack":
                ack = response.ack
                self._durable_seq = ack.durable_through_seq
                self._window = ack.window
                self._settled.acks.append((now_s, ack.durable_through_seq))
                self._settled.duplicate_count += ack.duplicate_count
                self._settled.rejections += [str(each) for each in ack.rejections]
            self._changed.notify()


def open_channel(address: str) -> grpc.Channel:
    """A connection of its own, with the largest messages that a server takes."""
    size = ("grpc.max_receive_message_length", 16 << 20)
    return grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1), size])
