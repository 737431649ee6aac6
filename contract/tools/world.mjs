// Sends the campaign's requests to the right server, and knows what can only be known at run time: ids of transactions
// that exist, and who the participants are.

const NEVER_ISSUED = 'AQAxMjM0NTY3ODkwAAAAAQAAAAAAAQAAt0ZpZ0ZmWm5BdUtr';
const KNOWN_MAX = 64;
const RECENT = 8;
const STUCK_AFTER_MS = 300;

// A call to a transaction's own address, such as /v1/transactions/{id}/commit.
const is_about_one = (operation) => /\{id\}\/\w+$/.test(operation.path);

// An id as the coordinator of this (made-up) log would make it, number `sequence` of its first start.
function made_up_id(incarnation, sequence) {
  const bytes = Buffer.alloc(36, 7);
  bytes.writeUInt16BE(0x0100, 0);
  Buffer.from(incarnation, 'hex').copy(bytes, 2);
  bytes.writeUInt32BE(1, 12);
  bytes.writeUIntBE(sequence + 1, 16, 6);
  bytes.writeUInt16BE(0, 22);
  return bytes.toString('base64url');
}

// What Node lets us send as a field's value.
function field_text(text) {
  return Buffer.from(text).toString('latin1').replace(/[^\t -~\x80-\xff]/g, '');
}

// Whose version a call with this path names.
const versioned = (path) => /[\w-]{48}/.exec(path)?.[0] ?? /^\/v1\/participants\/([\w-]+)/.exec(path)?.[1];

export class World {
  constructor(cluster, catalogue) {
    this.cluster = cluster;
    this.catalogue = catalogue;
    this.ids = [];
    this.enlisted = new Set();
    this.versions = new Map();
    this.calls = 0;
    this.turn = 0;
    this.lab = null;
  }

  async look() {
    const answer = await this.cluster.clients.lab.send({ method: 'GET', target: '/v1/participant' });
    this.lab = JSON.parse(answer.body);
  }

  substituted(text, operation) {
    return text
      .replace(/@txn:(\d+)/g, (_, n) => this.ids[this.ids.length - 1 - (n % this.reach(operation))] ?? NEVER_ISSUED)
      .replace(/@lab:([0-9a-f]{20}):(\d+)/g, (_, incarnation, n) => made_up_id(incarnation, Number(n)))
      .replaceAll('@uuid', this.lab.uuid)
      .replaceAll('@identity', this.lab.identity);
  }

  // How many of the newest ids are asked for: calls about one transaction need some that are still active.
  reach(operation) {
    return Math.max(1, Math.min(this.ids.length, is_about_one(operation) ? RECENT : KNOWN_MAX));
  }

  // Calls about one transaction find a new one now and then. Branches of other calls' transactions must not wait for
  // those that nobody will end: a participant on SQLite has one at a time.
  async prepare(operation) {
    const executes = operation.path.endsWith('/execute');
    if (operation.document.name !== 'coordinator' && !executes) return;
    this.calls += 1;
    if (executes) await this.settle();
    if (is_about_one(operation) && this.calls % 4 === 0) {
      const answer = await this.#post('/v1/transactions', { deadline_ms: 2000 });
      this.learn({ document: { name: 'coordinator' }, path: '' }, answer);
    }
    if (!is_about_one(operation)) await this.settle();
    if (operation.id === 'coordinator.retireParticipant') await this.look_at_participant('spare');
  }

  // What is decided about a participant is bound to what was seen of it.
  async look_at_participant(name) {
    const target = `/v1/participants/${name}`;
    const answer = await this.cluster.clients.coordinator.send({ method: 'GET', target });
    this.versions.set(name, answer.headers.etag);
  }

  // Nothing that was enlisted goes on holding its participant up.
  async settle() {
    while (this.enlisted.size > 0) {
      const [id] = this.enlisted;
      this.enlisted.delete(id);
      await this.#post(`/v1/transactions/${id}/abort`, {});
    }
  }

  #post(target, body) {
    return this.cluster.clients.coordinator.send({ method: 'POST', target, body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' } });
  }

  client(document, operation) {
    const { clients } = this.cluster;
    if (document.name === 'coordinator') return clients.coordinator;
    if (['/v1/branches:batch', '/v1/branches:resolve'].includes(operation?.path)) return clients.lab;
    if (operation?.path.endsWith('/execute')) return clients.north;
    return [clients.north, clients.lab][this.turn++ % 2];
  }

  // {answer, line}: the line says what was sent, for a person.
  async send(document, operation, { parameters = {}, body, headers = {}, method, suffix = '', surplus }) {
    const fields = body === undefined ? {} : { 'content-type': 'application/json' };
    const query = surplus ? [surplus] : [];
    let path = operation.path;
    for (const { name, in: place } of operation.parameters) {
      if (parameters[name] === undefined) continue;
      const texts = [parameters[name]].flat().map((value) => this.substituted(String(value), operation))
        .map((text) => (text === '@version' ? this.versions.get(versioned(path)) ?? '"0"' : text));
      if (place === 'path') path = path.replace(`{${name}}`, encodeURIComponent(texts[0]) || '%20');
      if (place === 'query') query.push(...texts.map((text) => `${name}=${encodeURIComponent(text)}`));
      if (place === 'header') fields[name.toLowerCase()] = field_text(texts[0]);
    }
    const target = path + suffix + (query.length > 0 ? `?${query.join('&')}` : '');
    const bytes = typeof body === 'string' ? this.substituted(body, operation) : body;
    Object.assign(fields, headers);
    if (fields['content-type'] === '') delete fields['content-type'];
    const request = { method: method ?? operation.method.toUpperCase(), target, headers: fields, body: bytes };
    const client = this.client(document, operation);
    const line = `${request.method} ${target} ${JSON.stringify(fields)} ${String(bytes ?? '').slice(0, 1500)}`;
    const free = operation.path === '/v1/branches:batch' ? this.#free_when_stuck(client, bytes) : () => {};
    try {
      return { answer: await client.send({ ...request, listen_ms: 30 }), line };
    } catch (error) {
      throw new Error(`${error.message}: ${line}`);
    } finally {
      await free();
    }
  }

  raw(document, bytes) {
    return this.client(document).raw(bytes);
  }

  // A participant on SQLite holds one branch at a time, and made-up branches have nobody who ends them: whatever the
  // batch began is aborted after it, and while it waits for itself.
  #free_when_stuck(client, body) {
    let batch;
    try {
      batch = JSON.parse(body);
    } catch {
      return async () => {};
    }
    const items = Array.isArray(batch?.items) ? batch.items.filter((item) => item?.op && item.op !== 'abort') : [];
    if (items.length === 0) return async () => {};
    const aborts = items.map(({ group, branch, attempt }) => (
      { op: 'abort', group, branch, attempt, participant_epoch: 1 }));
    const abort = JSON.stringify({ ...batch, items: aborts });
    const send = () => client.send({ method: 'POST', target: '/v1/branches:batch', body: abort,
      headers: { 'content-type': 'application/json' } }).catch(() => {});
    const timer = setTimeout(send, STUCK_AFTER_MS);
    return async () => {
      clearTimeout(timer);
      await send();
    };
  }

  learn(operation, answer) {
    // It may be enlisted although the work was refused.
    const worked = /"transaction(?:_id)?":"([\w-]{48})"/.exec(answer.body);
    if (operation.path.endsWith('/execute') && worked) this.enlisted.add(worked[1]);
    if (operation.document.name !== 'coordinator') return;
    const version = /"id":"([\w-]{48})".*?"version":(\d+)/.exec(answer.body);
    if (version) this.versions.set(version[1], `"${version[2]}"`);
    const id = answer.status < 300 ? /^\{"id":"([\w-]{48})"/.exec(answer.body)?.[1] : undefined;
    if (id && operation.path.endsWith('/branches')) this.enlisted.add(id);
    if (id && !this.ids.includes(id)) this.ids.push(id);
    if (this.ids.length > KNOWN_MAX) this.ids.shift();
  }
}
