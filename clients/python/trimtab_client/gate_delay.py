"""When a message was sent, by this machine's clock: a late one must not lengthen a lease."""

from __future__ import annotations

from trimtab_client.gate_memory import Heard

# Two clocks that nobody sets drift apart by less, in millionths.
_DRIFT_PPM = 500
# Sidecars behind one address, and their restarts.
_BOOTS_MAX = 16


class SendTimes:
    """Of each start of a server, when it began by this machine's clock, as its promptest message
    told it."""

    def __init__(self) -> None:
        # By boot_id: the least (arrival - uptime), and when that was said last.
        self._starts: dict[str, tuple[int, int]] = {}

    def sent_ns(self, message: Heard, arrival_ns: int, asked_ns: int | None) -> int:
        """When a message was sent, at the latest its arrival; that where it tells no uptime.

        asked_ns: when the call was made whose message it is: it was sent after that. This ends what
        a server's clock lost, as in a virtual machine that was paused.
        """
        if not message.HasField("uptime"):
            return arrival_ns
        uptime_ns = message.uptime.ToNanoseconds()
        start_ns = arrival_ns - uptime_ns
        known = self._starts.pop(message.boot_id, None)
        if known is not None:
            least_ns, told_ns = known
            least_ns += max(0, arrival_ns - told_ns) * _DRIFT_PPM // 1_000_000
            if asked_ns is not None:
                least_ns = max(least_ns, asked_ns - uptime_ns)
            start_ns = min(start_ns, least_ns)
        elif len(self._starts) >= _BOOTS_MAX:
            del self._starts[next(iter(self._starts))]
        self._starts[message.boot_id] = (start_ns, arrival_ns)
        return start_ns + uptime_ns
