"""Worker processes: bounded, and no caller's end is another's."""

import asyncio
import os
import pickle
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.loop import jobs
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import (
    InvalidRequest,
    NotFound,
    Overloaded,
    StaleEtag,
    TrimtabError,
    Unavailable,
)
from trimtab_server.loop.worker_process import error_of, refusal_of
from trimtab_server.loop.workers import WorkerFailure, WorkerLimits, Workers
from trimtab_server.telemetry import Telemetry

GIB = 1 << 30


class Lost(Telemetry):
    """Remembers which workers were lost."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: list[str] = []

    def worker_lost(self, why: str) -> None:
        """Remembers why."""
        self.lost.append(why)


@asynccontextmanager
async def workers(
    make: Callable[[], Callable[[Any], Any]] = jobs.make,
    *,
    telemetry: Telemetry | None = None,
    **told: Any,
) -> AsyncIterator[Workers]:
    """Workers that are stopped after the test."""
    limits = {"workers_max": 1, "queue_max": 4, "time_s_max": 60.0, "memory_bytes_max": GIB}
    one = Workers(make, WorkerLimits(**(limits | told)), telemetry or Telemetry())
    try:
        yield one
    finally:
        await one.stop()


async def until(holds: Callable[[], object]) -> None:
    """Waits for what must come; the test's time limit ends it."""
    while not holds():  # noqa: ASYNC110 - what comes is a process, a file
        await asyncio.sleep(0.002)


def is_gone(pid: int) -> bool:
    """Whether no process has this id, or only its remains."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text("ascii").rpartition(")")[2].split()[0] == "Z"


async def test_a_job_is_answered_in_a_process_of_its_own_which_is_kept() -> None:
    """Another process, the same for the next job, and what it made for the first is still there."""
    async with workers() as pool:
        assert pool.process_count == 0
        pid = await pool.run(("pid", 1))
        assert pid != os.getpid()
        assert await pool.run(("pid", 2)) == pid
        assert await pool.run(("asked", 3)) == [1, 2, 3]
        assert pool.process_count == 1


async def test_a_worker_stands_back_for_the_sidecar() -> None:
    """It has a lower priority and one thread, told before anything heavy is loaded."""
    async with workers(nice=12) as pool:
        assert await pool.run(("nice", 0)) >= min(19, os.nice(0) + 12)
        assert await pool.run(("light", 0))


async def test_our_errors_come_back_as_they_were() -> None:
    """A refusal in the worker is the caller's refusal, field paths and all; the worker stays."""
    async with workers() as pool:
        pid = await pool.run(("pid", 0))
        with pytest.raises(InvalidRequest) as refused:
            await pool.run(("refuse", 0))
        assert [each.field for each in refused.value.violations] == ["scope.symbol"]
        assert refused.value.reason is Reason.INVALID_FIELD
        assert await pool.run(("pid", 0)) == pid


@pytest.mark.parametrize(
    "error",
    [
        NotFound("report_id", "nothing has it"),
        Overloaded(Reason.OVERLOADED, "busy", retry_after_s=1.5),
        StaleEtag("stale", "7"),
    ],
)
def test_every_part_of_an_error_crosses_the_pipe(error: TrimtabError) -> None:
    """Kind, reason, words, fields, delay and figures."""
    told = error_of(pickle.loads(pickle.dumps(refusal_of(error))))
    assert type(told) is type(error)
    assert vars(told) == vars(error)


@pytest.mark.parametrize("name", ["fail", "unsendable"])
async def test_a_defect_tells_its_traceback_and_harms_nobody_else(name: str) -> None:
    """The worker's own traceback reaches whoever logs it; the next job is answered."""
    async with workers() as pool:
        with pytest.raises(WorkerFailure, match="Traceback"):
            await pool.run((name, 0))
        assert await pool.run(("echo", 7)) == 7


async def test_a_database_that_is_away_is_told_and_looked_for_again() -> None:
    """What a worker needs first may fail: its caller learns why, with a time to come back."""
    async with workers(jobs.make_nothing) as pool:
        for _ in range(2):
            with pytest.raises(Unavailable) as refused:
                await pool.run(("echo", 1))
            assert refused.value.reason is Reason.STORE_UNAVAILABLE
            assert refused.value.retry_after_s == 3.0


async def test_a_process_that_dies_fails_its_own_caller_only() -> None:
    """The caller may try again; those who wait behind get another process."""
    telemetry = Lost()
    async with workers(telemetry=telemetry) as pool:
        dying = asyncio.create_task(pool.run(("die", 3)))
        behind = asyncio.create_task(pool.run(("echo", 5)))
        with pytest.raises(Unavailable, match="exit code 3") as refused:
            await dying
        assert refused.value.reason is Reason.SERVER_FAULT
        assert await behind == 5
        assert telemetry.lost == ["died"]


async def test_a_process_that_died_while_idle_is_nobody_s_error() -> None:
    """The next caller gets a new one and notices nothing."""
    async with workers() as pool:
        pid = await pool.run(("pid", 0))
        os.kill(pid, 9)
        await until(lambda: is_gone(pid))
        assert await pool.run(("pid", 0)) != pid


async def test_a_caller_that_leaves_ends_the_work(tmp_path: Path) -> None:
    """Its process is killed, and the next caller is served by another."""
    told = tmp_path / "pid"
    telemetry = Lost()
    async with workers(telemetry=telemetry) as pool:
        leaving = asyncio.create_task(pool.run(("sleep", str(told))))
        await until(lambda: told.exists() and told.read_text("utf-8"))
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert await pool.run(("echo", 1)) == 1
        await until(lambda: is_gone(int(told.read_text("utf-8"))))
        assert telemetry.lost == ["cancelled"]
        assert pool.caller_count == 0


async def test_a_caller_that_leaves_while_its_process_starts_leaves_nothing(
    tmp_path: Path,
) -> None:
    """However early it goes, no process stays behind that nobody asks."""
    async with workers() as pool:
        for delay in (0, 0, 0.001, 0.01, 0.05):
            leaving = asyncio.create_task(pool.run(("sleep", str(tmp_path / "never"))))
            await asyncio.sleep(delay)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        assert await pool.run(("echo", 1)) == 1
        assert pool.process_count == 1


async def test_a_job_that_takes_too_long_is_ended_and_named(tmp_path: Path) -> None:
    """The error names the scope's times: that is what the caller can change."""
    telemetry = Lost()
    async with workers(telemetry=telemetry, time_s_max=0.3) as pool:
        with pytest.raises(InvalidRequest, match=r"0\.3 s") as refused:
            await pool.run(("sleep", str(tmp_path / "pid")))
        assert [each.field for each in refused.value.violations] == [
            "scope.start_time",
            "scope.end_time",
        ]
        assert telemetry.lost == ["timeout"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps the account")
async def test_a_job_that_wants_too_much_memory_is_refused_and_its_process_goes() -> None:
    """What is below the limit passes; beyond it the caller is told to narrow the scope."""
    async with workers(memory_bytes_max=64 << 20) as pool:
        pid = await pool.run(("pid", 0))
        assert await pool.run(("fill", 16 << 20)) == 16 << 20
        with pytest.raises(InvalidRequest, match="memory"):
            await pool.run(("fill", GIB))
        assert await pool.run(("pid", 0)) != pid


async def test_more_callers_than_may_wait_are_told_when_to_come_back(tmp_path: Path) -> None:
    """One runs, one waits, the third is refused with a delay; afterwards there is room again."""
    go = tmp_path / "go"
    async with workers(queue_max=1) as pool:
        first, second = (asyncio.create_task(pool.run(("wait", str(go)))) for _ in range(2))
        await until(lambda: pool.caller_count == 2)
        with pytest.raises(Overloaded) as refused:
            await pool.run(("echo", 1))
        assert refused.value.reason is Reason.OVERLOADED
        assert refused.value.retry_after_s
        go.touch()
        assert await first == await second
        assert await pool.run(("echo", 1)) == 1


async def test_the_event_loop_goes_on_while_workers_start_and_work(tmp_path: Path) -> None:
    """Others have their turn all the time."""
    go = tmp_path / "go"
    async with workers() as pool:
        working = asyncio.create_task(pool.run(("wait", str(go))))
        turns = 0
        while turns < 100:
            await asyncio.sleep(0)
            turns += 1
        assert not working.done()
        go.touch()
        await working


async def test_several_jobs_of_one_caller_run_beside_each_other(tmp_path: Path) -> None:
    """As many at once as there are workers; each answer comes as soon as it is there."""
    go = tmp_path / "go"
    asked = [("wait", str(go)), ("echo", "a"), ("echo", "b"), ("echo", "c")]
    async with workers(workers_max=2) as pool:
        found = []
        async with aclosing(pool.run_each(asked)) as answers:
            async for answer in answers:
                found.append(answer)
                if len(found) == 3:
                    go.touch()
        assert sorted(found[:3]) == ["a", "b", "c"]
        assert isinstance(found[3], int)


async def test_a_caller_with_many_jobs_lets_others_in_between(tmp_path: Path) -> None:
    """Another's job comes next, not behind all of them."""
    go = tmp_path / "go"
    async with workers() as pool:
        answers = pool.run_each([("wait", str(go)), *[("echo", n) for n in range(50)]])
        first = asyncio.create_task(anext(answers))
        await until(lambda: pool.process_count == 1)
        other = asyncio.create_task(pool.run(("asked", "other")))
        await until(lambda: pool.caller_count == 2)
        go.touch()
        await first
        async with aclosing(answers):
            async for _ in answers:
                pass
        assert len(await other) <= 4


async def test_the_first_of_several_jobs_that_fails_ends_the_rest(tmp_path: Path) -> None:
    """Its error is the caller's, and no process works on for nothing."""
    told = tmp_path / "pid"
    async with workers(workers_max=2) as pool:
        answers = pool.run_each([("sleep", str(told)), ("wait", str(told)), ("refuse", 0)])
        with pytest.raises(InvalidRequest):
            async for _ in answers:
                pass
        await until(lambda: is_gone(int(told.read_text("utf-8"))))
        assert pool.caller_count == 0


async def test_closing_the_answers_ends_the_rest(tmp_path: Path) -> None:
    """A reader that has seen enough stops the work."""
    told = tmp_path / "pid"
    async with workers(workers_max=2) as pool:
        answers = pool.run_each([("sleep", str(told)), ("wait", str(told))])
        await anext(answers)
        await until(lambda: told.read_text("utf-8"))
        await answers.aclose()
        await until(lambda: is_gone(int(told.read_text("utf-8"))))
        assert pool.caller_count == 0


async def test_jobs_about_the_same_go_to_the_process_that_knows_it() -> None:
    """What one has loaded is not loaded by another as well."""
    async with workers(workers_max=2) as pool:
        first = [each async for each in pool.run_each([("pid", 0)], key="a")]
        both = [each async for each in pool.run_each([("pid", 0), ("pid", 0)], key="b")]
        [other] = {*both} - {*first}
        assert await pool.run(("pid", 0), key="c") in both
        found = {await pool.run(("pid", 0), key="b") for _ in range(3)}
        assert len(found) == 1
        assert other in both


async def test_a_process_that_nobody_needs_ends() -> None:
    """Its memory goes back to the machine; the next job starts another."""
    async with workers(idle_s_max=0.05) as pool:
        pid = await pool.run(("pid", 0))
        await until(lambda: pool.process_count == 0)
        await until(lambda: is_gone(pid))
        assert await pool.run(("pid", 0)) != pid


async def test_stopping_ends_every_process_and_tells_every_caller(tmp_path: Path) -> None:
    """Running, waiting and new callers hear that the server stops; nothing is left behind."""
    told = tmp_path / "pid"
    async with workers() as pool:
        callers = [asyncio.create_task(pool.run(("sleep", str(told)))) for _ in range(2)]
        await until(lambda: told.exists() and told.read_text("utf-8"))
        with pool.scratch_file() as path:
            path.write_bytes(b"left")
            await pool.stop()
        ends = await asyncio.gather(*callers, pool.run(("echo", 1)), return_exceptions=True)
        for end in ends:
            assert isinstance(end, Unavailable)
            assert end.reason is Reason.SHUTTING_DOWN
        assert is_gone(int(told.read_text("utf-8")))
        assert not path.parent.exists()


async def test_a_shared_file_goes_when_its_block_ends() -> None:
    """Whatever jobs left there."""
    async with workers() as pool:
        with pool.scratch_file() as path, pool.scratch_file() as other:
            assert path != other
            path.write_bytes(b"much")
        assert not path.exists()


ORPHAN = """
import asyncio, sys
from tests.loop import jobs
from trimtab_server.loop.workers import Workers, WorkerLimits
from trimtab_server.telemetry import Telemetry

async def main():
    pool = Workers(jobs.make, WorkerLimits(1, 1, 60.0, 1 << 30), Telemetry())
    await pool.run(("sleep", sys.argv[1]))

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_worker_does_not_outlive_its_sidecar(tmp_path: Path) -> None:
    """Killed in the middle of a job, the sidecar leaves no process that works on."""
    told, script = tmp_path / "pid", tmp_path / "orphan.py"
    script.write_text(ORPHAN, encoding="utf-8")
    paths = os.pathsep.join([str(ROOT), *sys.path])
    sidecar = subprocess.Popen(
        [sys.executable, str(script), str(told)], env={**os.environ, "PYTHONPATH": paths}
    )
    while not (told.exists() and told.read_text("utf-8")):
        assert sidecar.poll() is None
        time.sleep(0.01)
    sidecar.kill()
    sidecar.wait()
    while not is_gone(int(told.read_text("utf-8"))):
        time.sleep(0.01)
