#!/usr/bin/env python3
"""The log auditor accepts logs that the real program made, and refuses damaged and forged ones.

    integration/log_audit_test.py build/dev/bin/twofold

A coordinator and two participants on SQLite run transactions under load; the coordinator is killed in the middle,
again and again; copies of its log and what clients were told must pass. Then each thing that the auditor looks for is
planted: as damage of bytes, and in logs that were written anew with right checksums.
"""
import base64
import concurrent.futures
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

import log_audit
from log_frames import BLOCK, CHECKPOINT, HEADER, RECORDS, Log, crc32c

PATIENCE = 90.0
KILLS = 4
KEYS = 8300  # more than fit into one sealed file


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


# ---- the real program

class System:
    def __init__(self, program, folder):
        self.program, self.folder = os.path.abspath(program), pathlib.Path(folder)
        self.ports = {name: free_port() for name in ("coordinator", "north", "south")}
        self.processes, self.answers, self.number = {}, [], 0
        for name in ("north", "south"):
            path = self.folder / f"{name}.db"
            with sqlite3.connect(path) as database:
                database.execute("CREATE TABLE done (number INTEGER NOT NULL PRIMARY KEY)")
                database.execute("INSERT INTO done VALUES (0)")
            os.chmod(path, 0o600)
            self.write(name, f"name: {name}\nlisten: 127.0.0.1:{self.ports[name]}\n"
                       f"coordinators: [\"{self.url('coordinator')}\"]\ninquiry_interval: 300ms\nin_doubt_age: 300ms\n"
                       f"raw_sql: true\nsqlite: {{path: {path}}}\n")
        entries = "".join(f"  - {{name: {name}, url: \"{self.url(name)}\"}}\n" for name in ("north", "south"))
        self.write("coordinator", f"listen: 127.0.0.1:{self.ports['coordinator']}\ndata_dir: {self.log}\n"
                   "info_interval: 300ms\nretry_max: 300ms\n"
                   "log: {segment_size_bytes: 65536, checkpoint_bytes: 262144}\n"
                   f"participants:\n{entries}")
        for name in ("north", "south", "coordinator"):
            self.start(name)

    @property
    def log(self):
        return self.folder / "log"

    def url(self, name):
        return f"http://127.0.0.1:{self.ports[name]}"

    def write(self, name, text):
        (self.folder / f"{name}.yaml").write_text(text, encoding="utf-8")

    def start(self, name):
        role = "coordinator" if name == "coordinator" else "participant"
        with open(self.folder / f"{name}.log", "ab") as output:
            self.processes[name] = subprocess.Popen(
                [self.program, role, "--config", self.folder / f"{name}.yaml"], stdout=output, stderr=output)
        end = time.monotonic() + PATIENCE
        while not self.ready(name):
            if time.monotonic() > end or self.processes[name].poll() is not None:
                raise SystemExit(f"log_audit_test: {name} did not start:\n" + (self.folder / f"{name}.log").read_text())
            time.sleep(0.02)

    def ready(self, name):
        """The participants are usable too, for a coordinator."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=5)
            connection.request("GET", "/v1/participants" if name == "coordinator" else "/readyz")
            reply = connection.getresponse()
            body = reply.read()
        except OSError:
            return False
        return reply.status == 200 and (name != "coordinator" or all(
            one["up"] and one["number"] for one in json.loads(body)["participants"]))

    def kill(self, name):
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait()

    def stop(self):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def run(self, requests):
        """Several clients at once; what they were told is added to the answers."""
        def client(mine):
            connection, told = http.client.HTTPConnection("127.0.0.1", self.ports["coordinator"], timeout=30), []
            for number, fails, key in mine:
                values = (0 if fails else number, number)
                branches = [{"participant": name, "work": [{"sql": "INSERT INTO done VALUES (?)", "params": [value]}]}
                            for name, value in zip(("north", "south"), values)]
                headers = {"Content-Type": "application/json", **({"Idempotency-Key": f"key-{number}"} if key else {})}
                try:
                    connection.request("POST", "/v1/transactions", json.dumps({"branches": branches}), headers)
                    reply = connection.getresponse()
                    body = json.loads(reply.read())
                except (OSError, http.client.HTTPException, ValueError):
                    connection.close()
                    time.sleep(0.01)
                    continue
                if reply.status == 200:
                    told.append({"id": body["id"], "told": "committed"})
                elif body.get("code") == "transaction_aborted":
                    told.append({"id": body["transaction_id"], "told": "aborted"})
            return told

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for told in pool.map(client, [requests[at::8] for at in range(8)]):
                self.answers += told

    def requests(self, count, fails, keyed):
        first, self.number = self.number + 1, self.number + count
        return [(number, fails(number), keyed(number)) for number in range(first, first + count)]


def make_logs(system, folder):
    """Copies of the log of a coordinator that was killed under load, oldest first."""
    copies = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        for kill in range(KILLS):
            load = pool.submit(system.run, system.requests(150, lambda n: n % 7 == 0, lambda n: n % 3 == 0))
            time.sleep(0.3 + 0.2 * kill)
            system.kill("coordinator")
            copies.append(shutil.copytree(system.log, folder / f"copy{kill}"))
            load.result()
            system.start("coordinator")
    system.run(system.requests(KEYS, lambda n: True, lambda n: True))
    system.run(system.requests(100, lambda n: False, lambda n: False))
    system.kill("coordinator")
    copies.append(shutil.copytree(system.log, folder / "last"))
    return copies


# ---- a writer of logs, for forgeries with right checksums

def crc_of(data, seed=0):
    return struct.pack("<I", crc32c(data, seed))


def padded(data):
    return data + bytes(-len(data) % BLOCK)


def write_log(folder, log, checkpoint, later):
    """A log of one start in one segment, with these records."""
    folder.mkdir(mode=0o700)
    for path in log.folder.glob("sealed-*.wal"):
        shutil.copy(path, folder)
    batches, lsn, chain = b"", 1, 0
    for number, (kind, records) in enumerate(((2, checkpoint), (1, later)), 1):
        body = b"".join(struct.pack("<I", len(one)) + one for one in records)
        head = struct.pack("<IHBB10sHIQQIIQ", 64 + len(body), 1, kind, int(kind == 2), log.incarnation, 0,
                           log.state_epoch, number, lsn, len(records), chain, lsn - 1)
        crc = crc32c(head + body, 77)
        batches += padded(b"TWFB" + struct.pack("<I", crc) + head + body)
        lsn, chain = lsn + len(records), crc
    head = HEADER.pack(b"TWFDWAL1", 1, 3, log.incarnation, 0, log.state_epoch, 1, 4096 + len(batches), 77, 4096,
                       1, 1, 0, 0, 0, 0)
    head = head.ljust(4092, b"\0")
    (folder / f"segment-{1:020}.wal").write_bytes(head + crc_of(head) + batches)
    return folder


class Forger:
    """The records of a real log, and new ones in its name."""

    def __init__(self, folder):
        self.log = Log(folder)
        self.checkpoint = [payload for _, payload, kind in self.log.records if kind == CHECKPOINT]
        self.later = [payload for _, payload, kind in self.log.records if kind == RECORDS]
        self.audit = log_audit.Audit(self.log)
        self.epoch = max(self.audit.keys_of_epochs)
        self.participant = min(self.audit.participants)

    def id(self, sequence, key=None):
        head = b"\1\0" + self.log.incarnation + struct.pack(">I", self.epoch) + sequence.to_bytes(6, "big") + b"\0\0"
        return head + hmac.new(key or self.audit.keys_of_epochs[self.epoch], head, hashlib.sha256).digest()[:12]

    def branch(self, number, vote, participant):
        return struct.pack("<HHH", number, 1, participant) + bytes(16) + struct.pack("<I", 0) + b"\0" + \
            struct.pack("<I", 1) + bytes([vote]) + b"\0"

    def decision(self, group, votes, decision=1, members=None, participant=None):
        participant = participant or self.participant
        members = [group] if members is None else members
        return b"\4\1" + group + bytes([decision]) + struct.pack("<H", len(members)) + \
            b"".join(one + b"\0\0\0" for one in members) + struct.pack("<H", len(votes)) + \
            b"".join(self.branch(number, vote, participant) for number, vote in enumerate(votes, 1)) + \
            struct.pack("<I", 0)

    def end(self, group, outcome=1):
        return b"\5\1" + group + bytes([outcome])

    def write(self, folder, more=(), checkpoint=None):
        return write_log(folder, self.log, self.checkpoint if checkpoint is None else checkpoint,
                         self.later + list(more))


def forgeries(f):
    """(name, what the auditor must say, records behind the real ones)"""
    one, two = f.id(900_001), f.id(900_002)
    yield "nothing is wrong", None, [f.decision(one, [1, 3]), f.end(one), f.decision(two, [1], 2), f.end(two, 2)]
    yield "a decision twice", "is decided twice", [f.decision(one, [1]), f.decision(one, [1])]
    yield "committed and aborted", "is committed and aborted", [f.decision(one, [1]), f.decision(one, [1], 2)]
    yield "a vote of no", "has voted no", [f.decision(one, [1, 2])]
    yield "no branch", "a commit of no branch", [f.decision(one, [])]
    yield "no member", "of no transaction", [f.decision(one, [1], members=[])]
    yield "an END alone", "which was not decided", [f.end(one)]
    yield "an END before its decision", "which was not decided", [f.end(one), f.decision(one, [1])]
    yield "two ENDs", "has two ENDs", [f.decision(one, [1]), f.end(one), f.end(one)]
    yield "an END against its decision", "the opposite", [f.decision(one, [1]), f.end(one, 2)]
    yield "an odd END alone", "none of its branches is", [f.decision(one, [1]), f.end(one, 6)]
    yield "an id in two groups", "is in two transactions", [f.decision(one, [1]), f.decision(two, [1], members=[one])]
    yield "a wrong tag", "tag is not right", [f.decision(f.id(900_003, b"k" * 32), [1])]
    yield "an unknown participant", "nobody has participant", [f.decision(one, [1], participant=999)]
    yield "horizon back", "the horizon goes back", [b"\7\1" + struct.pack("<IQ", f.epoch, 9),
                                                   b"\7\1" + struct.pack("<IQ", 1, 1)]
    yield "epoch again", "behind epoch", [b"\1\1" + f.log.incarnation + struct.pack("<I", f.epoch) + bytes(32)]
    yield "another log's epoch", "an epoch of another log", [
        b"\1\1" + bytes(10) + struct.pack("<I", f.epoch + 1) + bytes(32)]
    yield "key turn back", "key generation", [b"\x0f\1" + struct.pack("<I", 5), b"\x0f\1" + struct.pack("<I", 4)]
    yield "outcome turn back", "outcome turn", [b"\x12\1" + struct.pack("<IIQ", 70, f.epoch, 9),
                                               b"\x12\1" + struct.pack("<IIQ", 69, f.epoch, 9)]
    yield "unknown type", "unknown type 99", [b"\x63\1"]
    yield "unknown version", "of version 7", [b"\5\7" + one + b"\1"]
    yield "too long", "too long", [f.end(one) + b"\0"]
    yield "too short", "too short", [f.decision(one, [1])[:-1]]
    yield "outcome of a later epoch", "epoch that has not begun", [
        b"\6\1" + struct.pack("<IQI", f.epoch + 1, 0, 1) + b"\2"]
    yield "outcome of sequence 0", "sequence 0", [b"\6\1" + struct.pack("<IQI", f.epoch, 0, 1) + b"\1"]
    yield "a key that lies", "a key says committed", [b"\x0d\1" + struct.pack("<IH", 0, 1) + bytes(32) +
                                                     struct.pack("<IQHB", f.epoch, 900_009, 0, 1)]


# ---- damage of bytes

def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def damages(log):
    """(name, what the auditor must say, what to do with a copy)"""
    state = [one for one in log.segments if one.epoch == log.state_epoch and one.batches]
    live = state[-1]
    sealed = sorted(log.folder.glob("sealed-*.wal"))[-1].name
    yield "header", "checksum of the header", lambda to: flip(to / live.path.name, 30)
    # The mark, or a batch behind it, tells that it was there.
    yield "last batch", "", lambda to: flip(to / live.path.name, live.batches[-1].at + 70)
    yield "first batch", "", lambda to: flip(to / state[0].path.name, state[0].batches[0].at + 70)
    yield "cut", "bytes, its header says", lambda to: os.truncate(to / live.path.name, 4096 * 8)
    yield "removed", "", lambda to: (to / live.path.name).unlink()
    yield "renamed", "its header says number", lambda to: (to / live.path.name).rename(
        to / f"segment-{live.index + 5:020}.wal")
    yield "strange name", "no name of a segment", lambda to: (to / "segment-1.wal").write_bytes(b"")
    yield "sealed: a byte", "its batch", lambda to: flip(to / sealed, 5000)
    yield "sealed: removed", "missing, a checkpoint refers to it", lambda to: (to / sealed).unlink()
    yield "sealed: header", "checksum of the header", lambda to: flip(to / sealed, 41)


def reseal(path):
    """The same keys under a right checksum of the batch, but one key's outcome is another one."""
    data = bytearray(path.read_bytes())
    length, = struct.unpack_from("<I", data, 4096 + 8)
    data[4096 + length - 1] ^= 1
    salt, = struct.unpack_from("<I", data, 48)
    data[4100:4104] = crc_of(bytes(data[4104:4096 + length]), salt)
    path.write_bytes(data)


class Test:
    def __init__(self, folder):
        self.folder, self.failures, self.count = folder, 0, 0

    def expect(self, name, folders, wanted, answers=None):
        findings, _ = log_audit.audit(folders, answers)
        self.count += 1
        good = not findings if wanted is None else any(wanted in one for one in findings)
        if not good:
            self.failures += 1
            print(f"log_audit_test: {name}: expected {wanted!r}, got {findings[:3]}")

    def fresh(self):
        self.count_folders = getattr(self, "count_folders", 0) + 1
        return self.folder / f"case{self.count_folders}"

    def answers(self, name, lines):
        path = self.folder / name
        path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
        return path


def test_answers(test, system, last):
    test.expect("every answer", [last], None, test.answers("right", system.answers))
    for told, other in (("committed", "aborted"), ("aborted", "committed")):
        forged = next(one for one in system.answers if one["told"] == told)
        test.expect(f"told {told}, reported as {other}", [last], f"a client was told {other}",
                    test.answers("forged", [{**forged, "told": other}]))
    broken = bytearray(base64.urlsafe_b64decode(system.answers[0]["id"]))
    broken[30] ^= 1
    test.expect("an id that nobody gave", [last], "tag is not right", test.answers("guessed", [
        {"id": base64.urlsafe_b64encode(broken).decode(), "told": "aborted"}]))


def test_forgeries(test, last):
    forger = Forger(last)
    for name, wanted, records in forgeries(forger):
        test.expect(name, [forger.write(test.fresh(), records)], wanted)
    lost = [one for one in forger.checkpoint if one[0] != 6]  # without the outcomes
    test.expect("forgotten outcomes", [last, forger.write(test.fresh(), checkpoint=lost)], "of (")
    older = forger.write(test.fresh())
    longer = forger.write(test.fresh(), [b"\7\1" + bytes(12)] * 3)
    test.expect("the log got shorter", [longer, older], "the log ended at LSN")
    horizon = forger.write(test.fresh(), [b"\7\1" + struct.pack("<IQ", 1, 5)])
    test.expect("the horizon of a copy", [horizon, older], "horizon goes back")
    resealed = shutil.copytree(last, test.fresh())
    reseal(sorted(resealed.glob("sealed-*.wal"))[-1])
    test.expect("another sealed content", [resealed], "other content than its reference says")


def run(program, folder):
    system = System(program, folder)
    try:
        copies = make_logs(system, folder)
    finally:
        system.stop()
    test, last = Test(folder), copies[-1]
    if not any(last.glob("sealed-*.wal")):
        raise SystemExit("log_audit_test: the program has sealed nothing: not everything is tested")
    for copy in copies:
        test.expect(f"{copy.name} alone", [copy], None)
    test.expect("all copies in their order", copies, None)
    test.expect("in the wrong order", copies[::-1], "goes back")
    test_answers(test, system, last)
    test_forgeries(test, last)
    for name, wanted, damage in damages(Log(last)):
        damaged = shutil.copytree(last, test.fresh())
        damage(damaged)
        test.expect(f"damage: {name}", [damaged], wanted)
    committed = sum(one["told"] == "committed" for one in system.answers)
    if test.failures or not committed:
        print(f"log_audit_test: FAILED {test.failures} of {test.count}, {committed} committed")
        return 1
    print(f"log_audit_test: ok cases={test.count} answers={len(system.answers)} committed={committed}")
    return 0


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    with tempfile.TemporaryDirectory(prefix="twofold-log-audit-") as folder:
        return run(sys.argv[1], pathlib.Path(folder))


if __name__ == "__main__":
    sys.exit(main())
