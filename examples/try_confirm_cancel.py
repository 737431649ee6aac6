#!/usr/bin/env python3
"""A participant by hand: try/confirm/cancel over a stock of seats. The comments name the rules of docs/participants.md.

    examples/try_confirm_cancel.py --port 8440 --data seats.db --stock hamlet=100 --coordinator http://127.0.0.1:8420

Work is a list of {"reserve": "hamlet", "quantity": 2}: try takes seats out of `free`, confirm moves them to `sold`."""
import argparse, http.server, json, sqlite3, threading, time, urllib.request, uuid

flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for name, default in {"port": 8440, "data": "seats.db", "stock": "hamlet=100", "inquiry-interval": 5.0}.items():
    flags.add_argument("--" + name, default=default, type=type(default), help=f"default: {default}")
flags.add_argument("--coordinator", default="http://127.0.0.1:8420", help="who is asked about seats that wait for long")
flags = flags.parse_args()
lock = threading.Lock()
db = sqlite3.connect(flags.data, check_same_thread=False, isolation_level=None)
db.executescript("""PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;  -- an answer survives a power cut (P-4)
    CREATE TABLE IF NOT EXISTS me (one INTEGER PRIMARY KEY, uuid TEXT);
    CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, free INTEGER, sold INTEGER DEFAULT 0);
    CREATE TABLE IF NOT EXISTS branch (key TEXT PRIMARY KEY, state TEXT, work TEXT, since REAL);""")
db.execute("INSERT OR IGNORE INTO me VALUES (1, ?)", (str(uuid.uuid4()),))
db.execute("INSERT OR IGNORE INTO stock (item, free) VALUES (?, ?)", flags.stock.split("="))
own_uuid = db.execute("SELECT uuid FROM me").fetchone()[0]
me = {"participant": own_uuid, "identity": "custom:seats:" + own_uuid}
info = {"uuid": own_uuid, "name": "seats", "identity": me["identity"], "epoch": 1, "slots": 1000}  # P-1


def answer(item, op):
    """(status, reason) of one message; told again, nothing happens again (P-5, P-6, P-10)."""
    key = json.dumps([item["group"], item["branch"], item["attempt"]])
    state, held = db.execute("SELECT state, work FROM branch WHERE key = ?", (key,)).fetchone() or (None, "[]")
    if op == "commit" and state in (None, "cancelled") or op == "abort" and state == "confirmed":
        return "refused", "protocol_violation" if state else "not_prepared"  # P-8, P-9
    if op == "execute_prepare" and state:
        return ("refused", "after_abort") if state == "cancelled" else ("yes", None)  # P-7
    if op not in ("execute_prepare", "commit", "abort"):
        return "refused", "bad_request"
    work = item["work"] if op == "execute_prepare" else json.loads(held)
    end, status, change = {"execute_prepare": ("tried", "yes", "free = free - ?1 WHERE free >= ?1 AND"),
                           "commit": ("confirmed", "committed", "sold = sold + ?1 WHERE"),
                           "abort": ("cancelled", "aborted", "free = free + ?1 WHERE")}[op]
    code = None
    db.execute("SAVEPOINT work")
    for each in work:
        if db.execute(f"UPDATE stock SET {change} item = ?2", (each["quantity"], each["reserve"])).rowcount != 1:
            db.execute("ROLLBACK TO work")  # nothing is left of a no (P-11)
            end, status, code = "cancelled", "no", "expectation_missed: not enough seats for " + each["reserve"]
            break
    held = json.dumps(work if end == "tried" else [])  # the row of a branch that never came refuses its work (P-7)
    db.execute("INSERT OR REPLACE INTO branch VALUES (?, ?, ?, ?)", (key, end, held, time.time()))
    return status, code


def line(batch, item):
    echo = {**{name: item[name] for name in ("op", "group", "branch", "attempt")}, **me, "participant_epoch": 1}  # P-2
    status, code = "refused", "identity_mismatch"  # for somebody else (P-3)
    if (batch["participant"], batch["identity"]) == (me["participant"], me["identity"]):
        with lock, db:  # one at a time, and answered only after COMMIT
            db.execute("BEGIN IMMEDIATE")
            status, code = answer(item, item["op"])
    return {**echo, "status": status, **({"reason": {"code": code.split(":")[0], "message": code}} if code else {})}


def check(item):
    """Everything is checked before anything is done (P-12)."""
    known = item["op"] in ("execute_prepare", "prepare", "one_phase", "commit", "abort", "settle_one_phase")
    if not known or not isinstance(item["group"], str) or min(item["branch"], item["attempt"]) < 1:
        raise ValueError("items: an unknown op, or not the key of a branch")
    for each in item["work"] if item["op"] == "execute_prepare" else []:
        if not isinstance(each["reserve"], str) or not isinstance(each["quantity"], int) or each["quantity"] < 1:
            raise ValueError('work: must be like [{"reserve": "hamlet", "quantity": 2}]')


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, wbufsize, log_message = "HTTP/1.1", -1, lambda *_: None

    def reply(self, status, content_type, text):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        found = self.path == "/v1/participant"
        self.reply(200 if found else 404, "application/json", json.dumps(info if found else {"title": "No such call"}))

    def do_POST(self):
        try:
            batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            [batch["participant"], batch["identity"], *map(check, batch["items"])]
        except (ValueError, KeyError, TypeError) as error:
            problem = json.dumps({"title": "Not a batch", "detail": repr(error)})
            return self.reply(400, "application/problem+json", problem)
        lines = [json.dumps(line(batch, item)) + "\n" for item in batch["items"]]
        self.reply(200, "application/x-ndjson", "".join(lines))


def inquire():
    """Asks about branches that have waited for their decision for long; decides nothing alone (P-13)."""
    with lock:
        since = time.time() - flags.inquiry_interval
        rows = db.execute("SELECT key FROM branch WHERE state = 'tried' AND since < ?", (since,))
        keys = [dict(zip(("group", "branch", "attempt"), json.loads(row[0]))) for row in rows]
    body = json.dumps({**me, "participant_epoch": 1, "items": keys}).encode()
    url, headers = flags.coordinator + "/v1/branches:inquire", {"Content-Type": "application/json"}
    call = urllib.request.Request(url, body, headers)
    for told in json.load(urllib.request.urlopen(call, timeout=10))["items"] if keys else []:
        if told["answer"] in ("commit", "abort"):
            line(me, {**told, "op": told["answer"]})


server = http.server.ThreadingHTTPServer(("127.0.0.1", flags.port), Handler)
threading.Thread(target=server.serve_forever).start()
print(f"seats: ready on http://127.0.0.1:{flags.port}", flush=True)
while True:
    time.sleep(flags.inquiry_interval)
    try:
        inquire()
    except (OSError, ValueError) as error:
        print("inquiry failed:", error, flush=True)  # that proves nothing: ask again
