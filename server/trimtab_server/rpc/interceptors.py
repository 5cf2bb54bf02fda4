"""What happens around every RPC: errors become statuses, RPCs are counted, defects are logged."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from trimtab_server.domain.events import Violation
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import InvalidRequest, TrimtabError, Unavailable
from trimtab_server.rpc.status import DETAILS_KEY, code_of, details_of, message_of
from trimtab_server.telemetry import Telemetry

# What the generated base of a service raises for a method that it was not given.
_NOBODY_WROTE_IT = "Method not implemented!"
_Deserializer = Callable[[bytes], Any]


class Answers(grpc.aio.ServerInterceptor):
    """Ends an RPC that raised one of our errors with its status and details.

    A defect ends as UNAVAILABLE/SERVER_FAULT, with its traceback in the log: never as UNKNOWN.

    admit: is asked with the method and the context before anything of a request is read, and
    raises when the caller may not; None = everybody may.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        monotonic: Callable[[], float],
        admit: Callable[[str, Any], None] | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._monotonic = monotonic
        self._admit = admit

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The handler of the RPC, wrapped."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        if handler.response_streaming:
            return self._wrap_streaming(handler, method)
        return self._wrap_unary(handler, method)

    def _wrap_unary(self, handler: Any, method: str) -> Any:
        inner, read = handler.unary_unary, _refusing(handler.request_deserializer)
        admit = self._admit

        async def unary_unary(message: bytes, context: Any) -> Any:
            start = self._monotonic()
            code = grpc.StatusCode.OK
            try:
                if admit is not None:
                    admit(method, context)
                return await inner(read(message), context)
            except Exception as error:  # noqa: BLE001 - every end is a status
                code = await self._end(context, error, method)
            finally:
                self._telemetry.rpc_finished(method, code.name, self._monotonic() - start)

        # Without a deserializer the handler gets the bytes: gRPC answers UNKNOWN, and writes a
        # traceback, for every single request that its own deserializer fails on.
        return grpc.unary_unary_rpc_method_handler(unary_unary, None, handler.response_serializer)

    def _wrap_streaming(self, handler: Any, method: str) -> Any:
        is_fed = handler.request_streaming
        inner = handler.stream_stream if is_fed else handler.unary_stream
        read = _refusing(handler.request_deserializer)
        admit = self._admit

        async def streaming(request: Any, context: Any) -> None:
            code = grpc.StatusCode.OK
            try:
                if admit is not None:
                    admit(method, context)
                answers = inner(request if is_fed else read(request), context)
                if hasattr(answers, "__aiter__"):
                    async for answer in answers:
                        await context.write(answer)
                else:
                    await answers
            except Exception as error:  # noqa: BLE001 - every end is a status
                code = await self._end(context, error, method)
            finally:
                self._telemetry.rpc_finished(method, code.name, None)

        if is_fed:
            return grpc.stream_stream_rpc_method_handler(
                streaming, read, handler.response_serializer
            )
        return grpc.unary_stream_rpc_method_handler(streaming, None, handler.response_serializer)

    async def _end(self, context: Any, error: Exception, method: str) -> grpc.StatusCode:
        if isinstance(error, grpc.aio.AbortError | grpc.aio.BaseError):
            raise error
        if isinstance(error, NotImplementedError) and str(error) == _NOBODY_WROTE_IT:
            error = TrimtabError(Reason.UNIMPLEMENTED, "this version does not have this method")
        elif not isinstance(error, TrimtabError):
            sent = dict(context.invocation_metadata() or ())
            self._telemetry.log_defect(f"{method} failed", error, str(sent.get("traceparent", "")))
            error = Unavailable(
                Reason.SERVER_FAULT, "the server failed; its log says more", retry_after_s=5.0
            )
        code = code_of(error)
        context.set_trailing_metadata(((DETAILS_KEY, details_of(error)),))
        context.set_code(code)
        context.set_details(message_of(error))
        # A stream or a future may still hold the error, and by its frames the request and itself:
        # a hundred refused batches of 4 MB took 4 GB before a collection came by.
        error.__traceback__ = None
        return code


def _refusing(deserialize: _Deserializer) -> _Deserializer:
    """The deserializer, which raises InvalidRequest instead of the library's error: that would end
    a request as a defect of ours."""

    def read(message: bytes) -> Any:
        try:
            return deserialize(message)
        except DecodeError as error:
            raise InvalidRequest(Violation("message", "does not decode")) from error

    return read
