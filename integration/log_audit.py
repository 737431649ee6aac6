#!/usr/bin/env python3
"""An auditor of a coordinator's log that shares nothing with the program: neither code nor language.

    integration/log_audit.py DIR... [--answers FILE]

Written from docs/log_format.md and docs/record_format.md alone. Reads the log of each folder as those pages say, and
everything that is wrong with it is a line and exit code 1. Several folders are copies of one log, oldest first: nothing
that an older one knows may be missing or different in a newer one. FILE has what clients were told, a JSON object in
each line: {"id": "…", "told": "committed" or "aborted"}; the last folder must agree.

Checked: framing, checksums, chain and sequence of batches, the mark; sealed files against the records that refer to
them; every record, byte by byte; every id's tag; that a commit decision is complete (every branch has voted yes or
read-only) and is there once, an END behind its decision, no id in two transactions, outcomes that do not contradict
each other; that epochs, horizon and turns only grow; and that what older segments say was not forgotten.
Only reads, and takes no lock. Use it on a log that nobody writes to, or on a copy of such a one.
"""
import argparse
import base64
import dataclasses
import hashlib
import hmac
import json
import pathlib
import re
import struct
import sys

BLOCK = 4096
HEADER = struct.Struct("<8sII10sHIQQIIQQIIQQ")
BATCH = struct.Struct("<4sIIHBB10sHIQQIIQ")
MARK = struct.Struct("<4sI10sHIQQQ12xI")
FIRST_OF_START, BEGINS_CHECKPOINT, RECYCLED, SEALED = 1, 2, 4, 8
RECORDS, CHECKPOINT, HEARTBEAT, SHUTDOWN = 1, 2, 3, 4
COMMIT, ABORT = 1, 2
YES, NO, READ_ONLY = 1, 2, 3
COMMITTED, ABORTED = 1, 2
OUTCOMES_MAX = 6


class Damage(Exception):
    """The log cannot be read any further."""


def crc_table():
    table = []
    for number in range(256):
        for _ in range(8):
            number = number >> 1 ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


TABLE = crc_table()


def crc32c(data, seed=0):
    crc, table = seed ^ 0xFFFFFFFF, TABLE
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


# ---- framing

@dataclasses.dataclass
class Batch:
    at: int
    kind: int
    complete: bool
    epoch: int
    number: int
    lsn: int
    crc: int
    durable: int
    records: list
    body: bytes  # from byte 64 to the end

    @property
    def end_lsn(self):
        return self.lsn + len(self.records)


@dataclasses.dataclass
class Segment:
    path: pathlib.Path
    data: bytes
    flags: int
    incarnation: bytes
    epoch: int
    index: int
    salt: int
    first_batch: int
    first_lsn: int
    old_epoch: int
    old_crc: int
    old_segment: int
    acknowledged: int
    batches: list = dataclasses.field(default_factory=list)
    problem: str = ""  # what is wrong behind the last valid batch

    @property
    def end(self):
        """Number, LSN and previous CRC of what must come next."""
        if not self.batches:
            return self.first_batch, self.first_lsn, self.old_crc
        last = self.batches[-1]
        return last.number + 1, last.end_lsn, last.crc


def read_header(path, number):
    data = path.read_bytes()
    if len(data) < BLOCK:
        raise Damage(f"{path.name}: shorter than its header")
    (magic, version, flags, incarnation, zero, epoch, index, size, salt, block, batch, lsn,
     old_epoch, old_crc, old_segment, acknowledged) = HEADER.unpack_from(data)
    if magic != b"TWFDWAL1" or version != 1:
        raise Damage(f"{path.name}: magic or version")
    if crc32c(data[:BLOCK - 4]) != struct.unpack_from("<I", data, BLOCK - 4)[0]:
        raise Damage(f"{path.name}: checksum of the header")
    if index != number:
        raise Damage(f"{path.name}: its header says number {index}")
    if size != len(data) or size % BLOCK or size < 2 * BLOCK or block != BLOCK:
        raise Damage(f"{path.name}: {len(data)} bytes, its header says {size} in blocks of {block}")
    if zero or any(data[HEADER.size:BLOCK - 4]) or flags & ~15:
        raise Damage(f"{path.name}: reserved bytes of the header are not 0")
    if epoch == 0 or (not flags & SEALED and acknowledged >= lsn):
        raise Damage(f"{path.name}: epoch or acknowledged LSN")
    return Segment(path, data, flags, incarnation, epoch, index, salt, batch, lsn,
                   old_epoch, old_crc, old_segment, acknowledged)


def batch_at(segment, at):
    """The batch that begins there, or None when there is no valid one: it may continue the log or not."""
    data = segment.data
    (magic, crc, length, version, kind, flags, incarnation, zero, epoch, number, lsn, count, chain,
     durable) = BATCH.unpack_from(data, at)
    if magic != b"TWFB" or not BATCH.size <= length <= len(data) - at:
        return None
    if crc32c(data[at + 8:at + length], segment.salt) != crc:
        return None
    where = f"{segment.path.name} at {at}"
    if version != 1 or not RECORDS <= kind <= SHUTDOWN or zero or flags & ~1 or (flags and kind != CHECKPOINT):
        raise Damage(f"{where}: version, kind or flags of a batch")
    records, position = [], at + BATCH.size
    for _ in range(count):
        if position + 4 > at + length:
            raise Damage(f"{where}: records do not fit into their batch")
        size, = struct.unpack_from("<I", data, position)
        records.append(data[position + 4:position + 4 + size])
        position += 4 + size
    if position != at + length or (kind >= HEARTBEAT and records):
        raise Damage(f"{where}: records do not fill their batch")
    if incarnation != segment.incarnation:
        raise Damage(f"{where}: a batch of another log")
    batch = Batch(at, kind, bool(flags & 1), epoch, number, lsn, crc, durable, records,
                  data[at + BATCH.size:at + length])
    batch.chain = chain
    return batch


def read_batches(segment):
    at, size = BLOCK, len(segment.data)
    durable = segment.acknowledged
    while at < size:
        batch = batch_at(segment, at)
        if batch is None:
            break
        number, lsn, chain = segment.end
        if (batch.epoch, batch.number, batch.lsn, batch.chain) != (segment.epoch, number, lsn, chain):
            raise Damage(f"{segment.path.name} at {at}: a valid batch that does not continue the log")
        if not durable <= batch.durable < batch.lsn:
            raise Damage(f"{segment.path.name} at {at}: the durable LSN goes back or is ahead of the batch")
        if segment.batches and segment.batches[-1].kind == SHUTDOWN:
            raise Damage(f"{segment.path.name} at {at}: a batch behind the clean shutdown")
        durable = batch.durable
        segment.batches.append(batch)
        at = (at + BATCH.size + len(batch.body) + BLOCK - 1) // BLOCK * BLOCK
    for later in range(at + BLOCK, size, BLOCK):
        if segment.data[later:later + 4] == b"TWFB" and valid_later(segment, later):
            segment.problem = f"{segment.path.name}: a valid batch at {later} behind an unreadable one at {at}"
            break


def valid_later(segment, at):
    try:
        return batch_at(segment, at) is not None
    except Damage:
        return True  # its checksum is right


def read_mark(folder):
    """(epoch, batch, segment, lsn, clean, incarnation) of the newer good slot, or None."""
    path = folder / "durable.mark"
    data = path.read_bytes() if path.exists() else b""
    best = None
    for at in (0, 512):
        if len(data) < at + MARK.size:
            continue
        magic, version, incarnation, flags, epoch, segment, batch, lsn, crc = MARK.unpack_from(data, at)
        if magic == b"TWFM" and version == 1 and crc == crc32c(data[at:at + 60]):
            slot = (epoch, batch, segment, lsn, bool(flags & 1), incarnation)
            best = max(best, slot) if best else slot
    return best


class Log:
    """One folder, read as docs/log_format.md says under "Reading"."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.segments = self.list_segments()
        self.incarnation = self.segments[0].incarnation if self.segments else b""
        self.epoch = max((one.epoch for one in self.segments), default=0)
        self.mark = read_mark(self.folder)
        self.records = []       # (lsn, payload, batch kind) of the state
        self.state_epoch = 0    # of the start that the state is of
        self.end_lsn = 1
        if self.segments:
            self.find_state()
            self.compare_mark()
        elif self.mark:
            raise Damage("there is a mark but no segment")

    def list_segments(self):
        numbered = []
        for path in self.folder.iterdir():
            if path.name.startswith("segment-") or path.name.endswith(".wal"):
                match = re.fullmatch(r"(segment|sealed)-(\d{20})\.wal", path.name)
                if not match:
                    raise Damage(f"{path.name}: no name of a segment or sealed file")
                if match[1] == "segment":
                    numbered.append((int(match[2]), path))
        segments = [read_header(path, number) for number, path in sorted(numbered)]
        for before, after in zip(segments, segments[1:]):
            if after.incarnation != before.incarnation:
                raise Damage(f"{after.path.name}: of another log")
            if after.epoch < before.epoch:
                raise Damage(f"{after.path.name}: an older epoch than the segment before")
        for one in segments:
            if one.flags & SEALED:
                raise Damage(f"{one.path.name}: a sealed file under a segment's name")
        return segments

    def find_state(self):
        epoch, acknowledged = self.epoch, 0
        while True:
            start = [one for one in self.segments if one.epoch == epoch]
            if not start:
                raise Damage(f"the segments of epoch {epoch} are missing")
            for first in reversed([at for at, one in enumerate(start) if one.flags & BEGINS_CHECKPOINT]):
                if self.follow(start[first:]):
                    self.state_epoch = epoch
                    if self.end_lsn - 1 < acknowledged:
                        raise Damage(f"a later start knew LSN {acknowledged}, the log ends at {self.end_lsn - 1}")
                    return
            # It died in its first checkpoint: what it had read is the log.
            if not start[0].flags & FIRST_OF_START:
                raise Damage(f"epoch {epoch} has no checkpoint and does not begin here")
            epoch, acknowledged = start[0].old_epoch, max(acknowledged, start[0].acknowledged)
            if epoch == 0:
                return  # the log was empty

    def follow(self, chain):
        """True when there is a complete checkpoint in it; then the state is in self.records."""
        live, building, before = None, None, None
        for segment in chain:
            if not segment.batches and not segment.problem:
                read_batches(segment)
            if before:
                self.compare_neighbours(before, segment)
            for batch in segment.batches:
                numbered = [(lsn, record, batch.kind) for lsn, record in enumerate(batch.records, batch.lsn)]
                if batch.kind == CHECKPOINT:
                    if building is None or (segment.flags & BEGINS_CHECKPOINT and batch is segment.batches[0]):
                        building = []
                    building += numbered
                    if batch.complete:
                        live, building = building, None
                elif building is not None:
                    raise Damage(f"{segment.path.name} at {batch.at}: a batch inside of an unfinished checkpoint")
                elif live is not None:
                    live += numbered
            before = segment
        if live is None:
            return False
        if before.problem:
            raise Damage(before.problem)
        self.records, (self.end_batch, self.end_lsn, _) = live, before.end
        self.clean = bool(before.batches) and before.batches[-1].kind == SHUTDOWN
        return True

    @staticmethod
    def compare_neighbours(before, segment):
        name = segment.path.name
        if segment.index != before.index + 1:
            raise Damage(f"{name}: the segment before it is missing")
        if before.problem:
            raise Damage(before.problem)
        if (segment.first_batch, segment.first_lsn, segment.old_crc) != before.end:
            raise Damage(f"{before.path.name}: an unreadable batch at its end, {name} knows of it")
        if (segment.old_epoch, segment.old_segment) != (before.epoch, before.index) and before.batches:
            raise Damage(f"{name}: names another batch as the one before")
        if segment.flags & FIRST_OF_START:
            raise Damage(f"{name}: says that a start begins in the middle of one")
        if before.batches and before.batches[-1].kind == SHUTDOWN and segment.batches:
            raise Damage(f"{name}: batches behind the clean shutdown")

    def compare_mark(self):
        if not self.mark:
            return
        epoch, batch, _, lsn, clean, incarnation = self.mark
        if incarnation != self.incarnation:
            raise Damage("durable.mark: of another log")
        if epoch > self.state_epoch:
            raise Damage(f"durable.mark: names epoch {epoch}, the newest complete start is {self.state_epoch}")
        if lsn > self.end_lsn - 1 or (epoch == self.state_epoch and batch >= self.end_batch):
            raise Damage(f"durable.mark: batch {batch} with LSN {lsn} was durable and is not there")
        if epoch == self.state_epoch and clean and not self.clean:
            raise Damage("durable.mark: tells of a clean shutdown that is missing")

    def older_records(self):
        """Records of kind 1 in all segments, also in those that a checkpoint has replaced."""
        for segment in self.segments:
            try:
                if not segment.batches:
                    read_batches(segment)
            except Damage:
                pass  # what is older than the checkpoint in use may be damaged
            for batch in segment.batches:
                if batch.kind == RECORDS:
                    yield from ((lsn, record) for lsn, record in enumerate(batch.records, batch.lsn))

    def sealed_file(self, number):
        path = self.folder / f"sealed-{number:020}.wal"
        if not path.exists():
            raise Damage(f"{path.name}: missing, a checkpoint refers to it")
        file = read_header(path, number)
        zeros = (file.old_epoch, file.old_crc, file.old_segment, file.acknowledged)
        if file.flags != SEALED or (file.first_batch, file.first_lsn) != (1, 1) or any(zeros):
            raise Damage(f"{path.name}: header of a sealed file")
        if file.incarnation != self.incarnation or file.epoch > self.epoch:
            raise Damage(f"{path.name}: of another log, or of a later start")
        batch = batch_at(file, BLOCK)
        if batch is None or (batch.kind, batch.complete, batch.number, batch.epoch) != (CHECKPOINT, True, 1, file.epoch):
            raise Damage(f"{path.name}: its batch")
        if len(file.data) != BLOCK + (BATCH.size + len(batch.body) + BLOCK - 1) // BLOCK * BLOCK:
            raise Damage(f"{path.name}: does not end with its batch")
        return path.name, batch


# ---- records

@dataclasses.dataclass
class Record:
    kind: str
    fields: dict

    def __getattr__(self, name):
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None


class Fields:
    """Reads fields without padding; anything that is not in the page is damage."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, size):
        if self.at + size > len(self.data):
            raise Damage("a record that is too short")
        self.at += size
        return self.data[self.at - size:self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "little")

    def within(self, low, high):
        value = self.number(1)
        if not low <= value <= high:
            raise Damage(f"a value of {value}, which must be {low} to {high}")
        return value

    def flag(self):
        return self.within(0, 1)

    def string(self):
        try:
            return self.take(self.number(4)).decode()
        except UnicodeDecodeError:
            raise Damage("a string that is not UTF-8") from None

    def id(self):
        return Id(self.take(36))

    def idempotency(self):
        return self.take(16), self.take(16)

    def position(self):
        return self.number(4), self.number(8)

    def identity(self):
        return self.string(), tuple(self.string() for _ in range(self.number(1)))

    def proof(self):
        return (self.number(8), self.number(4), self.number(8), self.flag()) if self.flag() else None

    def settled_key(self):
        key, position, participant, committed = self.idempotency(), self.position(), self.number(2), self.flag()
        return key, position, participant, committed, "" if committed else self.string()

    def members(self):
        found = []
        for _ in range(self.number(2)):
            id_, key = self.id(), self.idempotency() if self.flag() else None
            found.append((id_, key, [(self.string(), self.string()) for _ in range(self.number(2))]))
        return found

    def branches(self):
        found = []
        for _ in range(self.number(2)):
            found.append(dict(branch=self.number(2), attempt=self.number(2), participant=self.number(2),
                              uuid=self.take(16), identity=self.identity(), epoch=self.number(4),
                              vote=self.within(1, 3), proof=self.proof()))
        return found


class Id:
    """A transaction id. Big-endian inside."""

    def __init__(self, data):
        self.data = bytes(data)
        version, flags = data[0], data[1]
        self.incarnation = data[2:12]
        self.epoch = int.from_bytes(data[12:16], "big")
        self.sequence = int.from_bytes(data[16:22], "big")
        self.participant = int.from_bytes(data[22:24], "big")
        if version != 1 or flags or self.sequence == 0:
            raise Damage(f"no transaction id: {data.hex()}")

    @property
    def position(self):
        return self.epoch, self.sequence

    def __str__(self):
        return base64.urlsafe_b64encode(self.data).decode()

    def __eq__(self, other):
        return self.data == other.data

    def __hash__(self):
        return hash(self.data)


def r_epoch(f, version):
    fields = dict(incarnation=f.take(10), epoch=f.number(4), key=f.take(32))
    if version == 2 and f.number(2) == 65535:
        raise Damage("a participant number that cannot be")
    return fields


def r_participant(f, version):
    fields = dict(number=f.number(2), uuid=f.take(16), name=f.string(), identity=f.identity(), retired=f.flag())
    if version == 2:
        fields["decided"] = [f.string() for _ in range(f.number(2))]
    return fields


def r_decision(f, _):
    return dict(group=f.id(), decision=f.within(1, 2), members=f.members(), branches=f.branches(), reason=f.string())


def r_outcomes(f, _):
    fields = dict(epoch=f.number(4), first=f.number(8), size=f.number(4))
    if fields["first"] % 8:
        raise Damage("outcomes that do not begin at a multiple of 8")
    return dict(fields, bits=f.take(len(f.data) - f.at))


def r_branch_outcome(f, _):
    return dict(group=f.id(), branch=f.number(2), attempt=f.number(2), participant=f.number(2),
                outcome=f.within(0, OUTCOMES_MAX), evidence=f.string(), by_operator=f.flag())


def r_keys(f, _):
    return dict(generation=f.number(4), keys=[f.settled_key() for _ in range(f.number(2))])


def r_sealed(f, _):
    return dict(number=f.number(8), generation=f.number(4), keys=f.number(4), crc=f.number(4))


def r_restore(f, _):
    return dict(accepted=f.flag(), participant=f.number(2), epoch=f.number(4), position=f.number(8),
                code=f.string(), reason=f.string())


RECORD_TYPES = {
    1: ("epoch", r_epoch, 2),
    2: ("participant", r_participant, 2),
    3: ("preparing", lambda f, _: dict(group=f.id(), members=f.members(), branches=f.branches()), 1),
    4: ("decision", r_decision, 1),
    5: ("end", lambda f, _: dict(group=f.id(), outcome=f.within(0, OUTCOMES_MAX)), 1),
    6: ("outcomes", r_outcomes, 1),
    7: ("horizon", lambda f, _: dict(position=f.position()), 1),
    8: ("branch_outcome", r_branch_outcome, 1),
    9: ("given_up", lambda f, _: dict(participant=f.number(2), position=f.position()), 1),
    10: ("position", lambda f, _: dict(participant=f.number(2), timeline=f.number(4), value=f.number(8)), 1),
    11: ("idempotent_abort", lambda f, _: dict(id=f.id(), key=f.idempotency(), reason=f.string()), 1),
    12: ("acknowledged", lambda f, _: dict(id=f.id(), reason=f.string()), 1),
    13: ("keys", r_keys, 1),
    14: ("sealed", r_sealed, 1),
    15: ("key_turn", lambda f, _: dict(generation=f.number(4)), 1),
    16: ("restore", r_restore, 1),
    17: ("sealed_outcomes", lambda f, _: dict(number=f.number(8), newest=f.position(), committed=f.number(4),
                                              crc=f.number(4)), 1),
    18: ("outcome_turn", lambda f, _: dict(number=f.number(4), position=f.position()), 1),
}


def decode(payload):
    fields = Fields(payload)
    kind, version = fields.number(1), fields.number(1)
    if kind not in RECORD_TYPES:
        raise Damage(f"a record of unknown type {kind}")
    name, reader, newest = RECORD_TYPES[kind]
    if not 1 <= version <= newest:
        raise Damage(f"a record {name} of version {version}")
    record = Record(name, reader(fields, version))
    if fields.at != len(payload):
        raise Damage(f"a record {name} that is too long")
    return record


# ---- meaning

class Audit:
    """What the records of one log say together. Findings are sentences."""

    def __init__(self, log):
        self.log = log
        self.findings = []
        self.keys_of_epochs = {}
        self.epoch = 0
        self.horizon = (0, 0)
        self.generation = 0
        self.outcome_turn = (0, (0, 0))
        self.committed = set()   # positions
        self.aborted = set()
        self.decisions = {}      # group -> decision
        self.ended = set()
        self.odd = set()           # positions that did not end everywhere as decided
        self.odd_branches = set()  # groups of branches that did not
        self.groups = {}         # position -> group
        self.participants = {}
        self.sealed_numbers = set()
        self.settled = []
        self.ids = set()
        for lsn, payload, kind in log.records:
            self.take(f"LSN {lsn}", payload, kind == CHECKPOINT)
        self.check_whole()

    def find(self, where, what):
        self.findings.append(f"{where}: {what}")

    def take(self, where, payload, in_checkpoint):
        try:
            record = decode(payload)
        except Damage as damage:
            self.find(where, str(damage))
            return
        handler = getattr(self, "on_" + record.kind, None)
        if handler:
            handler(where, record, in_checkpoint)

    def on_epoch(self, where, record, in_checkpoint):
        if record.incarnation != self.log.incarnation:
            self.find(where, "an epoch of another log")
        if record.epoch <= self.epoch:
            self.find(where, f"epoch {record.epoch} behind epoch {self.epoch}")
        if not in_checkpoint and record.epoch != self.log.state_epoch:
            self.find(where, f"epoch {record.epoch} in a start of epoch {self.log.state_epoch}")
        self.epoch = max(self.epoch, record.epoch)
        self.keys_of_epochs[record.epoch] = record.key

    def on_participant(self, where, record, _):
        before = self.participants.get(record.number)
        if before and before.name != record.name:
            self.find(where, f"participant number {record.number} is {before.name} and {record.name}")
        self.participants[record.number] = record

    def take_members(self, where, record):
        if not record.members:
            self.find(where, f"{record.kind} of no transaction")
        for id_, _, _ in record.members:
            self.ids.add(id_)
            known = self.groups.setdefault(id_.position, record.group)
            if known != record.group:
                self.find(where, f"{id_} is in two transactions, {known} and {record.group}")
        for branch in record.branches:
            if branch["participant"] not in self.participants:
                self.find(where, f"{record.group}: nobody has participant number {branch['participant']}")

    def on_preparing(self, where, record, _):
        self.take_members(where, record)
        if not record.branches:
            self.find(where, f"{record.group}: nothing is prepared")

    def on_decision(self, where, record, _):
        self.take_members(where, record)
        if record.group in self.decisions:
            self.find(where, f"{record.group} is decided twice")
        self.decisions[record.group] = record
        positions = {id_.position for id_, _, _ in record.members}
        if record.decision == ABORT:
            self.aborted |= positions
            return
        self.committed |= positions
        if not record.branches:
            self.find(where, f"{record.group}: a commit of no branch")
        names = [(branch["branch"], branch["attempt"]) for branch in record.branches]
        if len(set(names)) != len(names):
            self.find(where, f"{record.group}: a branch occurs twice in its decision")
        for branch in record.branches:
            if branch["vote"] == NO:
                self.find(where, f"{record.group}: committed, though branch {branch['branch']} has voted no")

    def on_end(self, where, record, _):
        decision = self.decisions.get(record.group)
        odd = record.outcome > ABORTED
        if odd:
            self.odd.add(record.group.position)
        if odd and record.group not in self.odd_branches:
            self.find(where, f"END of {record.group} is odd, and none of its branches is")
        if record.group in self.ended:
            self.find(where, f"{record.group} has two ENDs")
        self.ended.add(record.group)
        if decision is None and not odd and record.outcome != ABORTED:
            self.find(where, f"END of {record.group}, which was not decided")
        if decision and record.outcome in (COMMITTED, ABORTED):
            if (decision.decision == COMMIT) != (record.outcome == COMMITTED):
                self.find(where, f"END of {record.group} says the opposite of its decision")

    def on_branch_outcome(self, where, record, _):
        self.odd_branches.add(record.group)
        self.ids.add(record.group)

    def on_outcomes(self, where, record, _):
        for number, byte in enumerate(record.bits):
            for bit in range(8):
                if byte >> bit & 1:
                    self.committed.add((record.epoch, record.first + 8 * number + bit))
        if (record.epoch, 0) in self.committed:
            self.find(where, "an outcome of sequence 0")
        if len(record.bits) != record.size:
            self.find(where, f"outcomes of size {record.size} in {len(record.bits)} bytes")

    def on_horizon(self, where, record, _):
        if record.position < self.horizon:
            self.find(where, f"the horizon goes back from {self.horizon} to {record.position}")
        self.horizon = max(self.horizon, record.position)

    def on_idempotent_abort(self, where, record, _):
        self.ids.add(record.id)
        self.aborted.add(record.id.position)

    def on_keys(self, where, record, _):
        self.settled += [(where, key) for key in record.keys]

    def on_key_turn(self, where, record, _):
        if record.generation < self.generation:
            self.find(where, f"key generation {record.generation} behind {self.generation}")
        self.generation = max(self.generation, record.generation)

    def on_outcome_turn(self, where, record, _):
        if record.number <= self.outcome_turn[0] and self.outcome_turn[0] or record.position < self.outcome_turn[1]:
            self.find(where, f"outcome turn {record.number} at {record.position} behind {self.outcome_turn}")
        self.outcome_turn = (record.number, record.position)

    def open_sealed(self, where, record, expected):
        """The records of the file, or none; `expected` is the only kind that it may have."""
        if record.number in self.sealed_numbers:
            self.find(where, f"sealed file {record.number} is referred to twice")
        self.sealed_numbers.add(record.number)
        try:
            name, batch = self.log.sealed_file(record.number)
            if crc32c(batch.body) != record.crc:
                raise Damage(f"{name}: other content than its reference says")
            records = [decode(payload) for payload in batch.records]
        except Damage as damage:
            self.find(where, str(damage))
            return []
        if any(one.kind != expected for one in records):
            self.find(where, f"{name}: holds other records than {expected}")
        return [(f"{where}, {name}", one) for one in records if one.kind == expected]

    def on_sealed(self, where, record, _):
        count = 0
        for place, one in self.open_sealed(where, record, "keys"):
            count += len(one.keys)
            if one.generation > record.generation:
                self.find(place, "keys of a later generation than the reference says")
            self.on_keys(place, one, True)
        if count != record.keys:
            self.find(where, f"sealed file {record.number} has {count} keys, its reference says {record.keys}")

    def on_sealed_outcomes(self, where, record, _):
        before, self.committed = self.committed, set()
        for place, one in self.open_sealed(where, record, "outcomes"):
            self.on_outcomes(place, one, True)
        inside, self.committed = self.committed, before | self.committed
        if (len(inside), max(inside, default=(0, 0))) != (record.committed, record.newest):
            self.find(where, f"sealed file {record.number} has {len(inside)} commits up to {max(inside, default=None)}, "
                             f"its reference says {record.committed} up to {record.newest}")

    def check_whole(self):
        for position in sorted(self.committed & self.aborted):
            self.find("state", f"transaction {position} is committed and aborted")
        if self.log.records and self.epoch != self.log.state_epoch:
            if self.epoch > self.log.state_epoch:
                self.find("state", f"epoch {self.epoch} in a log of epoch {self.log.state_epoch}")
        for position in self.committed | self.aborted:
            if position[0] > self.log.state_epoch:
                self.find("state", f"transaction {position} of an epoch that has not begun")
        for id_ in self.ids:
            self.check_id(id_)
        for where, (_, position, participant, committed, _) in self.settled:
            if participant or position < self.horizon or position in self.odd:
                continue  # only the participant knows, or nobody any more, or a person must look
            if bool(committed) != (position in self.committed):
                self.find(where, f"a key says {'committed' if committed else 'aborted'} of {position}, the outcomes do not")
        self.check_older()

    def check_id(self, id_):
        if id_.incarnation != self.log.incarnation:
            self.find(str(id_), "an id of another log")
        key = self.keys_of_epochs.get(id_.epoch)
        if key is None:
            self.find(str(id_), f"nobody knows the key of epoch {id_.epoch}")
        elif not self.genuine(id_, key):
            self.find(str(id_), "its tag is not right")

    @staticmethod
    def genuine(id_, key):
        return hmac.new(key, id_.data[:24], hashlib.sha256).digest()[:12] == id_.data[24:]

    def check_older(self):
        """What was decided in segments that a checkpoint has replaced must still be known."""
        for lsn, payload in self.log.older_records():
            try:
                record = decode(payload)
            except Damage as damage:
                self.find(f"LSN {lsn}", f"in an older segment: {damage}")
                continue
            if record.kind != "decision":
                continue
            for id_, _, _ in record.members:
                known = id_.position in self.committed
                if record.decision == COMMIT and not known and id_.position >= self.horizon:
                    self.find(f"LSN {lsn}", f"the commit of {id_} is forgotten")
                if record.decision == ABORT and known:
                    self.find(f"LSN {lsn}", f"{id_} was aborted, and is committed now")

    # ---- against others

    def compare_earlier(self, before):
        if not before.log.segments:
            return
        if before.log.incarnation != self.log.incarnation:
            self.find("copies", "of different logs")
            return
        for what in ("epoch", "horizon", "generation", "outcome_turn"):
            if getattr(self, what) < getattr(before, what):
                self.find("copies", f"{what} goes back from {getattr(before, what)} to {getattr(self, what)}")
        if self.log.end_lsn < before.log.end_lsn:
            self.find("copies", f"the log ended at LSN {before.log.end_lsn - 1} and now does at {self.log.end_lsn - 1}")
        for position in sorted(before.committed - self.committed):
            if position >= self.horizon:
                self.find("copies", f"the commit of {position} is forgotten")
        for position in sorted(before.aborted & self.committed):
            self.find("copies", f"{position} was aborted, and is committed now")
        for epoch, key in before.keys_of_epochs.items():
            if self.keys_of_epochs.get(epoch, key) != key:
                self.find("copies", f"the key of epoch {epoch} has changed")

    def compare_answers(self, path):
        """How many answers were compared, and how many cannot be: one-phase or expired."""
        compared = skipped = 0
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                answer = json.loads(line)
                id_ = Id(base64.urlsafe_b64decode(answer["id"]))
                self.check_id(id_)
                if id_.participant or id_.position < self.horizon:
                    skipped += 1
                    continue
                compared += 1
                if (answer["told"] == "committed") != (id_.position in self.committed):
                    self.find(answer["id"], f"a client was told {answer['told']}, the log says otherwise")
        return compared, skipped


def audit(folders, answers=None):
    """(findings, summary)"""
    newest, findings = None, []
    for folder in folders:
        try:
            current = Audit(Log(folder))
        except Damage as damage:
            return findings + [f"{folder}: {damage}"], ""
        if newest:
            current.compare_earlier(newest)
        newest = current
        findings += [f"{folder}: {one}" for one in current.findings]
        current.findings = []
    compared = skipped = 0
    if answers:
        compared, skipped = newest.compare_answers(answers)
        findings += newest.findings
    summary = (f"copies={len(folders)} epoch={newest.epoch} records={len(newest.log.records)} "
               f"commits={len(newest.committed)} decisions={len(newest.decisions)} sealed={len(newest.sealed_numbers)} "
               f"answers={compared} not_in_log={skipped}")
    return findings, summary


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folders", nargs="+", metavar="DIR")
    parser.add_argument("--answers", metavar="FILE")
    options = parser.parse_args()
    for folder in options.folders:
        if not pathlib.Path(folder).is_dir():
            print(f"log_audit: FAILED {folder} is no folder")
            return 1
    findings, summary = audit(options.folders, options.answers)
    for one in findings[:20]:
        print(f"log_audit: {one}")
    if findings:
        print(f"log_audit: FAILED findings={len(findings)}")
        return 1
    print(f"log_audit: ok {summary}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
