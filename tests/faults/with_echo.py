"""A sidecar with a station that derives one event from each that is not derived.

Put before the command of a real sidecar; it takes over the flags that follow `serve`. The ids of
what it derives are new each time: an event that went through it twice leaves two echoes.
"""

import functools
import sys
import time
from collections.abc import Sequence
from uuid import uuid4

from trimtab.v1 import event_pb2
from trimtab_server import app
from trimtab_server.cli import main
from trimtab_server.domain.events import Append, Event, StoredEvent
from trimtab_server.loop.stations import Derived
from trimtab_server.rpc.convert import EventReader

NAME = "echo"


class Echo:
    """Answers an event with a metric that names its sequence."""

    name = NAME
    kinds: tuple[int, ...] = ()
    pulse_s: float | None = None

    def __init__(self) -> None:
        self._reader = EventReader(1 << 16, 10**18, time.time_ns)

    def start(self, cursor: int) -> None:
        """Keeps nothing."""

    def derive(self, events: Sequence[StoredEvent]) -> Derived:
        """An echo for each."""
        made = []
        for stored in events:
            origin = event_pb2.Event.FromString(stored.body)
            if origin.metric_recorded.name != NAME:
                echo = event_pb2.Event(
                    event_id=str(uuid4()),
                    source=NAME,
                    environment=event_pb2.ENVIRONMENT_PAPER,
                    causation_id=origin.event_id,
                )
                echo.event_time.FromNanoseconds(time.time_ns())
                echo.metric_recorded.name = NAME
                echo.metric_recorded.value = float(stored.sequence)
                made.append(echo)
        read = [event for event in self._reader.read(made) if isinstance(event, Event)]
        assert len(read) == len(made)
        if not read:
            return Derived()
        return Derived([Append([*read], sum(len(event.body) for event in read))])


if __name__ == "__main__":
    app.serve = functools.partial(app.serve, stations=[Echo()])
    sys.argv = ["trimtab", *sys.argv[sys.argv.index("serve") :]]
    main()
