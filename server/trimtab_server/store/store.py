"""The store: opens a database, holds its parts, closes them."""

import json
import operator
from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy import text
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from trimtab_server.domain.events import Append, Appended, LogInfo, Producer, Violation
from trimtab_server.domain.gate.gate_world import Decided, GateWorld, Order
from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import InvalidRequest, StreamBroken
from trimtab_server.store.append import append
from trimtab_server.store.claims import SameContent
from trimtab_server.store.database import open_database
from trimtab_server.store.disk import DiskSpace, disk_space
from trimtab_server.store.events import Events
from trimtab_server.store.gate import Done, Gate, GateLimits
from trimtab_server.store.ledger import LedgerTables
from trimtab_server.store.refusals import DatabaseBusy
from trimtab_server.store.retention import Pruned, first_kept, newest_time_ns, prune_some
from trimtab_server.store.sqlite import SqliteDatabase
from trimtab_server.store.stations import Stations

# Somebody else's transaction (a copy, a shell) passes; nothing was stored, so trying again is safe.
_patiently = retry(
    retry=retry_if_exception_type(DatabaseBusy),
    wait=wait_random_exponential(multiplier=0.02, max=0.2),
    stop=stop_after_attempt(3),
    reraise=True,
)

_GATE_LIMITS = GateLimits(rules_max=10_000, runs_max=1_000)


class Store:
    """The log in one database. Call it from any thread that may block; writers take turns."""

    def __init__(
        self,
        url: str,
        *,
        durability: str = "power_loss",
        readers_max: int = 4,
        read_time_s_max: float = 10.0,
        rejected_events_max: int = 10_000,
        gate_limits: GateLimits = _GATE_LIMITS,
        same_content: SameContent = operator.eq,
        new_log_id: Callable[[], UUID],
        now_ns: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        """Opens or creates the database. Raises ConfigurationError when that is not possible.

        `same_content` decides about two bodies of one id whose bytes differ: an older version may
        have written fields that it did not know in another order.
        """
        self._database = open_database(url, durability, readers_max, read_time_s_max, monotonic)
        self._rejected_events_max = rejected_events_max
        self._same_content = same_content
        self._now_ns = now_ns
        self._stamp_ns_min = 0
        self.events = Events(self._database)
        self.stations = Stations(self._database, rejected_events_max, same_content, now_ns)
        self.gate = Gate(self._database, gate_limits, now_ns)
        self.ledger = LedgerTables(self._database)
        # The logs that this one was restored from, newest first.
        self.former_log_ids: tuple[str, ...]
        self.log_id, self.former_log_ids = self._identity(new_log_id)

    def stamp_from(self, time_ns: int) -> None:
        """From now on no event is stored with an earlier ingest time, whatever the clock says."""
        self._stamp_ns_min = max(self._stamp_ns_min, time_ns)

    @_patiently
    def append(self, appends: Sequence[Append]) -> list[Appended]:
        """What became of each append, durable when this returns: one transaction for all.

        Raises Unavailable when the database refuses; nothing is stored then.
        """
        with self._database.writing(appends) as writer:
            return append(
                writer,
                appends,
                max(self._now_ns(), self._stamp_ns_min),
                self._rejected_events_max,
                self._same_content,
            )

    @_patiently
    def open_producer(self, producer: Producer) -> int:
        """The producer's next expected number. Stores a new producer or a raised epoch; the
        producer's stream is the one that may append from now on.

        Raises StreamBroken (PRODUCER_FENCED) for an older epoch, InvalidRequest when the producer
        belongs to another source.
        """
        with self._database.writing() as writer:
            row = writer.producers([producer.producer_id]).get(producer.producer_id)
            if row is None:
                writer.execute(
                    "INSERT INTO producers (producer_id, source, epoch, durable_through_seq,"
                    " open_time_ns, stream_key) VALUES (?, ?, ?, 0, ?, ?)",
                    (
                        *(producer.producer_id, producer.source, producer.epoch),
                        *(self._now_ns(), producer.stream_key),
                    ),
                )
                return 1
            if row.source != producer.source:
                raise InvalidRequest(
                    Violation("open.source", f"this producer belongs to source {row.source!r}")
                )
            if producer.epoch < row.epoch:
                raise StreamBroken(
                    Reason.PRODUCER_FENCED,
                    f"epoch {row.epoch} of this producer exists",
                    metadata={"producer_epoch": str(row.epoch)},
                )
            if (producer.epoch, producer.stream_key) != (row.epoch, row.stream_key):
                writer.execute(
                    "UPDATE producers SET epoch = ?, stream_key = ? WHERE producer_key = ?",
                    (producer.epoch, producer.stream_key, row.producer_key),
                )
            return row.durable_through_seq + 1

    def info(self) -> LogInfo:
        """Identity and bounds of the log."""
        with self._database.reading() as connection:
            last = connection.scalar(text("SELECT last_sequence FROM log WHERE id = 1"))
            first = first_kept(connection)
        return LogInfo(self.log_id, first, last or 0)

    def prune_some(self, kind: int, before_ns: int) -> Pruned:
        """What one short transaction pruned of the events of `kind` that were ingested before
        `before_ns`, oldest first. Raises Unavailable."""
        return prune_some(self._database, kind, before_ns)

    def newest_time_ns(self) -> int:
        """When the newest event was ingested; 0 when there is none. Raises Unavailable."""
        with self._database.reading() as connection:
            return newest_time_ns(connection)

    def probe(self) -> None:
        """Opens and ends an empty transaction on the writer's thread. Raises Unavailable when the
        database refuses."""
        with self._database.writing():
            pass

    def disk_space(self) -> DiskSpace | None:
        """The space of the file system that holds the database; None when it is not a file here.

        Raises OSError when the file is gone.
        """
        if isinstance(self._database, SqliteDatabase):
            return disk_space(self._database.path)
        return None

    @property
    def backend(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._database.name

    @_patiently
    def change_gate(self, order: Order, decide: Callable[[GateWorld], Decided]) -> Done:
        """As `gate.change`, tried again when the database was busy: an order is known by its id."""
        return self.gate.change(order, decide)

    def follow(self, on_growth: Callable[[int], None], on_gate: Callable[[int], None]) -> None:
        """Calls `on_growth` with the log's last sequence and `on_gate` with the signal gate's
        generation, on a thread of the store's own, when another sidecar has committed."""
        self._database.follow(on_growth, on_gate)

    def give_up(self) -> None:
        """Cuts a commit that a silent database holds up: the time to stop is over. Whether it was
        stored, its callers find out when they send it again."""
        self._database.give_up()

    def interrupt(self) -> None:
        """Ends the reads that are running: the server stops."""
        self._database.interrupt()

    def close(self) -> None:
        """Closes the database and releases its lock."""
        self._database.close()

    def _identity(self, new_log_id: Callable[[], UUID]) -> tuple[str, tuple[str, ...]]:
        """The log_id, made when there is none yet, and the former ones."""
        with self._database.writing() as writer:
            known = writer.execute("SELECT log_id, former_log_ids FROM log WHERE id = 1").fetchone()
            if known is not None:
                return str(known[0]), tuple(json.loads(known[1]))
            log_id = str(new_log_id())
            writer.execute(
                "INSERT INTO log (id, log_id, last_sequence, create_time_ns) VALUES (1, ?, 0, ?)",
                (log_id, self._now_ns()),
            )
            return log_id, ()
