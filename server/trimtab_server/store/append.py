"""Appending to the log: one transaction for many callers, each event stored exactly once."""

from collections.abc import Sequence
from uuid import UUID

from trimtab_server.domain.events import Append, Appended, Event, Rejection, Violation
from trimtab_server.domain.reasons import Reason
from trimtab_server.store.claims import Claim, IdStored, KnownProducer, SameContent
from trimtab_server.store.database import Writer
from trimtab_server.store.rejections import Refused, keep_rejections, kept_rejection

_COUNT = (
    "INSERT INTO event_counts VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (source, environment, run_id, kind) DO UPDATE SET"
    " event_count = event_counts.event_count + excluded.event_count,"
    " byte_count = event_counts.byte_count + excluded.byte_count,"
    " last_event_time_ns = CASE WHEN event_counts.last_event_time_ns > excluded.last_event_time_ns"
    " THEN event_counts.last_event_time_ns ELSE excluded.last_event_time_ns END"
)


def append(
    writer: Writer,
    appends: Sequence[Append],
    now_ns: int,
    rejected_events_max: int,
    same_content: SameContent,
) -> list[Appended]:
    """What became of each of `appends`, all in the transaction of `writer`."""
    commit = _Commit(writer, appends, same_content)
    commit.know_producers()
    for index, wanted in enumerate(appends):
        commit.claim(index, wanted)
    commit.drop_repeats()
    try:
        commit.write(now_ns, rejected_events_max)
    except IdStored:
        # Ids that the log holds are rare: they are looked for only when it objects.
        commit.drop_stored()
        commit.write(now_ns, rejected_events_max)
    return commit.results


class _Commit:
    """One transaction in the making."""

    def __init__(
        self,
        writer: Writer,
        appends: Sequence[Append],
        same_content: SameContent,
    ) -> None:
        self.results = [Appended([0] * len(wanted.events)) for wanted in appends]
        self._writer = writer
        self._appends = appends
        self._same_content = same_content
        self._claims: list[Claim] = []
        self._marks: dict[int, int] = {}
        self._refused: list[Refused] = []
        self._producers: dict[bytes, KnownProducer] = {}
        # Of this commit: ids with their sequences.
        self._sequences: dict[bytes, int] = {}
        self._has_repeats = False

    # -- which numbers are new --------------------------------------------------------------

    def know_producers(self) -> None:
        """Looks up all producers at once."""
        ids = {wanted.producer.producer_id for wanted in self._appends if wanted.producer}
        self._producers = self._writer.producers(list(ids))

    def claim(self, index: int, wanted: Append) -> None:
        """Checks the producer's numbers, claims a place for what is new, moves the mark."""
        if wanted.producer is None:
            self._claim_items(index, wanted, 0, None)
            return
        result = self.results[index]
        row = self._producers.get(wanted.producer.producer_id)
        if row is None or row.epoch != wanted.producer.epoch:
            result.error_reason = Reason.PRODUCER_FENCED
            result.error_message = "another epoch of this producer was opened"
            return
        if row.stream_key != wanted.producer.stream_key:
            result.error_reason = Reason.PRODUCER_SUPERSEDED
            result.error_message = "a newer stream of this producer took over"
            return
        mark = self._marks.get(row.producer_key, row.durable_through_seq)
        result.expected_seq = mark + 1
        if wanted.first_seq > mark + 1:
            result.error_reason = Reason.SEQUENCE_GAP
            result.error_message = (
                f"number {wanted.first_seq} follows {mark}; {mark + 1} is expected"
            )
        elif wanted.loss is not None:
            self._claim_loss(index, wanted, row.producer_key, mark)
        else:
            old_count = min(max(mark + 1 - wanted.first_seq, 0), len(wanted.events))
            if not old_count or self._settle_old(wanted, result, old_count):
                self._claim_items(index, wanted, old_count, row.producer_key)
                last_seq = wanted.first_seq + len(wanted.events) - 1
                self._marks[row.producer_key] = max(mark, last_seq)

    def _claim_items(self, index: int, wanted: Append, start: int, key: int | None) -> None:
        for i in range(start, len(wanted.events)):
            item = wanted.events[i]
            seq = wanted.first_seq + i if wanted.producer else None
            if isinstance(item, Event):
                # Past the named tuple's own constructor, which is written in Python.
                self._claims.append(Claim._make((index, i, key, seq, item)))
            else:
                self._refuse(index, i, item)

    def _claim_loss(self, index: int, wanted: Append, key: int, mark: int) -> None:
        if wanted.loss is None or wanted.loss.last_seq <= mark:
            return
        if wanted.loss.first_seq <= mark:
            # A loss never names a number that was settled otherwise.
            result = self.results[index]
            result.error_reason = Reason.SEQUENCE_REUSED
            result.error_message = f"{wanted.loss.first_seq} is settled; {mark + 1} is expected"
            return
        self._claims.append(Claim(index, 0, key, wanted.loss.last_seq, wanted.loss.event))
        self._marks[key] = wanted.loss.last_seq

    def _settle_old(self, wanted: Append, result: Appended, old_count: int) -> bool:
        """Answers numbers at or below the mark: stored before, or refused before and again. False
        when one was neither: then the number was used for something else."""
        old = wanted.events[:old_count]
        stored = self._writer.contents([item.event_id for item in old if isinstance(item, Event)])
        # A resend may stand right behind the first sending, in the same commit. The first claim
        # of an id is the one that will be stored.
        claimed = {claim.event.event_id: claim.event.body for claim in reversed(self._claims)}
        for i, item in enumerate(old):
            seq = wanted.first_seq + i
            if isinstance(item, Rejection):
                self._settle_old_rejection(wanted, result, i, item)
                continue
            row = stored.get(item.event_id)
            body = row.body if row is not None else claimed.get(item.event_id)
            if row is not None:
                is_same = row.holds(item.body, self._same_content)
            else:
                is_same = body is not None and self._is_same(body, item.body)
            if is_same:
                result.duplicates.add(i)
                if row is not None:
                    result.sequences[i] = row.sequence
                else:
                    self._has_repeats = True
            elif (kept := self._rejection(wanted, seq)) is not None:
                result.rejections[i] = kept
            elif body is not None:
                result.rejections[i] = _reused(item)
            else:
                result.error_reason = Reason.SEQUENCE_REUSED
                result.error_message = f"number {seq} was used for another event"
                return False
        return True

    def _settle_old_rejection(
        self, wanted: Append, result: Appended, i: int, item: Rejection
    ) -> None:
        """Today's rules refuse an old number: it was refused before, or stored under others."""
        kept = self._rejection(wanted, wanted.first_seq + i)
        event_id = _uuid_bytes(item.event_id) if kept is None else None
        row = self._writer.contents([event_id]).get(event_id) if event_id else None
        if row is None:
            result.rejections[i] = kept or item
        else:
            result.sequences[i] = row.sequence
            result.duplicates.add(i)

    def _is_same(self, one: bytes, other: bytes) -> bool:
        return one == other or self._same_content(one, other)

    def _rejection(self, wanted: Append, seq: int) -> Rejection | None:
        """Why that number was refused, in this commit or before."""
        for producer, refused_seq, rejection in self._refused:
            if refused_seq == seq and producer == wanted.producer:
                return rejection
        return kept_rejection(self._writer, wanted.producer, seq)

    # -- which events are new ---------------------------------------------------------------

    def drop_repeats(self) -> None:
        """Settles ids that occur twice in this commit: the later one follows the first."""
        if len({claim.event.event_id for claim in self._claims}) == len(self._claims):
            return
        self._has_repeats = True
        # What the log holds goes before what came first here.
        self.drop_stored()
        first: dict[bytes, Claim] = {}
        for claim in self._claims:
            first.setdefault(claim.event.event_id, claim)
        kept = []
        for claim in self._claims:
            earlier = first[claim.event.event_id]
            if claim is earlier:
                kept.append(claim)
            elif self._is_same(claim.event.body, earlier.event.body):
                self.results[claim.append_index].duplicates.add(claim.item_index)
            else:
                self._refuse_reused(claim)
        self._claims = kept

    def drop_stored(self) -> None:
        """Settles claims whose ids the log holds."""
        stored = self._writer.contents([claim.event.event_id for claim in self._claims])
        kept = []
        for claim in self._claims:
            row = stored.get(claim.event.event_id)
            if row is None:
                kept.append(claim)
            elif row.holds(claim.event.body, self._same_content):
                result = self.results[claim.append_index]
                result.sequences[claim.item_index] = row.sequence
                result.duplicates.add(claim.item_index)
                self._sequences[claim.event.event_id] = row.sequence
            else:
                self._refuse_reused(claim)
        self._claims = kept

    def _refuse_reused(self, claim: Claim) -> None:
        self._refuse(claim.append_index, claim.item_index, _reused(claim.event))

    def _refuse(self, append_index: int, item_index: int, rejection: Rejection) -> None:
        self.results[append_index].rejections[item_index] = rejection
        wanted = self._appends[append_index]
        if wanted.producer is not None:
            self._refused.append(Refused(wanted.producer, wanted.first_seq + item_index, rejection))

    # -- writing ----------------------------------------------------------------------------

    def write(self, now_ns: int, rejected_events_max: int) -> None:
        """Writes everything: events in the order of the claims, gapless; counts and the counter;
        producers' marks; what was refused. Raises IdStored, having written nothing."""
        writer, claims = self._writer, self._claims
        last = writer.last_sequence()
        with writer.together():
            if claims:
                writer.insert(claims, last, now_ns)
                self._count()
                writer.execute(
                    "UPDATE log SET last_sequence = ? WHERE id = 1", (last + len(claims),)
                )
            if self._marks:
                writer.executemany(
                    "UPDATE producers SET durable_through_seq = ? WHERE producer_key = ?",
                    [(mark, key) for key, mark in self._marks.items()],
                )
            if self._refused:
                keep_rejections(writer, self._refused, now_ns, rejected_events_max)
            if claims:
                writer.announce()
        for sequence, claim in enumerate(claims, last + 1):
            self.results[claim.append_index].sequences[claim.item_index] = sequence
        if self._has_repeats:
            self._number_repeats(last)

    def _number_repeats(self, last: int) -> None:
        """Gives repeats within this commit the sequence of the first one, or its rejection."""
        for sequence, claim in enumerate(self._claims, last + 1):
            self._sequences[claim.event.event_id] = sequence
        for result, wanted in zip(self.results, self._appends, strict=True):
            for i in sorted(result.duplicates):
                item = wanted.events[i]
                if result.sequences[i] or not isinstance(item, Event):
                    continue
                if item.event_id in self._sequences:
                    result.sequences[i] = self._sequences[item.event_id]
                else:
                    result.duplicates.discard(i)
                    result.rejections[i] = _reused(item)

    def _count(self) -> None:
        counts: dict[tuple[str, int, str, int], list[int]] = {}
        for claim in self._claims:
            event = claim.event
            group = (event.source, event.environment, event.run_id, event.kind)
            entry = counts.get(group)
            if entry is None:
                entry = counts[group] = [0, 0, 0]
            entry[0] += 1
            entry[1] += len(event.body)
            entry[2] = max(entry[2], event.event_time_ns)
        self._writer.executemany(_COUNT, [(*group, *entry) for group, entry in counts.items()])


def _uuid_bytes(words: str) -> bytes | None:
    try:
        return UUID(words).bytes
    except ValueError:
        return None


def _reused(event: Event) -> Rejection:
    return Rejection(
        str(UUID(bytes=event.event_id)),
        Reason.ID_REUSED,
        (Violation("event_id", "is stored already with other content"),),
        event.body[:4096],
        len(event.body),
    )
