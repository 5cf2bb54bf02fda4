"""Readers that follow the log while everything around them dies, each in a thread of its own."""

import random
import threading
from collections.abc import Sequence

import grpc

from tests.faults.checker import Entry
from tests.faults.driver import KEEPALIVE, RETRY_S, Ending, open_channel
from tests.faults.readers import entry
from trimtab.v1 import event_service_pb2 as pb
from trimtab.v1.event_service_pb2_grpc import EventServiceStub


class Watcher(threading.Thread):
    """Tails the log from its beginning, resumes behind what it has, through any of the sidecars.

    What it read is `seen`, in the order in which it came; what it must not see is in `faults`.
    """

    def __init__(self, name: str, addresses: Sequence[str], seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.seen: list[Entry] = []
        self.faults: list[str] = []
        self.endings: list[Ending] = []
        self._addresses = list(addresses)
        self._rng = random.Random(f"{seed}-{name}")
        self._log_id = ""
        self._over = threading.Event()
        self._call: grpc.RpcContext | None = None

    @property
    def through(self) -> int:
        """The last sequence it has."""
        return self.seen[-1].sequence if self.seen else 0

    def run(self) -> None:
        """Watches, and watches again after a failure, until ended."""
        while not self._over.is_set():
            address = self._addresses[self._rng.randrange(len(self._addresses))]
            with open_channel(address, *KEEPALIVE) as channel:
                self._watch(EventServiceStub(channel))
            self._over.wait(RETRY_S)

    def _watch(self, stub: EventServiceStub) -> None:
        request = pb.WatchEventsRequest(log_id=self._log_id, after_sequence=self.through)
        call = stub.WatchEvents(request)
        self._call = call
        if self._over.is_set():
            call.cancel()
        try:
            for page in call:
                self._take(page)
        except grpc.RpcError as error:
            ending = Ending.of(error)
            self.endings.append(ending)
            if ending.fault:
                self.faults.append(f"{self.name}: {ending.fault}")

    def _take(self, page: pb.WatchEventsResponse) -> None:
        if self._log_id not in ("", page.log_id):
            self.faults.append(f"{self.name}: the log's id changed")
        self._log_id = page.log_id
        for one in page.events:
            if one.sequence != self.through + 1:
                self.faults.append(f"{self.name}: {one.sequence} follows {self.through}")
            self.seen.append(entry(one))

    def end(self, limit_s: float) -> None:
        """Stops it where it is."""
        self._over.set()
        if self._call is not None:
            self._call.cancel()
        self.join(limit_s)
        assert not self.is_alive(), f"{self.name} did not end"
