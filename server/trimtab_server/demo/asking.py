"""How the demo's engine asks the signal gate: from its lease, before every signal.

A backtest has time: when the answer is not from a fresh lease (the sidecar was killed, or is only
starting) it waits for one and asks again, so that a run of the same plan is the same run. A live
engine takes the answer as it is.
"""

from collections import Counter
from collections.abc import Callable
from threading import Event
from typing import Any

from trimtab_client import Trimtab
from trimtab_server.demo.prices import Market
from trimtab_server.demo.steps import AskGate, GateSaid
from trimtab_server.demo.strategies import Proposal

LEASE_WAIT_S = 60.0
_FRESH = "FRESH"
_EXAMPLES_MAX = 5
_LOOK_S = 0.1

ConnectBook = Callable[[str], Trimtab]
"""A connection for the run of one book."""


class GateAsked:
    """Asks for the books of one market, and keeps what was said.

    connect: makes the connection of a run; it is closed by `close`.
    """

    def __init__(self, market: Market, connect: ConnectBook) -> None:
        self._market = market
        self._connect = connect
        self._open: dict[str, Trimtab] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._denied: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._denied_count = 0

    def book(self, book: str, run_id: str) -> AskGate:
        """Asks for one book."""
        tt = self._connect(run_id)
        self._open[book] = tt
        tt.gate.wait_fresh(LEASE_WAIT_S)
        counts = self._counts.setdefault(book, Counter())

        def ask(proposal: Proposal) -> GateSaid:
            said = self._said(tt, proposal)
            counts[said.source] += 1
            if not said.allowed:
                self._note(book, proposal, said)
            return said

        return ask

    def wait_revision(self, book: str, revision: int) -> bool:
        """Whether the rules of a book's run reach a revision within a minute."""
        gate, heard = self._open[book].gate, Event()
        forget = gate.on_change(lambda _: heard.set())
        try:
            for _ in range(int(LEASE_WAIT_S / _LOOK_S)):
                if gate.revision >= revision:
                    return True
                heard.wait(_LOOK_S)
                heard.clear()
        finally:
            forget()
        return False

    def _said(self, tt: Trimtab, proposal: Proposal) -> GateSaid:
        time_ns = self._market.close_time_ns(proposal.position)
        while True:
            answer = tt.allow(
                signal_id=proposal.signal_id,
                symbol=proposal.symbol,
                strategy=proposal.strategy,
                side="BUY",
                intent="ENTRY",
                confidence=proposal.confidence,
                event_time_ns=time_ns,
            )
            if answer.state == _FRESH or not tt.gate.wait_fresh(LEASE_WAIT_S):
                break
        day = self._market.day(proposal.position).isoformat()
        return GateSaid(
            answer.allowed, answer.codes, answer.words, answer.revision, answer.gate_source, day
        )

    def _note(self, book: str, proposal: Proposal, said: GateSaid) -> None:
        self._denied_count += 1
        for code in said.codes:
            self._denied.setdefault((book, code), []).append(
                {
                    "signal_id": proposal.signal_id,
                    "symbol": proposal.symbol,
                    "strategy": proposal.strategy,
                    "day": said.day,
                    "why": said.words,
                }
            )

    def report(self) -> dict[str, Any]:
        """What was asked and denied: by book, from where the answers came; by book and reason, how
        many signals, the first and last day, and the first few of them. A signal that several
        reasons denied is in each of their rows, and counts once in denied_count."""
        return {
            "denied_count": self._denied_count,
            "asked": {book: dict(counts) for book, counts in self._counts.items()},
            "denied": [
                {
                    "book": book,
                    "code": code,
                    "count": len(signals),
                    "first_day": signals[0]["day"],
                    "last_day": signals[-1]["day"],
                    "examples": signals[:_EXAMPLES_MAX],
                }
                for (book, code), signals in self._denied.items()
            ],
        }

    def close(self) -> None:
        """Ends the connections."""
        for tt in self._open.values():
            tt.close()
