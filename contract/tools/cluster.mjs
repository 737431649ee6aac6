// The real programs: a coordinator and five participants on SQLite files, in a temporary folder, on loopback. `north`,
// `south` and `spare` (which will be retired) are the coordinator's, which also knows an `absent` one that nobody runs;
// `guest` will be put into its directory; `lab` is nobody's: it gets made-up messages of made-up coordinators.
import { spawn, execFileSync } from 'node:child_process';
import { mkdtempSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Client } from './client.mjs';

export const SCHEMA = `
CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0));
CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT, data BLOB);
INSERT INTO account VALUES(1, 1000000), (2, 1000000);
INSERT INTO note VALUES(1, 'hello', x'00ff'), (2, NULL, NULL);`;

const STATEMENTS = `
statements:
  debit:
    sql: "UPDATE account SET balance = balance - :amount WHERE id = :id AND balance >= :amount"
    params: {id: integer, amount: integer}
    expect_rows: 1
  remember:
    sql: "INSERT INTO note(text, data) VALUES(:text, :data)"
    params: {text: "text?", data: "bytes?"}
  read:
    sql: "SELECT id, balance FROM account ORDER BY id"
`;

const PARTICIPANTS = ['north', 'south', 'spare', 'guest', 'lab'];

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Cluster {
  constructor(program) {
    this.program = program;
    this.folder = mkdtempSync(path.join(os.tmpdir(), 'twofold-contract-'));
    this.processes = new Map();
    this.ports = {};
    this.clients = {};
    this.stopping = false;
    // Rejected when a program ends that nobody has stopped.
    this.death = new Promise((_, reject) => { this.report_death = reject; });
    this.death.catch(() => {});
    process.umask(0o077);
  }

  async start() {
    for (const name of ['coordinator', ...PARTICIPANTS]) {
      this.ports[name] = await free_port();
      this.clients[name] = new Client(this.ports[name]);
    }
    for (const name of PARTICIPANTS) this.#write_participant(name);
    this.#write('coordinator.yaml', `
listen: 127.0.0.1:${this.ports.coordinator}
data_dir: ${this.folder}/log
info_interval: 500ms
registration_allow: ["127.0.0.1:${this.ports.guest}", "127.0.0.1:${this.ports.north}"]
participants:
  - {name: north, url: "http://127.0.0.1:${this.ports.north}"}
  - {name: south, url: "http://127.0.0.1:${this.ports.south}"}
  - {name: spare, url: "http://127.0.0.1:${this.ports.spare}"}
  - {name: absent, url: "http://127.0.0.1:${await free_port()}"}
`);
    for (const name of PARTICIPANTS) this.run(name, 'participant');
    this.run('coordinator', 'coordinator');
    for (const name of Object.keys(this.ports)) await this.#ready(name);
    await this.participants_up();
  }

  #write(name, text) {
    writeFileSync(path.join(this.folder, name), text);
  }

  #write_participant(name) {
    const folder = path.join(this.folder, name);
    mkdirSync(folder);
    execFileSync('sqlite3', [path.join(folder, 'data.db'), SCHEMA]);
    this.#write(`${name}.yaml`, `
name: ${name}
listen: 127.0.0.1:${this.ports[name]}
coordinators: ["http://127.0.0.1:${this.ports.coordinator}"]
raw_sql: true
inquiry_interval: 500ms
in_doubt_age: 500ms
sqlite: {path: "${folder}/data.db"}
${STATEMENTS}`);
  }

  run(name, subcommand) {
    const log = openSync(path.join(this.folder, `${name}.log`), 'a');
    const child = spawn(this.program, [subcommand, '--config', path.join(this.folder, `${name}.yaml`)],
      { stdio: ['ignore', log, log] });
    child.on('exit', (code, signal) => {
      if (this.stopping) return;
      const end = this.log_of(name, 4000);
      this.report_death(new Error(`${name} ended (${signal ?? code}); the end of its log:\n${end}`));
    });
    this.processes.set(name, child);
  }

  log_of(name, size) {
    return readFileSync(path.join(this.folder, `${name}.log`), 'utf8').slice(-size);
  }

  async #ready(name) {
    for (let i = 0; i < 600; ++i) {
      const answer = await this.clients[name].send({ method: 'GET', target: '/readyz' }).catch(() => null);
      if (answer?.status === 200) return;
      await sleep(50);
    }
    throw new Error(`${name} is not ready after 30 s:\n${this.log_of(name, 4000)}`);
  }

  async participants_up() {
    for (let i = 0; i < 600; ++i) {
      const answer = await this.clients.coordinator.send({ method: 'GET', target: '/v1/participants' });
      const { participants } = JSON.parse(answer.body);
      if (participants.filter((one) => one.up && one.number > 0).length >= 3) return;
      await sleep(50);
    }
    throw new Error('the coordinator does not reach its participants');
  }

  // A participant whose database does not answer: {client, stop()}.
  async start_without_database() {
    const name = `late${this.processes.size}`;
    const [port, nobody] = [await free_port(), await free_port()];
    const client = new Client(port);
    this.#write(`${name}.yaml`, `
name: late
listen: 127.0.0.1:${port}
coordinators: ["http://127.0.0.1:${this.ports.coordinator}"]
postgres: {dsn: "host=127.0.0.1 port=${nobody} dbname=none user=none"}
`);
    this.run(name, 'participant');
    await this.#alive(name, client);
    const stop = async () => {
      const child = this.processes.get(name);
      child.removeAllListeners('exit');
      child.kill('SIGTERM');
      await ended(child);
      client.close();
    };
    return { client, stop };
  }

  async #alive(name, client) {
    for (let i = 0; i < 600; ++i) {
      if (await client.send({ method: 'GET', target: '/livez' }).catch(() => null)) return;
      await sleep(50);
    }
    throw new Error(`${name} does not answer after 30 s:\n${this.log_of(name, 4000)}`);
  }

  async stop() {
    this.stopping = true;
    for (const child of this.processes.values()) child.kill('SIGTERM');
    await Promise.all([...this.processes.values()].map((child) => ended(child)));
    for (const client of Object.values(this.clients)) client.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const timer = setTimeout(() => child.kill('SIGKILL'), 15000);
  await new Promise((resolve) => child.once('exit', resolve));
  clearTimeout(timer);
}

function free_port() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
