"""A chaos run: rounds of harm under load, then the judgement. The seed reproduces the schedule.

python -m tests.chaos.run --backend sqlite|postgres --kind kills|faults --rounds N --seed N
"""

import argparse
import contextlib
import random
import re
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos import lives
from tests.chaos.actions import Action, actions, moment
from tests.chaos.clock import why_not
from tests.chaos.trader import EVENTS_MAX
from tests.chaos.world import World
from tests.conftest import disk_base
from tests.faults.checker import faults
from tests.faults.readers import filed_log, filed_marks, last_sequence
from tests.faults.waiting import until
from tests.postgres import PostgresServer, running_server

# A commit on a connection to Postgres that fell silent for ever is given up after 20 s.
RECOVERY_S_MAX = 60.0
DRAIN_S_MAX = 90.0
# The moment of the harm, after the progress that was waited for, is the chance under test.
LEAD_S_MAX = 0.03


@dataclass
class Report:
    """What a run did, and what it found."""

    seed: int
    done: Counter[str] = field(default_factory=Counter)
    stored_count: int = 0
    faults: list[str] = field(default_factory=list)
    slowest_recovery_s: float = 0.0

    def __str__(self) -> str:
        harm = ", ".join(f"{count} {name}" for name, count in sorted(self.done.items()))
        words = f"seed {self.seed}: {self.stored_count} events stored through {harm};"
        words += f" slowest recovery {self.slowest_recovery_s:.1f} s"
        return "\n".join([words, *self.faults[:40]])


def run(world: World, known: Sequence[Action], rounds: int) -> Report:
    """Does `rounds` of harm to a running world, ends it in order, and judges what is stored."""
    rng = random.Random(f"{world.seed}-schedule")
    report = Report(world.seed)
    for number in range(rounds):
        action, at = known[rng.randrange(len(known))], moment(rng)
        more, lead_s = rng.choice((0, 1, 50, 250)), rng.uniform(0, LEAD_S_MAX)
        _progress(world, report, more + 1, f"round {number}, before {action.__name__}")
        time.sleep(lead_s)
        print(f"{number}: {action.__name__} {at}", flush=True)
        action(world, at)
        report.done[action.__name__] += 1
    _progress(world, report, 100, "the end")
    _finish(world)
    _judge(world, report)
    return report


def _progress(world: World, report: Report, more: int, what: str) -> None:
    before, start_s = world.acknowledged_count, time.monotonic()
    until(
        lambda: world.acknowledged_count >= before + more,
        f"{more} acknowledgements in {what} (seed {world.seed})",
        RECOVERY_S_MAX,
    )
    report.slowest_recovery_s = max(report.slowest_recovery_s, time.monotonic() - start_s)


def _finish(world: World) -> None:
    """Everything that was promised arrives: callers drain, engines start once more and close."""
    world.load.drain(DRAIN_S_MAX)
    for engine in world.engines:
        engine.end()
    for engine in world.engines:
        # What a killed life left behind is sent by the next one, of the same source only.
        engine.start()
    until(
        lambda: not any("\nclosed " in engine.last_life for engine in world.engines),
        "the engines' last lives",
        DRAIN_S_MAX,
    )
    alive = {engine.last_life.split()[0] for engine in world.engines}
    until(
        lambda: not [path for path in world.spooled if path.name not in alive],
        "every spool to be sent",
        DRAIN_S_MAX,
    )
    for engine in world.engines:
        engine.end()
    last = max(last_sequence(sidecar.address) for sidecar in world.sidecars)
    until(
        lambda: all(watcher.through >= last for watcher in world.watchers),
        f"the watchers to have all {last} events",
        DRAIN_S_MAX,
    )
    for watcher in world.watchers:
        watcher.end(10)
    for sidecar in world.sidecars:
        assert sidecar.terminate() == 0


def _judge(world: World, report: Report) -> None:
    """Holds the log against every book."""
    record = world.load.record
    log = filed_log(world.database)
    report.stored_count = len(log)
    for engine in world.engines:
        for life in engine.lives:
            lives.note(life, record)
            report.faults += lives.faults(life, log, EVENTS_MAX)
        if "Traceback" in engine.log:
            report.faults.append(f"{engine.source} stumbled:\n{engine.log[-4_000:]}")
    if world.spooled:
        report.faults.append(f"the spool still holds {world.spooled}")
    report.faults += faults(log, record)
    report.faults += world.load.protocol_faults
    filed = [entry._replace(producer_seq=None) for entry in log]
    for watcher in world.watchers:
        report.faults += watcher.faults
        if watcher.seen != filed:
            report.faults.append(f"{watcher.name} saw another log than the one that is stored")
    marks = filed_marks(world.database)
    for producer in world.load.producers:
        if marks.get(producer.producer_id) != producer.acknowledged_seq:
            report.faults.append(f"{producer.name}: its mark is not what it was told")
    for sidecar in world.sidecars:
        if "Traceback" in _ORPHAN.sub("", sidecar.log):
            report.faults.append(f"a sidecar's log holds a traceback:\n{sidecar.log[-4_000:]}")


# A worker process that was just being spawned when its sidecar was killed says so.
_ORPHAN = re.compile(
    r'Traceback \(most recent call last\):\n  File "<string>", line 1, in <module>\n(?:  .*\n)+'
    r"EOFError: Ran out of input\n"
)


def chaos(
    seed: int,
    kind: str,
    rounds: int,
    postgres: PostgresServer | None = None,
    sidecar_count: int = 1,
    known: Sequence[Action] = (),
) -> Report:
    """Makes a world on a real disk (on SQLite, unless a `postgres` is given), runs it, and leaves
    nothing. known: the actions to draw from, instead of those of `kind`."""
    with tempfile.TemporaryDirectory(prefix="chaos-", dir=disk_base()) as folder:
        world = World(
            Path(folder),
            seed,
            postgres,
            sidecar_count,
            with_clock=kind == "faults",
        )
        with world:
            return run(world, known or actions(world, kind), rounds)


def main() -> int:
    """Runs what the command line asks for; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--kind", choices=("kills", "faults"), default="faults")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--sidecars", type=int, default=0, help="default: 1, on Postgres 2")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    if given.kind == "faults" and why_not():
        print(why_not())
    count = given.sidecars or (2 if given.backend == "postgres" else 1)
    with ExitStack() as closing:
        server = None
        if given.backend == "postgres":
            server = closing.enter_context(contextlib.contextmanager(running_server)(disk_base()))
        report = chaos(given.seed, given.kind, given.rounds, server, count)
    print(report)
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
