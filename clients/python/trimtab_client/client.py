"""Unary calls and the tail of the log: typed errors, a deadline on each, retries, a breaker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from trimtab.v1 import admin_service_pb2, event_service_pb2
from trimtab_client.channel import LazyChannel
from trimtab_client.credentials import Credentials
from trimtab_client.errors import Cancelled, TrimtabError, Unavailable, error_from_rpc
from trimtab_client.event import ENVIRONMENT, EVENT_ORDER, Event, EventFilter, Word
from trimtab_client.gate_calls import GateCalls
from trimtab_client.report_calls import ReportCalls
from trimtab_client.retry import Backoff, Breaker, is_retryable, is_transport_failure

RecordEventResult = event_service_pb2.RecordEventResult
RecordEventResponse = event_service_pb2.RecordEventResponse
ListEventsResponse = event_service_pb2.ListEventsResponse
ListRejectedEventsResponse = event_service_pb2.ListRejectedEventsResponse
WatchEventsResponse = event_service_pb2.WatchEventsResponse
GetStatsResponse = event_service_pb2.GetStatsResponse
GetServerInfoResponse = admin_service_pb2.GetServerInfoResponse
GetHealthResponse = admin_service_pb2.GetHealthResponse

R = TypeVar("R", bound=Message)

_EVENTS = "/trimtab.v1.EventService/"
_ADMIN = "/trimtab.v1.AdminService/"
_HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_HEALTH_STATES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
# A watch is renewed after this: every call has a deadline, a tail has no end.
_WATCH_CALL_S = 600.0


class Client(GateCalls, ReportCalls):
    """Every call of the sidecar, synchronously. Thread-safe, fork-safe; construction does no I/O.

    Each call takes `timeout_s`, the whole budget in seconds for all its attempts, by default the
    client's. Each raises a TrimtabError. Recording is idempotent by event_id, orders by
    request_id, reading anyway, so every call here may be retried as the contract's table says.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        timeout_s: float = 5.0,
        credentials: Credentials | None = None,
        channel: LazyChannel | None = None,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """address, credentials: as in `connect`. channel: shares another's connection. clock and
        sleep (seconds, monotonic) are injected by tests."""
        self._channel = channel or LazyChannel(address, credentials)
        self.address = self._channel.address
        self._timeout_s = timeout_s
        self._clock = clock
        self._sleep = sleep
        self.breaker = breaker or Breaker(clock=clock)

    # -- recording ----------------------------------------------------------------------------

    def record_event(self, event: Event, *, timeout_s: float | None = None) -> RecordEventResponse:
        """Stores one event; returns its sequence and whether it was stored before.

        InvalidArgument with field_violations, IdReused when the id has other content.
        """
        request = event_service_pb2.RecordEventRequest(event=event)
        return self._call(_EVENTS + "RecordEvent", request, RecordEventResponse, timeout_s)

    def record_events(
        self, events: Sequence[Event], *, timeout_s: float | None = None
    ) -> list[RecordEventResult]:
        """Stores several events in one commit; a result per event: `recorded` or `rejection`."""
        request = event_service_pb2.RecordEventsRequest(events=events)
        answer = self._call(
            _EVENTS + "RecordEvents", request, event_service_pb2.RecordEventsResponse, timeout_s
        )
        return list(answer.results)

    # -- reading ------------------------------------------------------------------------------

    def get_event(self, event_id: str, *, timeout_s: float | None = None) -> Event:
        """One event by its UUID. NotFound."""
        request = event_service_pb2.GetEventRequest(event_id=event_id)
        answer = self._call(
            _EVENTS + "GetEvent", request, event_service_pb2.GetEventResponse, timeout_s
        )
        return answer.event

    def list_events(
        self,
        filter: EventFilter | None = None,  # noqa: A002 - the contract's name
        *,
        order: Word = "SEQUENCE",
        page_size: int = 0,
        page_token: str = "",
        timeout_s: float | None = None,
    ) -> ListEventsResponse:
        """One page. order: SEQUENCE, SEQUENCE_DESC, EVENT_TIME or EVENT_TIME_DESC; page_size 0 =
        the server's default (1,000); page_token: next_page_token of the page before."""
        request = event_service_pb2.ListEventsRequest(
            filter=filter, page_size=page_size, page_token=page_token
        )
        request.order = EVENT_ORDER(order, "order")  # type: ignore[assignment]
        return self._call(_EVENTS + "ListEvents", request, ListEventsResponse, timeout_s)

    def iter_events(
        self,
        filter: EventFilter | None = None,  # noqa: A002 - the contract's name
        *,
        order: Word = "SEQUENCE",
        page_size: int = 0,
        timeout_s: float | None = None,
    ) -> Iterator[Event]:
        """All events, page by page; timeout_s holds for each page."""
        page_token = ""
        while True:
            page = self.list_events(
                filter,
                order=order,
                page_size=page_size,
                page_token=page_token,
                timeout_s=timeout_s,
            )
            yield from page.events
            page_token = page.next_page_token
            if not page_token:
                return

    def list_rejected_events(
        self,
        *,
        source: str = "",
        producer_id: str = "",
        page_size: int = 0,
        page_token: str = "",
        timeout_s: float | None = None,
    ) -> ListRejectedEventsResponse:
        """One page of what was refused on streams and why, newest first; page_size 0 = 100."""
        request = event_service_pb2.ListRejectedEventsRequest(
            source=source, producer_id=producer_id, page_size=page_size, page_token=page_token
        )
        method = _EVENTS + "ListRejectedEvents"
        return self._call(method, request, ListRejectedEventsResponse, timeout_s)

    def get_stats(
        self,
        *,
        source: str = "",
        environment: Word = 0,
        run_id: str = "",
        timeout_s: float | None = None,
    ) -> GetStatsResponse:
        """Counts by kind, source and environment; an empty argument does not restrict."""
        request = event_service_pb2.GetStatsRequest(source=source, run_id=run_id)
        request.environment = ENVIRONMENT(environment, "environment")  # type: ignore[assignment]
        return self._call(_EVENTS + "GetStats", request, GetStatsResponse, timeout_s)

    def get_server_info(self, *, timeout_s: float | None = None) -> GetServerInfoResponse:
        """Version, log_id, limits, durability, first and last sequence."""
        request = admin_service_pb2.GetServerInfoRequest()
        return self._call(_ADMIN + "GetServerInfo", request, GetServerInfoResponse, timeout_s)

    def get_health(self, *, timeout_s: float | None = None) -> GetHealthResponse:
        """Whether the server is ready, each condition with its reason, and figures of its queue,
        collection, commits and disk; it answers while its database is away."""
        request = admin_service_pb2.GetHealthRequest()
        return self._call(_ADMIN + "GetHealth", request, GetHealthResponse, timeout_s)

    def check_health(self, service: str = "", *, timeout_s: float | None = None) -> str:
        """SERVING, NOT_SERVING or UNKNOWN; service "" = the server as a whole, else for example
        "trimtab.v1.EventService". NotFound for a service that the server does not have."""
        # grpcio-health-checking is no dependency of an engine. HealthCheckRequest{string service
        # = 1} and HealthCheckResponse{enum status = 1} are, on the wire, the two wrappers.
        request = StringValue(value=service)
        status = self._call(_HEALTH_CHECK, request, Int32Value, timeout_s).value
        return _HEALTH_STATES[status] if 0 <= status < len(_HEALTH_STATES) else str(status)

    def wait_ready(self, timeout_s: float) -> bool:
        """Whether the server says SERVING within `timeout_s` seconds. Goes past the breaker: who
        waits on purpose wants to know now."""
        deadline_s = self._clock() + timeout_s
        backoff = Backoff(0.02, 0.5)
        while (remaining_s := deadline_s - self._clock()) > 0:
            try:
                answer = self._attempt(
                    _HEALTH_CHECK, StringValue(), Int32Value, min(remaining_s, 2.0)
                )
                self.breaker.succeeded()
                if answer.value == _HEALTH_STATES.index("SERVING"):
                    return True
            except TrimtabError:
                pass
            self._sleep(max(0.0, min(backoff.next_s(), deadline_s - self._clock())))
        return False

    # -- tail ---------------------------------------------------------------------------------

    def watch_events(
        self,
        filter: EventFilter | None = None,  # noqa: A002 - the contract's name
        *,
        log_id: str = "",
        after_sequence: int = 0,
        from_now: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[Event]:
        """Events as they are committed, gapless and in order; see `watch_pages`."""
        for page in self.watch_pages(
            filter,
            log_id=log_id,
            after_sequence=after_sequence,
            from_now=from_now,
            timeout_s=timeout_s,
        ):
            yield from page.events

    def watch_pages(
        self,
        filter: EventFilter | None = None,  # noqa: A002 - the contract's name
        *,
        log_id: str = "",
        after_sequence: int = 0,
        from_now: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[WatchEventsResponse]:
        """Pages of the log behind `after_sequence` (0 = from the beginning; then it needs no
        log_id) or from now; empty pages tell the position.

        Resumes by itself after UNAVAILABLE, SLOW_READER and the like, where it was. Ends after
        `timeout_s` seconds (None = never) or when the client is closed. Raises Aborted/LOG_CHANGED
        and OutOfRange/SEQUENCE_PRUNED; Unavailable when the server is down from the start.
        """
        request = event_service_pb2.WatchEventsRequest(
            filter=filter, log_id=log_id, after_sequence=after_sequence, from_now=from_now
        )
        for page in self._watch(_EVENTS + "WatchEvents", request, WatchEventsResponse, timeout_s):
            request.log_id = page.log_id
            request.after_sequence = page.through_sequence
            request.from_now = False
            yield page

    def _watch(
        self, method: str, request: Message, answer: type[R], timeout_s: float | None
    ) -> Iterator[R]:
        """Messages of a stream that is opened again where it ended, with `request` as the reader of
        this iterator has moved it on by then."""
        end_s = None if timeout_s is None else self._clock() + timeout_s
        first_by_s = self._clock() + self._timeout_s
        backoff = Backoff()
        while end_s is None or self._clock() < end_s:
            call_s = _WATCH_CALL_S if end_s is None else min(_WATCH_CALL_S, end_s - self._clock())
            call: Any = None
            try:
                stream: Any = self._channel.get().unary_stream(
                    method,
                    request_serializer=type(request).SerializeToString,
                    response_deserializer=answer.FromString,
                )
                call = stream(request, timeout=call_s)
                for message in call:
                    first_by_s = float("inf")
                    backoff.reset()
                    yield message
                error: TrimtabError | None = None
            except grpc.RpcError as failure:
                error = error_from_rpc(failure)
            except RuntimeError:
                return  # closed meanwhile
            finally:
                if call is not None:
                    call.cancel()
            if isinstance(error, Cancelled):
                return
            if error is not None and not is_retryable(error, idempotent=True):
                raise error
            delay_s = backoff.next_s(error.retry_after_s if error else None)
            if error is not None and self._clock() + delay_s > first_by_s:
                raise error
            self._sleep(delay_s if end_s is None else min(delay_s, max(0, end_s - self._clock())))

    def _stream(
        self, method: str, request: Message, answer: type[R], timeout_s: float
    ) -> Iterator[R]:
        """Messages of a stream that is opened once."""
        stream: Any = self._channel.get().unary_stream(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        call = stream(request, timeout=timeout_s)
        try:
            yield from call
        except grpc.RpcError as error:
            raise error_from_rpc(error) from None
        finally:
            call.cancel()

    # -- attempts -----------------------------------------------------------------------------

    def _call(
        self,
        method: str,
        request: Message,
        answer: type[R],
        timeout_s: float | None,
        *,
        idempotent: bool = True,
    ) -> R:
        """One call within its budget: attempts by the retry table, guarded by the breaker."""
        deadline_s = self._clock() + (self._timeout_s if timeout_s is None else timeout_s)
        backoff, why = Backoff(0.05, 2.0), ""
        while True:
            wait_s = self.breaker.wait_s()
            if wait_s is not None:
                raise Unavailable(
                    f"the sidecar at {self.address} did not answer; next try in {wait_s:.1f} s"
                    f"{why}",
                    code=grpc.StatusCode.UNAVAILABLE,
                    retry_after_s=wait_s,
                )
            try:
                result = self._attempt(method, request, answer, deadline_s - self._clock())
            except TrimtabError as error:
                self._tell_breaker(error)
                why = f": {error.message}"
                delay_s = backoff.next_s(error.retry_after_s)
                too_late = self._clock() + delay_s >= deadline_s
                if too_late or not is_retryable(error, idempotent=idempotent):
                    raise
            except BaseException:
                self.breaker.abandoned()
                raise
            else:
                self.breaker.succeeded()
                return result
            self._sleep(delay_s)

    def _tell_breaker(self, error: TrimtabError) -> None:
        if is_transport_failure(error):
            self.breaker.failed()
        elif isinstance(error, Cancelled):
            self.breaker.abandoned()
        else:
            self.breaker.succeeded()

    def _attempt(self, method: str, request: Message, answer: type[R], timeout_s: float) -> R:
        call = self._channel.get().unary_unary(
            method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            result: R = call(request, timeout=max(0.001, timeout_s))
        except grpc.RpcError as error:
            raise error_from_rpc(error) from None
        return result

    def close(self) -> None:
        """Closes the connection; a watch ends. Idempotent."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
