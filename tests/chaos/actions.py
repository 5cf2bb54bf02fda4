"""What can be done to a world, by name. Each does its harm, waits a little, and undoes it.

`moment` is drawn beforehand: which of the sidecars, engines or ways, and for how long. So a seed
fixes the whole schedule, whatever the machine's timing.
"""

import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.http2 import EVERY_STREAM
from tests.chaos.proxy import PASS, STALL, Proxy, Way
from tests.chaos.world import World
from tests.conftest import Sidecar


@dataclass(frozen=True)
class Moment:
    """The chances of one action: a pick (an index, modulo what there is), seconds, a coin."""

    pick: int
    hold_s: float
    coin: bool

    def sidecar(self, world: World) -> Sidecar:
        """The sidecar that is meant."""
        return world.sidecars[self.pick % len(world.sidecars)]

    def proxy(self, world: World) -> Proxy:
        """The proxy that is meant: before a sidecar, or (half of the time) before its database."""
        known = world.database_proxies if self.coin and world.database_proxies else world.proxies
        return known[self.pick % len(known)]

    def hold(self) -> None:
        """Waits as long as the harm lasts."""
        time.sleep(self.hold_s)


Action = Callable[[World, Moment], None]


def moment(rng: random.Random) -> Moment:
    """The chances of the next action."""
    return Moment(rng.randrange(1_000), rng.uniform(0.02, 0.8), rng.random() < 0.5)


def kill_sidecar(world: World, at: Moment) -> None:
    """SIGKILL and a new start."""
    at.sidecar(world).kill()
    at.sidecar(world).restart()


def kill_engine(world: World, at: Moment) -> None:
    """SIGKILL and a new start."""
    engine = world.engines[at.pick % len(world.engines)]
    engine.kill()
    engine.start()


def kill_both(world: World, at: Moment) -> None:
    """A sidecar and an engine die together; either may be back first."""
    engine = world.engines[at.pick % len(world.engines)]
    at.sidecar(world).kill()
    engine.kill()
    if at.coin:
        engine.start()
    at.sidecar(world).restart()
    if not at.coin:
        engine.start()


def kill_all_sidecars(world: World, at: Moment) -> None:
    """Every sidecar dies; they come back together."""
    for sidecar in world.sidecars:
        sidecar.kill()
    starting = [threading.Thread(target=sidecar.restart) for sidecar in world.sidecars]
    for thread in starting:
        thread.start()
    for thread in starting:
        thread.join()
    for sidecar in world.sidecars:
        assert sidecar.process.poll() is None, f"no sidecar:\n{sidecar.log}"


def kill_postgres(world: World, at: Moment) -> None:
    """The whole server dies without a checkpoint, and recovers."""
    assert world.postgres is not None
    world.postgres.kill()
    if at.coin:
        at.hold()
    world.postgres.restart()


def kill_postgres_and_sidecar(world: World, at: Moment) -> None:
    """Both die; Postgres is back first."""
    assert world.postgres is not None
    at.sidecar(world).kill()
    world.postgres.kill()
    world.postgres.restart()
    at.sidecar(world).restart()


def restart_postgres(world: World, at: Moment) -> None:
    """An orderly restart: sessions are cut."""
    assert world.postgres is not None
    world.postgres.shut_down()
    at.hold()
    world.postgres.restart()


def pause_postgres(world: World, at: Moment) -> None:
    """All its processes stand still and go on."""
    assert world.postgres is not None
    world.postgres.pause()
    at.hold()
    world.postgres.resume()


def terminate_sidecar(world: World, at: Moment) -> None:
    """SIGTERM, exit 0, a new start."""
    assert at.sidecar(world).terminate() == 0
    at.sidecar(world).restart()


def pause_sidecar(world: World, at: Moment) -> None:
    """SIGSTOP and SIGCONT."""
    at.sidecar(world).process.send_signal(signal.SIGSTOP)
    at.hold()
    at.sidecar(world).process.send_signal(signal.SIGCONT)


def pause_engine(world: World, at: Moment) -> None:
    """SIGSTOP and SIGCONT."""
    engine = world.engines[at.pick % len(world.engines)]
    engine.signal(signal.SIGSTOP)
    at.hold()
    engine.signal(signal.SIGCONT)


def delay(world: World, at: Moment) -> None:
    """Up to 40 ms more each way."""
    at.proxy(world).set(Way(jitter_s=0.04), Way(delay_s=0.01, jitter_s=0.03))
    at.hold()
    at.proxy(world).heal()


def slow(world: World, at: Moment) -> None:
    """A few hundred kilobytes a second."""
    at.proxy(world).set(Way(bytes_per_s=400_000), Way(bytes_per_s=200_000))
    at.hold()
    at.proxy(world).heal()


def black_hole(world: World, at: Moment) -> None:
    """Nothing passes for a while."""
    at.proxy(world).black_hole()
    at.hold()
    at.proxy(world).heal()


def one_way(world: World, at: Moment) -> None:
    """Only requests, or only answers, pass for a while."""
    at.proxy(world).set(*((STALL, PASS) if at.pick % 2 else (PASS, STALL)))
    at.hold()
    at.proxy(world).heal()


def half_open(world: World, at: Moment) -> None:
    """The connections of now fall silent for ever; new ones pass."""
    at.proxy(world).abandon()


def reset(world: World, at: Moment) -> None:
    """RST on every connection."""
    at.proxy(world).reset()


def go_away(world: World, at: Moment) -> None:
    """An HTTP/2 GOAWAY, with or without disowning the streams."""
    proxy = world.proxies[at.pick % len(world.proxies)]
    proxy.go_away(EVERY_STREAM if at.coin else 0)


def jump_clock(world: World, at: Moment) -> None:
    """The sidecars' wall clock goes an hour forward or back, and returns."""
    assert world.clock is not None
    world.clock.jump(3_600 if at.coin else -3_600)
    at.hold()
    world.clock.jump(0)


KILLS = [kill_sidecar, kill_engine, kill_both]
FAULTS = [
    *(kill_sidecar, kill_engine, kill_both, terminate_sidecar, pause_sidecar, pause_engine),
    *(delay, slow, black_hole, one_way, half_open, reset, go_away),
]


def actions(world: World, kind: str) -> list[Action]:
    """What may be drawn in a world: `kills` only, or every `fault`."""
    found: list[Action] = list(KILLS if kind == "kills" else FAULTS)
    if len(world.sidecars) > 1:
        found.append(kill_all_sidecars)
    if world.postgres is not None and world.postgres.ours:
        found += [kill_postgres, kill_postgres_and_sidecar]
        if kind == "faults":
            found += [restart_postgres, pause_postgres]
    if kind == "faults" and world.clock is not None:
        found.append(jump_clock)
    return found
