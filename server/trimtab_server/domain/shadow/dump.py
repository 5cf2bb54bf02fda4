"""A shadow book as bytes: a line of JSON, then rows and lives as raw arrays."""

import hashlib
import json
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from trimtab_server.domain.ledger.facts import Lane
from trimtab_server.domain.shadow.outcomes import Identity
from trimtab_server.domain.shadow.rows import ROW
from trimtab_server.domain.shadow.state import SymbolState, Waiting

_FORMAT = "shadow-book-2"


class Saved(NamedTuple):
    """What a dump holds. follows: of its fill model. numbers: clock; unfollowed, late and corrected
    counts."""

    follows: str
    numbers: tuple[int, int, int, int]
    states: dict[str, list[SymbolState]]
    followed: dict[int, tuple[Identity, SymbolState]]


def dumped(saved: Saved, life_type: np.dtype[np.void]) -> bytes:
    """The bytes. No row may be fresh."""
    arrays: list[bytes] = []
    states = []
    for symbol, those in saved.states.items():
        for state in those:
            followers = [[key, *saved.followed[key][0]] for key in (*state.waiting, *_keys(state))]
            states.append(
                {
                    "symbol": symbol,
                    "factor": state.factor,
                    "paid": state.paid,
                    "is_followed": state.is_followed,
                    "base": state.base,
                    "last": [state.last_time_ns, state.last_spread, state.last_price],
                    "waiting": [asdict(each) for each in state.waiting.values()],
                    "rows": int(state.rows.size),
                    "lives": int(state.lives.size),
                    "followers": followers,
                }
            )
            arrays += (state.rows.tobytes(), state.lives.tobytes())
    head = {
        "format": _format(life_type),
        "follows": saved.follows,
        "numbers": saved.numbers,
        "states": states,
    }
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + b"".join(arrays)


def pending_count_of(blob: bytes) -> int:
    """How many signals a dump holds, whoever can read the rest of it; 0 of what is no dump."""
    try:
        states = json.loads(blob.partition(b"\n")[0])["states"]
        return sum(len(each["followers"]) for each in states)
    except (ValueError, KeyError, TypeError):
        return 0


def loaded(blob: bytes, follows: str, life_type: np.dtype[np.void]) -> Saved:
    """What `dumped` made. Raises ValueError for anything else, or other horizons."""
    line, _, rest = blob.partition(b"\n")
    try:
        head: Any = json.loads(line)
    except ValueError as error:
        raise ValueError("this is no dump of a shadow book") from error
    if isinstance(head, dict) and head.get("follows", follows) != follows:
        raise ValueError("this book follows its signals to other horizons or ages")
    if not isinstance(head, dict) or head.get("format") != _format(life_type):
        raise ValueError("this is a dump of another kind of book")
    saved = Saved(follows, tuple(head["numbers"]), {}, {})
    at = 0
    for told in head["states"]:
        row_bytes, life_bytes = told["rows"] * ROW.itemsize, told["lives"] * life_type.itemsize
        if at + row_bytes + life_bytes > len(rest):
            raise ValueError("this dump of a shadow book is cut off")
        state = SymbolState(np.frombuffer(rest, life_type, told["lives"], at + row_bytes).copy())
        state.rows = np.frombuffer(rest, ROW, told["rows"], at).copy()
        at += row_bytes + life_bytes
        state.factor, state.paid, state.base = told["factor"], told["paid"], told["base"]
        state.is_followed = told["is_followed"]
        state.last_time_ns, state.last_spread, state.last_price = told["last"]
        for each in told["waiting"]:
            state.waiting[each["key"]] = Waiting(**each)
        saved.states.setdefault(told["symbol"], []).append(state)
        for key, lane, *names in told["followers"]:
            saved.followed[key] = (Identity(Lane(*lane), *names), state)
    return saved


def _format(life_type: np.dtype[np.void]) -> str:
    """Changes with the layout of the arrays."""
    layout = repr((ROW.descr, life_type.descr)).encode()
    return f"{_FORMAT}-{hashlib.blake2b(layout, digest_size=8).hexdigest()}"


def _keys(state: SymbolState) -> list[int]:
    lives: Any = state.lives
    keys: list[int] = lives["key"].tolist()
    return keys
