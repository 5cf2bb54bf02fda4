"""A fake sidecar with a ReportService that answers by hand and remembers what it was asked."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, Self

import grpc

from tests.domain import report_samples as samples
from trimtab.v1 import report_service_pb2 as pb
from trimtab.v1 import report_service_pb2_grpc as services
from trimtab_client import FakeSidecar
from trimtab_client.fake_services import admin_handler, event_handler

ANSWERS: dict[str, Callable[[], Any]] = {
    "GetLearningReport": samples.learning,
    "GetBlockedOpportunityCost": samples.blocked,
    "GetGuardEffectiveness": samples.guards,
    "GetStrategyLeaderboard": samples.leaderboard,
    "GetSignalDecay": samples.decay,
    "ComparePerformance": samples.comparison,
    "RunWhatIf": samples.what_if,
}
PAGE_COUNT = 3


class Reports:
    """Answers of `report_samples`, by the names of the calls; `asked` holds the requests."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.sweep_count = 6
        self.waits_after = 0
        self.left = threading.Event()

    def __getattr__(self, name: str) -> Callable[[Any, Any], Any]:
        """How the call is answered."""
        if name == "RunWhatIfSweep":
            return self._sweep
        if name == "ListLearningReports":
            return self._page
        answer = ANSWERS[name]

        def answered(request: Any, context: Any) -> Any:
            self.asked.append(request)
            return answer()

        return answered

    def _page(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        page = int(request.page_token or "0")
        token = str(page + 1) if page < PAGE_COUNT - 1 else ""
        answer = pb.ListLearningReportsResponse(next_page_token=token)
        answer.reports.add(
            report_id=f"r{page}", scope=samples.head().scope, findings=[samples.NASTY]
        )
        return answer

    def _sweep(self, request: Any, context: Any) -> Iterator[Any]:
        """The last scenario is done first; after `waits_after` of them (0 = never) nothing comes
        any more before the caller has left."""
        self.asked.append(request)
        context.add_callback(self.left.set)
        count = self.sweep_count
        yield pb.RunWhatIfSweepResponse(head=samples.head(), scenario_count=count)
        for done in range(1, count + 1):
            index = count - done
            message = pb.RunWhatIfSweepResponse(done_count=done, scenario_count=count)
            message.results.add(
                index=index, result=samples.scenario(f"scenario {index}", float(index))
            )
            yield message
            if done == self.waits_after:
                self.left.wait(30.0)
                return


class ReportServer:
    """A log in memory (`fake`) and reports by hand (`reports`), at `address`."""

    def __init__(self) -> None:
        self.fake = FakeSidecar()
        self.reports = Reports()
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((event_handler(self.fake), admin_handler(self.fake)))
        reports: Any = self.reports
        services.add_ReportServiceServicer_to_server(reports, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=None).wait()
