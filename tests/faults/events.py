"""Events for the fault tests: valid unless asked otherwise, and each one different."""

import hashlib
import random
import time
from uuid import UUID

from trimtab.v1 import event_pb2


def uuid(rng: random.Random) -> str:
    """A random UUID from `rng`."""
    return str(UUID(int=rng.getrandbits(128), version=4))


def event(
    rng: random.Random, source: str, *, padding: int = 0, valid: bool = True
) -> event_pb2.Event:
    """An event of `source`; `padding` makes it larger, `valid=False` is refused by every server."""
    made = event_pb2.Event(
        event_id=uuid(rng),
        source=source,
        environment=event_pb2.ENVIRONMENT_PAPER,
        strategy="faults",
    )
    made.event_time.FromNanoseconds(time.time_ns())
    made.metric_recorded.name = "noise"
    made.metric_recorded.value = rng.random() if valid else float("nan")
    while padding > 0:
        made.attributes[f"padding-{padding}"] = "x" * min(padding, 1_000)
        padding -= 1_000
    return made


def body(of: event_pb2.Event) -> bytes:
    """What makes two events the same: a digest of everything but what the server adds."""
    copy = event_pb2.Event()
    copy.CopyFrom(of)
    copy.ClearField("sequence")
    copy.ClearField("ingest_time")
    return stored_body(copy.SerializeToString(deterministic=True))


def stored_body(stored: bytes) -> bytes:
    """The same for the bytes that a database holds."""
    return hashlib.blake2b(stored, digest_size=16).digest()
