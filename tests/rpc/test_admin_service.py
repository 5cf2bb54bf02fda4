"""AdminService while its database does not answer."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from trimtab.v1 import admin_service_pb2 as pb
from trimtab.v1.event_service_pb2 import Limits
from trimtab_server.domain.events import LogInfo
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Unavailable
from trimtab_server.loop.readers import Readers
from trimtab_server.rpc import admin_service
from trimtab_server.rpc.admin_service import AdminService, ServerFacts

FACTS = ServerFacts("0.1.0", "boot", ("a",), Limits(), "power_loss", "postgresql", 1)


class Queries:
    """Answers as the test says; the first time, it knows the log."""

    def __init__(self) -> None:
        self.answer: Callable[[], LogInfo] = lambda: LogInfo("log", 3, 7)

    def info(self) -> LogInfo:
        """The bounds of the log."""
        return self.answer()


class Ingest:
    """A writer that has seen the log grow."""

    last_sequence = 9


def refused() -> LogInfo:
    """A database that is away."""
    raise Unavailable(Reason.STORE_UNAVAILABLE, "away")


@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "hangs"])
async def test_what_was_last_known_of_the_log_is_told(
    hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that refuses or does not answer is no reason to tell nothing; when it is back,
    the answer is its own again."""
    monkeypatch.setattr(admin_service, "_LOG_S_MAX", 0.05)
    queries, readers, back = Queries(), Readers(2, 8), threading.Event()

    def hanging() -> LogInfo:
        assert back.wait(20)
        return LogInfo("log", 3, 7)

    service = AdminService(
        FACTS,
        cast("Any", queries),
        readers,
        cast("Any", Ingest()),
        cast("Any", None),
        cast("Any", None),
        lambda: 2,
    )
    queries.answer = hanging if hangs else refused
    request = pb.GetServerInfoRequest()
    async with asyncio.timeout(20):
        answer = await service.GetServerInfo(request, None)
        assert (answer.log_id, answer.first_sequence, answer.last_sequence) == ("log", 3, 9)
        back.set()
        queries.answer = lambda: LogInfo("log", 5, 12)
        monkeypatch.undo()
        answer = await service.GetServerInfo(request, None)
        assert (answer.first_sequence, answer.last_sequence) == (5, 12)
    readers.close()
