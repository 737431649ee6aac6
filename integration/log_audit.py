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
import hashlib
import hmac
import json
import pathlib
import sys

from log_frames import CHECKPOINT, Damage, Log, crc32c
from log_records import ABORT, ABORTED, COMMIT, COMMITTED, NO, Id, decode


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
            newest = max(inside, default=None)
            self.find(where, f"sealed file {record.number} has {len(inside)} commits up to {newest}, "
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
                said = "committed" if committed else "aborted"
                self.find(where, f"a key says {said} of {position}, the outcomes do not")
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
