"""The gRPC services of FakeSidecar."""

from __future__ import annotations

import logging
import queue
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.wrappers_pb2 import Int32Value, StringValue
from google.rpc import error_details_pb2, status_pb2

from trimtab.v1 import admin_service_pb2, event_service_pb2, signal_gate_service_pb2
from trimtab_client.errors import DOMAIN, FieldViolation
from trimtab_client.fake_gate_service import GateService
from trimtab_client.fake_log import Refusal, matches, rejection_of

if TYPE_CHECKING:
    from trimtab_client.fake import FakeSidecar

logger = logging.getLogger("trimtab_client.fake")

_SERVICES = (
    *("", "trimtab.v1.EventService", "trimtab.v1.AdminService"),
    "trimtab.v1.SignalGateService",
)
_ENDED = object()
_QUEUE_MAX = 1_024


def abort(context: Any, refusal: Refusal) -> None:
    """Ends the call with google.rpc.Status as the contract's servers do."""
    status = status_pb2.Status(code=refusal.code.value[0], message=str(refusal))
    if refusal.reason:
        info = error_details_pb2.ErrorInfo(
            domain=DOMAIN, reason=refusal.reason, metadata=refusal.metadata
        )
        status.details.add().Pack(info)
    if refusal.violations:
        bad = error_details_pb2.BadRequest()
        for violation in refusal.violations:
            bad.field_violations.add(field=violation.field, description=violation.description)
        status.details.add().Pack(bad)
    if refusal.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(refusal.retry_after_s * 1e9))
        status.details.add().Pack(retry)
    if status.details:
        details = ("grpc-status-details-bin", status.SerializeToString())
        context.set_trailing_metadata((details,))
    context.abort(refusal.code, str(refusal))


class StreamControl:
    """One open StreamEvents call: what arrived, and orders from the test (a cut, a GoAway)."""

    def __init__(self) -> None:
        self.inbox: queue.Queue[Any] = queue.Queue(_QUEUE_MAX)
        self.cut = threading.Event()


class _Events:
    """EventService on a FakeLog."""

    def __init__(self, fake: FakeSidecar) -> None:
        self._fake = fake
        self._log = fake.log

    def record_event(self, request: Any, context: Any) -> Any:
        with self._log.changed:
            sequence, duplicate = self._log.store(request.event)
        return event_service_pb2.RecordEventResponse(
            event_id=request.event.event_id, sequence=sequence, duplicate=duplicate
        )

    def record_events(self, request: Any, context: Any) -> Any:
        if not 1 <= len(request.events) <= self._fake.limits.batch_events_max:
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE")
        answer = event_service_pb2.RecordEventsResponse()
        with self._log.changed:
            for event in request.events:
                result = answer.results.add()
                try:
                    sequence, duplicate = self._log.store(event)
                except Refusal as refusal:
                    result.rejection.CopyFrom(rejection_of(refusal, event, 0))
                    continue
                result.recorded.event_id = event.event_id
                result.recorded.sequence = sequence
                result.recorded.duplicate = duplicate
        return answer

    def get_event(self, request: Any, context: Any) -> Any:
        with self._log.changed:
            for event in self._log.events:
                if event.event_id == request.event_id:
                    return event_service_pb2.GetEventResponse(event=event)
        raise Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")

    def list_events(self, request: Any, context: Any) -> Any:
        with self._log.changed:
            found = [e for e in self._log.events if matches(e, request.filter)]
        if request.order in (
            event_service_pb2.EVENT_ORDER_EVENT_TIME,
            event_service_pb2.EVENT_ORDER_EVENT_TIME_DESC,
        ):
            found.sort(key=lambda e: (e.event_time.ToNanoseconds(), e.sequence))
        if request.order in (
            event_service_pb2.EVENT_ORDER_SEQUENCE_DESC,
            event_service_pb2.EVENT_ORDER_EVENT_TIME_DESC,
        ):
            found.reverse()
        page, token = self._page(found, request, 1_000)
        return event_service_pb2.ListEventsResponse(events=page, next_page_token=token)

    def list_rejected_events(self, request: Any, context: Any) -> Any:
        with self._log.changed:
            found = [
                r
                for r in reversed(self._log.rejected)
                if request.source in ("", r.source) and request.producer_id in ("", r.producer_id)
            ]
        page, token = self._page(found, request, 100)
        return event_service_pb2.ListRejectedEventsResponse(
            rejected_events=page, next_page_token=token
        )

    def _page(self, found: list[Any], request: Any, size: int) -> tuple[list[Any], str]:
        token = request.page_token or "0"
        if not (token.isascii() and token.isdigit() and len(token) < 10):
            violation = FieldViolation("page_token", "is no token of this fake")
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", violations=[violation])
        start = int(token)
        end = start + min(request.page_size or size, self._fake.limits.page_size_max)
        return found[start:end], str(end) if end < len(found) else ""

    def get_stats(self, request: Any, context: Any) -> Any:
        with self._log.changed:
            return self._log.counts(request)

    def watch_events(self, request: Any, context: Any) -> Iterator[Any]:
        log = self._log

        def wake() -> None:
            with log.changed:
                log.changed.notify_all()

        context.add_callback(wake)
        with log.changed:
            log_id, position = log.log_id, request.after_sequence
            if request.log_id not in ("", log_id):
                raise Refusal(grpc.StatusCode.ABORTED, "LOG_CHANGED")
            if request.from_now:
                position = len(log.events)
        # Never under the lock: whoever reads slowly must not stop whoever records.
        yield event_service_pb2.WatchEventsResponse(through_sequence=position, log_id=log_id)
        while context.is_active():
            with log.changed:
                while context.is_active() and log.log_id == log_id and len(log.events) <= position:
                    log.changed.wait(0.5)
                if log.log_id != log_id:
                    raise Refusal(grpc.StatusCode.ABORTED, "LOG_CHANGED")
                page = [e for e in log.events[position:] if matches(e, request.filter)]
                position = len(log.events)
            yield event_service_pb2.WatchEventsResponse(
                events=page, through_sequence=position, log_id=log_id
            )

    def stream_events(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        first = next(requests, None)
        if first is None or not first.HasField("open"):
            raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "STREAM_PROTOCOL")
        opened = first.open
        control = StreamControl()
        reader = threading.Thread(target=_pump, args=(requests, control), daemon=True)
        with self._log.changed:
            producer = self._log.producer(opened.producer_id)
            if opened.producer_epoch < producer.epoch:
                metadata = {"producer_epoch": str(producer.epoch)}
                raise Refusal(grpc.StatusCode.ABORTED, "PRODUCER_FENCED", metadata=metadata)
            producer.epoch, producer.owner = opened.producer_epoch, control
            answer = event_service_pb2.StreamEventsResponse()
            answer.opened.log_id = self._log.log_id
            answer.opened.next_expected_seq = producer.mark + 1
        answer.opened.limits.CopyFrom(self._fake.limits)
        answer.opened.window.CopyFrom(self._fake.window)
        self._fake.attach(control, opened.producer_id)
        try:
            yield answer
            reader.start()
            yield from self._answers(control, opened, producer)
        finally:
            self._fake.detach(control)

    def _answers(self, control: StreamControl, opened: Any, producer: Any) -> Iterator[Any]:
        in_flight = 0
        while (item := control.inbox.get()) is not _ENDED:
            if control.cut.is_set():
                raise Refusal(grpc.StatusCode.UNAVAILABLE, "", "cut by the test")
            if isinstance(item, event_service_pb2.GoAway):
                yield event_service_pb2.StreamEventsResponse(go_away=item)
                continue
            ack = event_service_pb2.Ack()
            with self._log.changed:
                if producer.owner is not control:
                    raise Refusal(grpc.StatusCode.ABORTED, "PRODUCER_SUPERSEDED")
                which = item.WhichOneof("message")
                if which == "batch":
                    in_flight = self._check_window(item.batch, in_flight)
                    result = self._log.append_batch(producer, opened, item.batch)
                    ack.duplicate_count = result.duplicate_count
                    ack.rejections.extend(result.rejections)
                elif which == "lost":
                    self._log.lose(producer, opened, item.lost)
                elif which != "flush":
                    raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "STREAM_PROTOCOL")
                ack.durable_through_seq = producer.mark
            if not self._fake.drop_acks:
                in_flight = 0
                ack.window.CopyFrom(self._fake.window)
                yield event_service_pb2.StreamEventsResponse(ack=ack)

    def _check_window(self, batch: Any, in_flight: int) -> int:
        limits = self._fake.limits
        if (
            not 1 <= len(batch.events) <= limits.batch_events_max
            or batch.ByteSize() > limits.batch_bytes_max
        ):
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE")
        self._fake.batch_sizes.append(len(batch.events))
        total = in_flight + len(batch.events)
        if in_flight and total > self._fake.window.event_count:
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "WINDOW_EXCEEDED")
        return total


def _pump(requests: Iterator[Any], control: StreamControl) -> None:
    try:
        for request in requests:
            control.inbox.put(request)
    except grpc.RpcError:
        logger.debug("fake sidecar: the call was cut")
    finally:
        control.inbox.put(_ENDED)


class _Admin:
    """AdminService of the fake."""

    def __init__(self, fake: FakeSidecar) -> None:
        self._fake = fake
        self._boot_id = str(uuid.uuid4())

    def get_server_info(self, request: Any, context: Any) -> Any:
        log = self._fake.log
        with log.changed:
            answer = admin_service_pb2.GetServerInfoResponse(
                version="fake",
                log_id=log.log_id,
                boot_id=self._boot_id,
                services=_SERVICES[1:],
                limits=self._fake.limits,
                first_sequence=1 if log.events else 0,
                last_sequence=len(log.events),
                store="memory",
            )
        answer.durability = admin_service_pb2.DURABILITY_LEVEL_PROCESS_CRASH
        answer.server_time.GetCurrentTime()
        return answer

    def get_health(self, request: Any, context: Any) -> Any:
        log = self._fake.log
        answer = admin_service_pb2.GetHealthResponse(ready=self._fake.serving, store="memory")
        message = "" if self._fake.serving else "as the test told"
        answer.conditions.add(name="serving", ok=self._fake.serving, message=message)
        answer.conditions[0].since_time.GetCurrentTime()
        with log.changed:
            answer.since_start.stored_count = len(log.events)
        answer.server_time.GetCurrentTime()
        return answer


def _guarded(fake: FakeSidecar, rpc: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Faults first, then the method; a Refusal becomes a status."""

    def call(request: Any, context: Any) -> Any:
        try:
            fake.take_fault(rpc)
            return method(request, context)
        except Refusal as refusal:
            abort(context, refusal)

    return call


def _guarded_stream(fake: FakeSidecar, rpc: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(request: Any, context: Any) -> Iterator[Any]:
        try:
            fake.take_fault(rpc)
            yield from method(request, context)
        except Refusal as refusal:
            abort(context, refusal)

    return call


def _python_name(rpc: str) -> str:
    """GetEvent -> get_event."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", rpc).lower()


def _handler(fake: FakeSidecar, service: Any, name: str, descriptor: Any) -> Any:
    """A generic handler for every method that `service` has."""
    methods: dict[str, Any] = {}
    for method in descriptor.methods:
        wrap = _guarded_stream if method.server_streaming else _guarded
        make: Any = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }[(method.client_streaming, method.server_streaming)]
        methods[method.name] = make(
            wrap(fake, method.name, getattr(service, _python_name(method.name))),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
    return grpc.method_handlers_generic_handler(name, methods)


def event_handler(fake: FakeSidecar) -> Any:
    """The handler of EventService."""
    descriptor = event_service_pb2.DESCRIPTOR.services_by_name["EventService"]
    return _handler(fake, _Events(fake), descriptor.full_name, descriptor)


def gate_handler(fake: FakeSidecar) -> Any:
    """The handler of SignalGateService."""
    descriptor = signal_gate_service_pb2.DESCRIPTOR.services_by_name["SignalGateService"]
    return _handler(fake, GateService(fake), descriptor.full_name, descriptor)


def admin_handler(fake: FakeSidecar) -> Any:
    """The handler of AdminService."""
    descriptor = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]
    return _handler(fake, _Admin(fake), descriptor.full_name, descriptor)


def health_handler(fake: FakeSidecar) -> Any:
    """The handler of grpc.health.v1.Health/Check; the wrappers have its messages' wire form."""

    def check(request: StringValue, context: Any) -> Int32Value:
        if request.value not in _SERVICES:
            raise Refusal(grpc.StatusCode.NOT_FOUND, "", "unknown service")
        return Int32Value(value=1 if fake.serving else 2)

    handler = grpc.unary_unary_rpc_method_handler(
        _guarded(fake, "Check", check),
        request_deserializer=StringValue.FromString,
        response_serializer=Int32Value.SerializeToString,
    )
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})
