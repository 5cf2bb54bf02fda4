"""The engine's side of the gate: a local check, the call, a check without a sidecar.

python -m tests.load.gate_check --address ADDRESS --rounds N --checks N

The checks take turns over symbols and confidences as an engine's do, each with an id of its own,
each recorded. A burst begins on a ring that was drained. The last line of the output is JSON:
microseconds by round (the median of a round's bursts; the call's median) and what was recorded.
"""

import argparse
import json
import time
from collections.abc import Sequence
from statistics import median

import trimtab_client
from tests.load import mix
from trimtab_client import RecorderSettings, signal_query

_BURST = 1_000
_LEASE_S_MAX = 10.0
_FLUSH_S_MAX = 30.0
_CALLS = 300
_NOBODY = "127.0.0.1:9"

Question = tuple[str, str, str, float]


def questions(count: int) -> list[Question]:
    """Signal id, symbol, strategy and confidence of so many signals."""
    return [
        (
            f"signal-{number:08d}",
            mix.SYMBOLS[number % len(mix.SYMBOLS)],
            mix.STRATEGIES[number % len(mix.STRATEGIES)],
            number % 97 / 96,
        )
        for number in range(count)
    ]


def check_us(tt: trimtab_client.Trimtab, asked: Sequence[Question]) -> float:
    """Median microseconds of one check, over bursts."""
    check = tt.gate.check
    bursts = []
    for start in range(0, len(asked), _BURST):
        burst = asked[start : start + _BURST]
        if tt.gate.state == "FRESH":
            tt.flush(_FLUSH_S_MAX)
        begin_s = time.perf_counter()
        for signal_id, symbol, strategy, confidence in burst:
            check(
                signal_id=signal_id,
                symbol=symbol,
                side="BUY",
                intent="ENTRY",
                strategy=strategy,
                confidence=confidence,
            )
        bursts.append((time.perf_counter() - begin_s) / len(burst) * 1e6)
    return median(bursts)


def call_us(tt: trimtab_client.Trimtab, asked: Sequence[Question]) -> float:
    """Median microseconds of the same question as a call of the client."""
    took = []
    for signal_id, symbol, strategy, confidence in asked:
        query = signal_query(signal_id=signal_id, side="BUY", intent="ENTRY", confidence=confidence)
        begin_s = time.perf_counter()
        tt.client.should_allow_signals(
            source=mix.SOURCE,
            environment="LIVE",
            strategy=strategy,
            symbol=symbol,
            signals=[query],
        )
        took.append((time.perf_counter() - begin_s) * 1e6)
    return median(took)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checks", type=int, default=20_000)
    given = parser.parse_args()
    asked = questions(given.checks)
    told: dict[str, list[float]] = {"check_us": [], "call_us": [], "down_us": []}
    with (
        trimtab_client.connect(source=mix.SOURCE, environment="LIVE", address=given.address) as tt,
        trimtab_client.connect(
            source="alone",
            environment="LIVE",
            address=_NOBODY,
            on_unavailable="OPEN",
            # A ring for every decision: nobody takes them.
            settings=RecorderSettings(spool_mode="off", events_max=1_000_000, bytes_max=1 << 30),
        ) as alone,
    ):
        if not tt.gate.wait_fresh(_LEASE_S_MAX):
            raise RuntimeError(f"no lease: {tt.gate.stats}")
        alone.gate.start()
        check_us(tt, asked[:_BURST])
        for _ in range(given.rounds):
            told["check_us"].append(check_us(tt, asked))
            told["call_us"].append(call_us(tt, asked[:_CALLS]))
            told["down_us"].append(check_us(alone, asked[:_BURST]))
        tt.flush(_FLUSH_S_MAX)
        if tt.gate.state != "FRESH" or alone.gate.state != "NO_LEASE":
            raise RuntimeError(f"not what was to be measured: {tt.gate.stats} {alone.gate.stats}")
        recorded = tt.gate.stats.recorded_count
    made = min(_BURST, given.checks) + given.rounds * given.checks
    print(json.dumps({**told, "recorded": recorded, "made": made}))


if __name__ == "__main__":
    main()
