"""Tells the engine's author what the server rejected: the log, and the callback."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import grpc

from trimtab.v1 import error_pb2, event_service_pb2
from trimtab_client.errors import error_from_rpc

logger = logging.getLogger("trimtab_client")

Rejection = event_service_pb2.Rejection
OnRejected = Callable[[Rejection], None]

_LIST_REJECTED = "/trimtab.v1.EventService/ListRejectedEvents"
_WARNING_INTERVAL_S = 60.0


class RejectionReports:
    """Warns at the first rejection, then at most once a minute with a count; calls `on_rejected`.

    Not thread-safe: one reader of a stream at a time, and `finish` after the last.
    """

    def __init__(
        self,
        on_rejected: OnRejected | None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_rejected = on_rejected
        self._monotonic_s = monotonic_s
        self._warned_s: float | None = None
        self._unwarned_count = 0
        self._last: Rejection | None = None

    def report(self, rejections: Sequence[Rejection]) -> None:
        """Tells of these, in order."""
        if not rejections:
            return
        self._unwarned_count += len(rejections)
        self._last = rejections[0]
        now_s = self._monotonic_s()
        if self._warned_s is None or now_s - self._warned_s >= _WARNING_INTERVAL_S:
            self._warned_s = now_s
            self._warn()
        if self._on_rejected is None:
            return
        for rejection in rejections:
            try:
                self._on_rejected(rejection)
            except Exception:
                logger.exception("trimtab recorder: on_rejected failed")

    def finish(self) -> None:
        """Tells of those that no warning has counted yet."""
        if self._unwarned_count:
            self._warn()

    def _warn(self) -> None:
        count, self._unwarned_count = self._unwarned_count, 0
        if self._last is not None:
            logger.warning(
                "trimtab recorder: the server rejected %s, not stored: %s%s",
                "an event" if count == 1 else f"{count:,} events",
                "" if count == 1 else "for example ",
                _described(self._last),
            )


def _described(rejection: Rejection) -> str:
    """`INVALID_FIELD, signal.confidence: must be in 0 to 1 (event_id 0199...)`."""
    values = error_pb2.ErrorReason.DESCRIPTOR.values_by_number
    known = values.get(rejection.reason)
    reason = known.name.removeprefix("ERROR_REASON_") if known else str(rejection.reason)
    first = "".join(f", {v.field}: {v.description}" for v in rejection.violations[:1])
    return f"{reason}{first} (event_id {rejection.event_id})"


def missed_rejections(
    channel: grpc.Channel, source: str, producer_id: str, numbers: range, *, timeout_s: float
) -> list[Rejection]:
    """Rejections whose Ack was lost with a former stream. Best effort: the server keeps a bounded
    number, and not knowing why is no reason to stop recording."""
    call = channel.unary_unary(
        _LIST_REJECTED,
        request_serializer=event_service_pb2.ListRejectedEventsRequest.SerializeToString,
        response_deserializer=event_service_pb2.ListRejectedEventsResponse.FromString,
    )
    request = event_service_pb2.ListRejectedEventsRequest(
        source=source, producer_id=producer_id, page_size=1_000
    )
    try:
        kept = call(request, timeout=timeout_s).rejected_events
    except grpc.RpcError as error:
        logger.warning("trimtab recorder: rejections unknown: %s", error_from_rpc(error))
        return []
    found = [k.rejection for k in kept if k.rejection.producer_seq in numbers]
    return sorted(found, key=lambda rejection: rejection.producer_seq)
