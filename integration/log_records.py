"""Records of a coordinator's log, decoded byte by byte as docs/record_format.md describes them.

A part of the auditor (log_audit.py); written from that page alone.
"""
import base64
import dataclasses

from log_frames import Damage

COMMIT, ABORT = 1, 2
YES, NO, READ_ONLY = 1, 2, 3
COMMITTED, ABORTED = 1, 2
OUTCOMES_MAX = 6




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
