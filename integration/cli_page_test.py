#!/usr/bin/env python3
"""What docs/cli.md shows is what the program says: its commands are run, in their order, against real processes.

    integration/cli_page_test.py build/dev/bin/twofold            compare; exit 1 when something differs
    integration/cli_page_test.py build/dev/bin/twofold --write    put what the program says now into the page

Ids, ports, uuids, numbers and the width of columns are not compared. A line "…" of the page stands for any lines. What
has to happen between two commands is in Story; the ids that a command of the page names are those that the program gave
at the same place of an earlier output.
"""
import base64
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "cli.md"
PATIENCE = 60.0
NOT_RUN = ["twofold participant check"]  # its output is that of docs/participants.md
ID = re.compile(r"(?<![\w-])A[Q-Za-f][A-Za-z0-9_-]{46}(?![\w-])")  # it may end with "-"
GID = re.compile(r"\b\d+_A[Q-Za-f][A-Za-z0-9+/_-]{46}_[A-Za-z0-9+/_-]{28}")
MASKS = [(GID, "GID"), (ID, "ID"),
         (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
         (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
         (re.compile(r"\b\d+"), "N"), (re.compile(r" {2,}"), "  ")]


def masked(text):
    for pattern, word in MASKS:
        text = pattern.sub(word, text)
    return text.rstrip()


def examples(page):
    """[(command, its output's lines, first line number of the output)]"""
    found, in_block = [], False
    for number, line in enumerate(page):
        if line.startswith("```"):
            in_block = line == "```console"
        elif in_block and line.startswith("$ "):
            found.append((line[2:], [], number + 1))
        elif in_block and found:
            found[-1][1].append(line)
    return found


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(condition, what):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise SystemExit(f"cli_page_test: it took too long: {what}")


class Story:
    """A coordinator, the participants north and south, and what happens to them."""

    def __init__(self, program, folder, ports):
        self.program, self.folder = os.path.abspath(program), folder
        self.ports = dict(zip(("coordinator", "north", "south"), ports))
        self.processes = {}
        self.environment = {**os.environ, "TWOFOLD_ADDR": self.url("coordinator"),
                            "PATH": os.path.dirname(self.program) + ":" + os.environ["PATH"]}
        for name in ("north", "south"):
            with sqlite3.connect(f"{folder}/{name}.db") as database:
                database.execute("CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)")
                database.execute("INSERT INTO account VALUES (1, 1000)")
            os.chmod(f"{folder}/{name}.db", 0o600)
            self.write(f"{name}.yaml", f"""name: {name}
listen: 127.0.0.1:{self.ports[name]}
coordinators: ["{self.url('coordinator')}"]
inquiry_interval: 300ms
in_doubt_age: 300ms
sqlite: {{path: {folder}/{name}.db}}
statements:
  pay: {{sql: "UPDATE account SET balance = balance + :amount WHERE id = 1", params: {{amount: integer}}}}
""")
        self.write("coordinator.yaml", f"""listen: 127.0.0.1:{self.ports['coordinator']}
data_dir: {folder}/log
info_interval: 300ms
retry_max: 300ms
drain_limit: 500ms
participants:
  - {{name: north, url: "{self.url('north')}"}}
  - {{name: south, url: "{self.url('south')}"}}
""")
        self.write("bad.yaml", "retry_max: soon\nparticipant: [{name: north}]\n")
        self.write_transfer("transfer.json", {})
        for name in ("north", "south", "coordinator"):
            self.start(name)
        self.wait_up()

    def url(self, name):
        return f"http://127.0.0.1:{self.ports[name]}"

    def write(self, name, text):
        pathlib.Path(self.folder, name).write_text(text, encoding="utf-8")

    def write_transfer(self, name, more):
        branches = [{"participant": one, "work": [{"statement": "pay", "params": {"amount": amount}}]}
                    for one, amount in (("north", -30), ("south", 30))]
        self.write(name, json.dumps({"branches": branches, "labels": {"order": "17"}, **more}))

    def start(self, name, **environment):
        self.stop(name, signal.SIGKILL)
        command = "coordinator" if name == "coordinator" else "participant"
        with open(f"{self.folder}/{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [self.program, command, "--config", f"{self.folder}/{name}.yaml"], stdout=log, stderr=log,
                env={**self.environment, **environment})

    def stop(self, name, how):
        if name in self.processes and self.processes[name].poll() is None:
            self.processes[name].send_signal(how)
            self.processes[name].wait(PATIENCE)

    def ask(self, target, body=None):
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(target, body and json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            return json.loads(refused.read() or b"{}")
        except OSError:
            return {}

    def run(self, command):
        """(output of both streams, exit code), as at a terminal that nobody sits at"""
        done = subprocess.run(["/bin/sh", "-c", command], cwd=self.folder, env=self.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=PATIENCE, check=False)
        return done.stdout.decode(), done.returncode

    def wait_up(self):
        def up():  # in their newest start
            known = self.ask(self.url("coordinator") + "/v1/participants").get("participants", [])
            epochs = [self.ask(self.url(one["name"]) + "/v1/participant").get("epoch") for one in known]
            return len(known) == 2 and all(one["up"] and "problem" not in one and one["epoch"] == epoch
                                           for one, epoch in zip(known, epochs))
        until(up, "the participants are up")

    def in_doubt(self):
        return json.loads(self.run("twofold indoubt list -o json")[0])["transactions"]

    # ---- what happens before a command ----

    def south_dies_before_its_commit(self):
        self.start("south", TWOFOLD_CRASH_AT="part_before_commit")
        self.wait_up()
        self.write_transfer("decided.json", {"wait": "decided"})
        said, code = self.run("twofold txn run decided.json")
        if code:
            raise SystemExit(f"cli_page_test: the transaction is not committed: {said}")
        until(lambda: self.processes["south"].poll() is not None, "south dies")
        until(lambda: self.in_doubt() and "down" in self.run("twofold participant list")[0], "it is in doubt")

    def south_is_well(self):
        self.start("south")
        self.wait_up()
        until(lambda: not self.in_doubt(), "nothing is in doubt")

    def a_lost_log(self):
        """south holds a branch of a coordinator that nobody knows, and nothing else."""
        self.south_is_well()
        branches = lambda: self.ask(self.url("south") + "/v1/branches").get("branches", [])
        until(lambda: all(one["state"] == "parked" for one in branches()), "its coordinator says that it has ended")
        for one in branches():
            self.run(f"twofold indoubt resolve --participant south --gid {one['gid']} --outcome abort"
                     " --reason seen --yes")
        south = self.ask(self.url("south") + "/v1/participant")
        incarnation = bytes(range(10))
        order = bytes((0, 0, 0, 1)) + bytes((0, 0, 0, 0, 0, 4))  # epoch 1, sequence 4
        group = base64.urlsafe_b64encode(b"\1\0" + incarnation + order + bytes(14)).decode()
        body = {"sender": {"incarnation": incarnation.hex(), "epoch": 1, "nonce": "1", "position": "1"},
                "participant": south["uuid"], "identity": south["identity"],
                "low_water": {"epoch": 0, "sequence": 0}, "horizon": {"epoch": 0, "sequence": 0},
                "items": [{"op": "execute_prepare", "group": group, "branch": 2, "attempt": 1,
                           "participant_epoch": south["epoch"],
                           "work": [{"statement": "pay", "params": {"amount": 1}}]}]}
        vote = self.ask(self.url("south") + "/v1/branches:batch", body)
        if vote.get("status") != "yes":
            raise SystemExit(f"cli_page_test: the branch is not prepared: {vote}")
        self.start("south")  # so that it is found in doubt
        until(lambda: [one["state"] for one in branches()] == ["in_doubt"], "the branch is in doubt")
        self.wait_up()
        return branches()[0]["gid"]

    def watch(self, _command):
        """The page's ID is one that is committed meanwhile."""
        begun = self.run("twofold txn begin 2>/dev/null")[0].strip()
        watch = subprocess.Popen([self.program, "txn", "watch", begun], env=self.environment, stdout=subprocess.PIPE)
        first = watch.stdout.readline()
        self.run(f"twofold txn commit {begun}")
        return (first + watch.stdout.read()).decode(), watch.wait(PATIENCE)

    def before(self, command, known):
        """Makes true what the page tells before this command."""
        if command.startswith(("twofold participant retire", "twofold doctor")) or (
                command == "twofold indoubt list" and "in doubt" not in known):
            known["in doubt"] = "yes"
            if not self.in_doubt():
                self.south_dies_before_its_commit()
            if command.startswith("twofold doctor"):
                self.start("coordinator")  # without the alarms of what was told before
                until(lambda: "down" in self.run("twofold participant list")[0] and self.in_doubt(), "it is back")
                until(lambda: self.run("twofold participant list")[0].count(" up ") == 1, "north is up")
                time.sleep(2.5)  # it warns of what is older than 2 s
        elif "--gid" in command:
            known["gid"] = self.a_lost_log()
        elif command.startswith("twofold status"):
            self.south_is_well()
        elif command.startswith("twofold wal"):
            self.stop("coordinator", signal.SIGTERM)

    def close(self):
        for name in self.processes:
            self.stop(name, signal.SIGKILL)


def bind_ids(shown, told, known):
    """The ids of the page are those that the program gave at the same places."""
    for expected, actual in zip(ID.findall(shown), ID.findall(told)):
        known.setdefault(expected, actual)


def differs(shown, told):
    """The first difference of masked lines; "…" stands for any lines."""
    expected, actual = [masked(line) for line in shown], [masked(line) for line in told]
    if "…" in expected:
        gap = expected.index("…")
        tail = len(expected) - gap - 1
        if len(actual) < gap + tail:
            return "it is shorter"
        actual = actual[:gap] + ["…"] + actual[len(actual) - tail:]
    for one, other in zip(expected, actual):
        if one != other:
            return f"the page has {one!r}, the program says {other!r}"
    return "" if len(expected) == len(actual) else f"the page has {len(expected)} lines, the program says {len(actual)}"


def play(story, page, write):
    """[complaints]; with `write` the page has the outputs afterwards."""
    known, complaints, changes = {}, [], []
    for command, shown, number in examples(page):
        if any(command.startswith(one) for one in NOT_RUN):
            print(f"not run: {command}")
            continue
        story.before(command, known)
        real = ID.sub(lambda found: known.get(found.group(), found.group()), command)
        if "--gid" in real:
            real = GID.sub(known["gid"], command)
        text, code = story.watch(real) if "txn watch" in real else story.run(real)
        told = text.replace(story.folder + "/", "").splitlines() + ([f"[exit code {code}]"] if code else [])
        bind_ids("\n".join(shown), "\n".join(told), known)
        if difference := differs(shown, told):
            complaints.append(f"docs/cli.md:{number + 1}: {command}: {difference}")
            print("\n".join(told))
        changes.append((number, len(shown), real, shown if "…" in shown else told))
    if write:
        for number, count, real, told in reversed(changes):
            page[number - 1:number + count] = ["$ " + real, *told]
        PAGE.write_text("\n".join(page) + "\n", encoding="utf-8")
    return complaints


def main():
    """Exit code 1 when the page is not what the program says."""
    program, write = sys.argv[1], "--write" in sys.argv[2:]
    points = subprocess.run([program, "crash-points"], capture_output=True, check=False)
    if points.returncode:
        print("cli_page_test: skipped: a program without crash points cannot be made to die at a certain moment")
        return 0
    os.umask(0o077)
    with tempfile.TemporaryDirectory(prefix="twofold-cli-page-") as folder:
        story = Story(program, folder, [8420, 8431, 8432] if write else free_ports(3))
        try:
            complaints = play(story, PAGE.read_text(encoding="utf-8").splitlines(), write)
        finally:
            story.close()
    for complaint in complaints:
        print(complaint)
    print(f"cli_page_test: {len(examples(PAGE.read_text(encoding='utf-8').splitlines()))} commands, "
          f"{len(complaints)} differences")
    return 1 if complaints and not write else 0


if __name__ == "__main__":
    sys.exit(main())
