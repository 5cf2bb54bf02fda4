"""The stream behind the lease: opened, read, cut when it falls silent, opened again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import grpc

from trimtab.v1 import signal_gate_service_pb2
from trimtab_client.channel import LazyChannel
from trimtab_client.errors import TrimtabError, error_from_rpc
from trimtab_client.gate_lease import TTL_NS_MAX
from trimtab_client.gate_memory import Heard
from trimtab_client.retry import Backoff
from trimtab_client.settings import GateSettings

logger = logging.getLogger("trimtab_client")

Request = signal_gate_service_pb2.WatchSignalGateRequest

_METHOD = "/trimtab.v1.SignalGateService/WatchSignalGate"
# A watch is renewed after this: every call has a deadline, a watch has no end.
_CALL_S = 600.0
_TICK_S = 0.05
_JOIN_S = 1.0


class _Session:
    """One call: how many messages came, since when it is silent, how it ended."""

    def __init__(self, now_ns: int) -> None:
        self.over = threading.Event()
        self.asked_ns = now_ns
        self.message_count = 0
        self.last_ns = now_ns
        # Of the last message, taken or refused: the next one comes within it.
        self.ttl_s = 0.0
        self.error: TrimtabError | None = None
        self.was_of_no_use = False


class GateWatch:
    """Keeps a WatchSignalGate call open on a thread of its own.

    It has its own connection: a network that swallows everything is noticed by missing renewals
    long before TCP does, and the next try needs a new connection without cutting the recorder's.
    """

    def __init__(
        self,
        make_channel: Callable[[], LazyChannel],
        settings: GateSettings,
        *,
        request: Callable[[], Request],
        take: Callable[[Heard, int], bool],
        is_late: Callable[[], bool],
        ended: Callable[[TrimtabError], None],
        tried: Callable[[], None],
        ttl_s: Callable[[], float],
        monotonic_ns: Callable[[], int],
    ) -> None:
        """request: what to ask now. take: handed each message and when the call was made; False =
        of no use, ask anew. is_late: whether the last message's lease was over when it came, which
        is no sign of life. ended: told why a call ended. tried: called after each attempt, whatever
        became of it. ttl_s: length of the present lease in seconds, 0 = there is none."""
        self._make_channel = make_channel
        self._settings = settings
        self._request = request
        self._take = take
        self._is_late = is_late
        self._ended = ended
        self._tried = tried
        self._ttl_s = ttl_s
        self._monotonic_ns = monotonic_ns
        # The last message was of no use, the one before was not: the attempt is not over.
        self._asks_anew = False
        self._backoff = Backoff(settings.backoff_s_min, settings.backoff_s_max)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._channel: LazyChannel | None = None
        self._call: Any = None
        self.opened_count = 0
        self.last_error = ""

    def start(self) -> None:
        """Starts the thread. RuntimeError when there is none to be had."""
        self._thread = threading.Thread(target=self._run, name="trimtab-gate-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cuts the call and ends the thread. Idempotent."""
        self._closing.set()
        self._hang_up()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_S)
            self._hang_up()

    def _hang_up(self) -> None:
        call, channel = self._call, self._channel
        if call is not None:
            call.cancel()
        if channel is not None:
            channel.close()
            self._channel = None

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                delay_s = self._run_session()
            except TrimtabError as error:
                # No connection to be made, as without readable credentials.
                if self.last_error != str(error):
                    logger.warning("trimtab gate: cannot connect: %s", error)
                self.last_error = str(error)
                delay_s = self._backoff.next_s()
            except Exception:
                # Nothing here may end the gate of a trading engine; the next call decides.
                if not self._closing.is_set():
                    logger.exception("trimtab gate: watch failed")
                delay_s = self._backoff.next_s()
            if not self._closing.is_set() and not self._asks_anew:
                self._tried()
            ttl_s = self._ttl_s()
            # The next try comes while the lease still holds, whatever its length.
            self._closing.wait(min(delay_s, ttl_s / 4) if ttl_s else delay_s)

    def _run_session(self) -> float:
        """Runs one call to its end; seconds to wait before the next one."""
        channel = self._channel
        if channel is None:
            channel = self._channel = self._make_channel()
        session = _Session(self._monotonic_ns())
        watch: Any = channel.get().unary_stream(
            _METHOD,
            request_serializer=Request.SerializeToString,
            response_deserializer=Heard.FromString,
        )
        call: Any = watch(self._request(), timeout=_CALL_S)
        self._call = call
        was_anew, self._asks_anew = self._asks_anew, False
        reader = threading.Thread(
            target=self._read, args=(session, call), name="trimtab-gate-lease", daemon=True
        )
        reader.start()
        silent = False
        while not session.over.wait(_TICK_S):
            if self._closing.is_set():
                call.cancel()
            elif not silent and self._is_silent(session):
                silent = True
                call.cancel()
        if silent:
            # Whoever is on the other end, it does not answer: the next try dials anew.
            self.last_error = "no renewal came"
            self._hang_up()
        self._asks_anew = session.was_of_no_use and not was_anew
        return self._delay_after(session, silent=silent)

    def _is_silent(self, session: _Session) -> bool:
        limit_s = self._settings.first_message_timeout_s
        if session.message_count:
            # Two renewals are missing. A third of the lease is left to find the sidecar again.
            limit_s = max(session.ttl_s * 2 / 3, 4 * _TICK_S)
        return self._monotonic_ns() - session.last_ns > limit_s * 1e9

    def _delay_after(self, session: _Session, *, silent: bool) -> float:
        error = session.error
        if self._closing.is_set():
            return 0.0
        if session.message_count:
            self._backoff.reset()
        if silent or error is None:
            return self._backoff.next_s()
        if error.code is grpc.StatusCode.DEADLINE_EXCEEDED and session.message_count:
            return 0.0
        if str(error) != self.last_error:
            logger.warning("trimtab gate: watch ended: %s", error)
        self.last_error = str(error)
        self._ended(error)
        wanted_s = min(error.retry_after_s or 0.0, self._settings.backoff_s_max)
        return self._backoff.next_s(wanted_s)

    def _read(self, session: _Session, call: Any) -> None:
        try:
            for message in call:
                arrival_ns = self._monotonic_ns()
                session.ttl_s = min(message.lease_ttl.ToNanoseconds(), TTL_NS_MAX) / 1e9
                if not session.message_count:
                    self.opened_count += 1
                session.message_count += 1
                is_of_use = self._take(message, session.asked_ns)
                if not self._is_late():
                    session.last_ns = arrival_ns
                if not is_of_use:
                    logger.warning("trimtab gate: a message of no use came; asking anew")
                    session.was_of_no_use = True
                    call.cancel()
                    break
                self.last_error = ""
        except grpc.RpcError as error:
            session.error = error_from_rpc(error)
        except Exception:
            logger.exception("trimtab gate: bad message")
            call.cancel()
        finally:
            session.over.set()
