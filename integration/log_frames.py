"""Files, segments, batches and sealed files of a coordinator's log, read as docs/log_format.md describes them.

A part of the auditor (log_audit.py); written from that page alone.
"""
import dataclasses
import pathlib
import re
import struct

BLOCK = 4096
HEADER = struct.Struct("<8sII10sHIQQIIQQIIQQ")
BATCH = struct.Struct("<4sIIHBB10sHIQQIIQ")
MARK = struct.Struct("<4sI10sHIQQQQ4xI")
FIRST_OF_START, BEGINS_CHECKPOINT, RECYCLED, SEALED = 1, 2, 4, 8
RECORDS, CHECKPOINT, HEARTBEAT, SHUTDOWN = 1, 2, 3, 4


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


@dataclasses.dataclass
class Batch:
    at: int
    kind: int
    complete: bool
    epoch: int
    number: int
    lsn: int
    crc: int
    chain: int  # CRC of the batch before
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
    return Batch(at, kind, bool(flags & 1), epoch, number, lsn, crc, chain, durable, records,
                 data[at + BATCH.size:at + length])


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
    """(epoch, batch, segment, lsn, newest segment, clean, incarnation) of the newer good slot, or None."""
    path = folder / "durable.mark"
    data = path.read_bytes() if path.exists() else b""
    best = None
    for at in (0, 512):
        if len(data) < at + MARK.size:
            continue
        magic, version, incarnation, flags, epoch, segment, batch, lsn, newest, crc = MARK.unpack_from(data, at)
        if magic == b"TWFM" and version == 1 and crc == crc32c(data[at:at + 60]):
            slot = (epoch, batch, segment, lsn, newest, bool(flags & 1), incarnation)
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
        epoch, batch, _, lsn, newest, clean, incarnation = self.mark
        if incarnation != self.incarnation:
            raise Damage("durable.mark: of another log")
        if newest > self.segments[-1].index:
            raise Damage(f"durable.mark: segment {newest} had its name and is missing")
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
        wanted = (CHECKPOINT, True, 1, file.epoch)
        if batch is None or (batch.kind, batch.complete, batch.number, batch.epoch) != wanted:
            raise Damage(f"{path.name}: its batch")
        if len(file.data) != BLOCK + (BATCH.size + len(batch.body) + BLOCK - 1) // BLOCK * BLOCK:
            raise Damage(f"{path.name}: does not end with its batch")
        return path.name, batch
