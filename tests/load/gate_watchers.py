"""Many WatchSignalGate clients in one process: what each costs the server, how long a halt takes.

python -m tests.load.gate_watchers --address ADDRESS --watchers N --pid SERVER

The last line of the output is JSON: `order_ms` the order's own time, `last_ms` from its start until
the last watcher has the new revision, `kb_each` the server's resident kB for each watcher once all
are connected, and `renewal_kb_each` the same some renewals later.
"""

import argparse
import asyncio
import json
import time
from typing import Any
from uuid import uuid4

import grpc

from tests.load.context import resident_mb
from trimtab.v1 import event_pb2
from trimtab.v1 import signal_gate_service_pb2 as pb
from trimtab.v1 import signal_gate_service_pb2_grpc as pb_grpc

_WATCHERS_A_CHANNEL = 100
_CALL_S_MAX = 120.0


class Watchers:
    """Open watches; each tells when it got a revision."""

    def __init__(self, address: str, count: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = range(-(-count // _WATCHERS_A_CHANNEL))
        self._channels = [grpc.aio.insecure_channel(address, options=options) for _ in channels]
        self._count = count
        self._tasks: list[asyncio.Task[None]] = []
        self.connected = 0
        self.at_revision_s: list[float] = []
        self._all = asyncio.Event()

    async def connect(self) -> None:
        """Opens all of them, and waits until each has its snapshot."""
        for number in range(self._count):
            channel = self._channels[number // _WATCHERS_A_CHANNEL]
            self._tasks.append(asyncio.create_task(self._watch(channel)))
        async with asyncio.timeout(_CALL_S_MAX):
            while self.connected < self._count:
                await asyncio.sleep(0.01)
                for task in self._tasks:
                    if task.done():
                        task.result()

    async def _watch(self, channel: grpc.aio.Channel) -> None:
        request = pb.WatchSignalGateRequest(
            source="alpha-1", environment=event_pb2.ENVIRONMENT_LIVE
        )
        first: int | None = None
        stub: Any = pb_grpc.SignalGateServiceStub(channel)
        async for message in stub.WatchSignalGate(request):
            if first is None:
                first = message.revision
                self.connected += 1
            elif message.revision > first:
                first = message.revision
                self.at_revision_s.append(time.perf_counter())
                if len(self.at_revision_s) == self._count:
                    self._all.set()

    async def halted(self) -> tuple[float, float]:
        """Seconds that the order took, and until the last watcher had it."""
        order = pb.SetTradingStateRequest(
            scope=pb.GateScope(environment=event_pb2.ENVIRONMENT_LIVE),
            state=pb.TRADING_STATE_HALTED,
            reason="bench",
            actor="bench",
            request_id=str(uuid4()),
        )
        stub: Any = pb_grpc.SignalGateServiceStub(self._channels[0])
        start_s = time.perf_counter()
        await stub.SetTradingState(order, timeout=_CALL_S_MAX)
        order_s = time.perf_counter() - start_s
        async with asyncio.timeout(_CALL_S_MAX):
            await self._all.wait()
        return order_s, max(self.at_revision_s) - start_s

    async def close(self) -> None:
        """Ends them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for channel in self._channels:
            await channel.close()


async def measured(address: str, count: int, pid: int, seconds: float) -> dict[str, float]:
    """What the watchers cost and how fast they hear."""
    before_mb = resident_mb(pid)
    watchers = Watchers(address, count)
    await watchers.connect()
    connected_mb = resident_mb(pid)
    await asyncio.sleep(seconds)
    later_mb = resident_mb(pid)
    order_s, last_s = await watchers.halted()
    await watchers.close()
    return {
        "order_ms": order_s * 1e3,
        "last_ms": last_s * 1e3,
        "kb_each": (connected_mb - before_mb) * 1e3 / count,
        "renewal_kb_each": (later_mb - before_mb) * 1e3 / count,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", required=True)
    parser.add_argument("--watchers", type=int, default=1_000)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=17.0, help="of renewals: ten of them")
    given = parser.parse_args()
    told = asyncio.run(measured(given.address, given.watchers, given.pid, given.seconds))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
