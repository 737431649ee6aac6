#!/usr/bin/env python3
"""A participant by hand: try/confirm/cancel over a stock of seats, in Python's standard library alone.

    examples/try_confirm_cancel.py --port 8440 --data seats.db --stock hamlet=100 --coordinator http://127.0.0.1:8420

Try takes seats out of `free` (a yes), confirm moves them to `sold` (commit), cancel gives them back (abort). Work is a
list of {"reserve": "hamlet", "quantity": 2}. The comments name the rules of docs/participants.md.
"""
import argparse, http.server, json, sqlite3, threading, time, urllib.request, uuid

TABLES = """
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;  -- what was answered survives a power cut (P-4)
    CREATE TABLE IF NOT EXISTS me (uuid TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, free INTEGER NOT NULL, sold INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE IF NOT EXISTS branch (grp TEXT, branch INTEGER, attempt INTEGER, state TEXT NOT NULL,
        work TEXT NOT NULL, since REAL NOT NULL, PRIMARY KEY (grp, branch, attempt));"""
OPS = ("execute_prepare", "prepare", "one_phase", "commit", "abort", "settle_one_phase")


class Seats:
    def __init__(self, path, stock):
        self.lock = threading.Lock()
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.executescript(TABLES)
        if not self.db.execute("SELECT 1 FROM me").fetchone():
            self.db.execute("INSERT INTO me VALUES (?)", (str(uuid.uuid4()),))
        self.db.executemany("INSERT OR IGNORE INTO stock (item, free) VALUES (?, ?)", stock)
        self.uuid = self.db.execute("SELECT uuid FROM me").fetchone()[0]
        self.me = {"participant": self.uuid, "identity": "custom:seats:" + self.uuid}

    def info(self):  # no capabilities: one item at a time, no epochs, always two phases (P-1)
        return {"uuid": self.uuid, "name": "seats", "identity": self.me["identity"], "epoch": 1, "slots": 1000}

    def answer(self, batch, item):
        key = (item["group"], item["branch"], item["attempt"])
        echo = {"op": item["op"], **keyed(key), **self.me, "participant_epoch": 1}  # P-2
        if (batch["participant"], batch["identity"]) != (self.uuid, self.me["identity"]):  # P-3
            return {**echo, "status": "refused", **because("identity_mismatch", "this is " + self.me["identity"])}
        status, *reason = self.run(item["op"], key, item.get("work"))
        return {**echo, "status": status, **because(*reason)}

    def run(self, op, key, work=None):
        with self.lock, self.db:  # one at a time, and answered only after COMMIT
            self.db.execute("BEGIN IMMEDIATE")
            row = self.db.execute("SELECT state, work FROM branch WHERE (grp, branch, attempt) = (?, ?, ?)", key)
            state, held = row.fetchone() or (None, "[]")
            if op == "commit" and state is None:
                return "refused", "not_prepared", "never prepared here"  # P-8
            if op in ("commit", "abort"):  # the row of an unknown branch's abort refuses its work (P-6, P-7)
                return self.finish(op, key, state, json.loads(held))
            if state == "cancelled":
                return "refused", "after_abort", "the branch has ended"
            if op != "execute_prepare":
                return "refused", "bad_request", op + " is not offered here"
            return ("yes",) if state else self.reserve(key, work)  # a duplicate hears the same vote (P-10)

    def reserve(self, key, work):
        self.db.execute("SAVEPOINT work")
        for each in work:
            if self.db.execute("UPDATE stock SET free = free - ?1 WHERE item = ?2 AND free >= ?1",
                               (each["quantity"], each["reserve"])).rowcount != 1:
                self.db.execute("ROLLBACK TO work")
                self.write(key, "cancelled", [])
                return "no", "expectation_missed", "not enough seats for " + each["reserve"]
        self.write(key, "tried", work)
        return ("yes",)

    def finish(self, op, key, state, held):
        end, opposite, column = {"commit": ("confirmed", "cancelled", "sold"),
                                 "abort": ("cancelled", "confirmed", "free")}[op]
        if state == opposite:
            return "refused", "protocol_violation", "the branch is " + opposite  # P-9
        for each in held if state == "tried" else []:  # told again, nothing happens again (P-5)
            self.db.execute(f"UPDATE stock SET {column} = {column} + ? WHERE item = ?",
                            (each["quantity"], each["reserve"]))
        self.write(key, end, [])
        return ("committed" if op == "commit" else "aborted",)

    def write(self, key, state, work):
        self.db.execute("INSERT OR REPLACE INTO branch VALUES (?, ?, ?, ?, ?, ?)",
                        (*key, state, json.dumps(work), time.time()))

    def inquire(self, coordinator, age):
        """Asks about branches that have waited for their decision for long; decides nothing alone (P-13)."""
        with self.lock:
            doubt = self.db.execute("SELECT grp, branch, attempt FROM branch WHERE state = 'tried' AND since < ?",
                                    (time.time() - age,)).fetchall()
        body = {**self.me, "participant_epoch": 1, "items": [keyed(key) for key in doubt]}
        request = urllib.request.Request(coordinator + "/v1/branches:inquire", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        for told in json.load(urllib.request.urlopen(request, timeout=10))["items"] if doubt else []:
            if told["answer"] in ("commit", "abort"):
                self.run(told["answer"], (told["group"], told["branch"], told["attempt"]))


def keyed(key):
    return dict(zip(("group", "branch", "attempt"), key))


def because(code=None, message=None):
    return {"reason": {"code": code, "message": message}} if code else {}


def read_batch(body):
    """Everything is checked before anything is done (P-12)."""
    batch = json.loads(body)
    if not isinstance(batch["participant"], str) or not isinstance(batch["identity"], str):
        raise ValueError("participant, identity: must be strings")
    for item in batch["items"]:
        if item["op"] not in OPS or not isinstance(item["group"], str) or min(item["branch"], item["attempt"]) < 1:
            raise ValueError("items: an unknown op, or not the key of a branch")
        for each in item["work"] if item["op"] == "execute_prepare" else []:
            if not isinstance(each["reserve"], str) or not isinstance(each["quantity"], int) or each["quantity"] < 1:
                raise ValueError('work: must be like [{"reserve": "hamlet", "quantity": 2}]')
    return batch


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize = "HTTP/1.1", -1  # connections are kept; one write for each answer

    def reply(self, status, content_type, text):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        if self.path == "/v1/participant":
            return self.reply(200, "application/json", json.dumps(seats.info()))
        self.reply(404, "application/problem+json", '{"title": "No such call", "status": 404}')

    def do_POST(self):
        try:
            batch = read_batch(self.rfile.read(int(self.headers["Content-Length"])))
        except (ValueError, KeyError, TypeError) as error:
            problem = {"title": "Not a batch", "status": 400, "code": "malformed_body", "detail": repr(error)}
            return self.reply(400, "application/problem+json", json.dumps(problem))
        lines = [json.dumps(seats.answer(batch, item)) + "\n" for item in batch["items"]]
        self.reply(200, "application/x-ndjson", "".join(lines))

    def log_message(self, *_):
        pass


def inquire_for_ever(coordinator, interval):
    while True:
        try:
            seats.inquire(coordinator, interval)
        except (OSError, ValueError) as error:
            print("inquiry failed:", error, flush=True)  # that proves nothing: ask again
        time.sleep(interval)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8440)
    parser.add_argument("--data", required=True, help="the SQLite file; made when it is not there")
    parser.add_argument("--stock", action="append", default=[], help="ITEM=SEATS, for a new file")
    parser.add_argument("--coordinator", help="its address, for inquiries")
    parser.add_argument("--inquiry-interval", type=float, default=5.0, help="seconds")
    options = parser.parse_args()
    seats = Seats(options.data, [each.split("=") for each in options.stock])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    if options.coordinator:
        threading.Thread(target=inquire_for_ever, args=(options.coordinator, options.inquiry_interval),
                         daemon=True).start()
    print(f"seats: ready on http://127.0.0.1:{options.port}", flush=True)
    server.serve_forever()
