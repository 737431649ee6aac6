// Sequences of calls whose answers depend on each other. Every answer is compared with the document, as in the
// campaign; here it must be a certain one.

const debit = { sql: 'UPDATE account SET balance = balance - ? WHERE id = ?', params: [1, 1], expect: { rows: 1 } };
const credit = { statement: 'debit', params: { id: 2, amount: -1 } };
const read = { statement: 'read' };
const transfer = { branches: [{ participant: 'north', work: [debit] }, { participant: 'south', work: [credit] }] };

export class Scenarios {
  // `campaigns` by the name of their document; `label` makes keys and labels of this run its own.
  constructor(campaigns, world, journal, label) {
    this.campaigns = campaigns;
    this.world = world;
    this.journal = journal;
    this.label = label;
    this.last = null;
  }

  async run() {
    await this.one_shot_and_its_key();
    await this.begin_and_its_key();
    await this.nothing_to_commit();
    await this.abort_first();
    await this.enlisting();
    await this.executing();
    await this.pages();
    await this.a_participant_that_stands_still();
    await this.a_participant_that_was_never_there();
    await this.a_database_that_is_not_there();
    await this.an_inquiry();
    await this.what_a_person_decides();
    await this.a_participant_that_is_put();
  }

  // Calls an operation; the answer must have this status.
  async call(id, { parameters = {}, body, headers = {} }, status) {
    const campaign = this.campaigns[id.split('.')[0]];
    const operation = campaign.document.operations.find((one) => one.id === id);
    const request = { parameters, body: body === undefined ? undefined : JSON.stringify(body), headers, status,
      about: 'a scenario' };
    const answer = await campaign.exchange(operation, request);
    this.last = { operation, answer };
    return { ...answer, value: answer.body.startsWith('{') ? JSON.parse(answer.body) : null };
  }

  must(condition, text) {
    const { operation, answer } = this.last;
    if (!condition) this.journal.violation(operation, { about: 'a scenario' }, { answer, line: '' }, `must: ${text}`);
  }

  submit(body, status, key) {
    const parameters = key ? { 'Idempotency-Key': `${this.label}-${key}` } : {};
    return this.call('coordinator.submitTransaction', { body, parameters }, status);
  }

  on(verb, id, body, status, headers = {}) {
    return this.call(`coordinator.${verb}`, { parameters: { id }, body, headers }, status);
  }

  async a_participant_that_is_put() {
    const { ports } = this.world.cluster;
    const at = (name) => ({ url: `http://127.0.0.1:${ports[name]}` });
    const put = (name, body, status) =>
      this.call('coordinator.putParticipant', { parameters: { name }, body }, status);
    const made = await put('guest', at('guest'), this.world.guest_is_there ? 200 : 201);
    this.world.guest_is_there = true;
    this.must(made.value.name === 'guest', 'what was put is there');
    let seen = made;
    for (let i = 0; i < 600 && !seen.value.up; ++i) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      seen = await this.call('coordinator.getParticipant', { parameters: { name: 'guest' } }, 200);
    }
    this.must(seen.value.up && seen.value.number > 0, 'it is registered and reached');
    const same = await put('guest', at('guest'), 200);
    this.must(same.value.number === seen.value.number, 'put again, it is the same participant');
    const renamed = await put('visitor', at('guest'), 409);
    this.must(renamed.value.code === 'another_participant', 'one participant has one name');
    const moved = await put('guest', at('north'), 409);
    this.must(moved.value.code === 'another_participant', 'a name stays with its participant');
    const configured = await put('north', at('north'), 409);
    this.must(configured.value.code === 'wrong_state', 'the configuration is not overruled');
    await put('guest', at('spare'), 422);
    await this.submit({ branches: [{ participant: 'guest', work: [read] }] }, 200);
  }

  async one_shot_and_its_key() {
    const body = { ...transfer, labels: { run: this.label } };
    const first = await this.submit(body, 200, 'one-shot');
    this.must(first.value.outcome === 'committed', 'a transfer commits');
    this.must(!('idempotency-replayed' in first.headers), 'the first answer is no repetition');
    const again = await this.submit(body, 200, 'one-shot');
    this.must(again.value.id === first.value.id, 'a repetition is the same transaction');
    this.must(again.headers['idempotency-replayed'] === 'true', 'a repetition says so');
    await this.submit({ ...body, wait: 'decided' }, 422, 'one-shot');
    const known = await this.on('getTransaction', first.value.id, undefined, 200);
    this.must(known.value.outcome === 'committed', 'it can be asked for');
    const page = await this.call('coordinator.listTransactions', { parameters: { label: `run=${this.label}` } }, 200);
    this.must(page.value.transactions.length === 1, 'its label finds it');
    await this.on('commitTransaction', first.value.id, {}, 200);
    const late = await this.on('abortTransaction', first.value.id, undefined, 409);
    this.must(late.value.code === 'opposite_outcome' && late.value.outcome === 'committed', 'an abort comes too late');
    const refused = await this.submit({ branches: [{ participant: 'north', work: [{ ...debit, expect: { rows: 2 } }] },
      { participant: 'south', work: [read] }] }, 409);
    this.must(refused.value.reason.code === 'expectation_missed', 'a missed expectation is the reason');
    this.must(refused.value.participant === 'north', 'the participant that refused is named');
  }

  async begin_and_its_key() {
    const body = { deadline_ms: 3000, labels: { run: `${this.label}-begin` } };
    const first = await this.submit(body, 201, 'begin');
    this.must(first.headers.location === `/v1/transactions/${first.value.id}`, 'Location names it');
    const again = await this.submit(body, 201, 'begin');
    this.must(again.value.id === first.value.id, 'a repetition is the same transaction');
    // A key is free again while nobody was told to work under it.
    await this.on('enlistBranch', first.value.id, { participant: 'south' }, 201);
    await this.on('abortTransaction', first.value.id, {}, 200);
    const ended = await this.submit(body, 200, 'begin');
    this.must(ended.value.outcome === 'aborted', 'after its end a repetition tells its outcome');
    await this.submit({ wait: 'applied' }, 422);
    await this.submit({ ...transfer, idle_deadline_ms: 5 }, 422);
  }

  async nothing_to_commit() {
    const { value } = await this.submit({}, 201);
    const done = await this.on('commitTransaction', value.id, undefined, 200);
    this.must(done.value.recorded === false, 'nothing was recorded');
    await this.on('enlistBranch', value.id, { participant: 'north' }, 409);
    await this.on('abortTransaction', value.id, {}, 409);
  }

  async abort_first() {
    const { value } = await this.submit({}, 201);
    await this.on('abortTransaction', value.id, undefined, 200);
    await this.on('abortTransaction', value.id, {}, 200);
    const late = await this.on('commitTransaction', value.id, {}, 409);
    this.must(late.value.code === 'opposite_outcome' && late.value.outcome === 'aborted', 'a commit comes too late');
    const why = await this.on('explainTransaction', value.id, undefined, 200);
    this.must(why.value.transaction.id === value.id, 'it is explained');
    const version = { 'if-match': why.headers.etag };
    await this.on('forgetTransaction', value.id, { reason: 'a test' }, 409, version);
    await this.on('resolveBranch', value.id, { branch: 1, outcome: 'aborted', reason: 'a test' }, 422, version);
    await this.on('forgetTransaction', value.id, { reason: 'a test' }, 412, { 'if-match': '"0"' });
    await this.on('forgetTransaction', value.id, { reason: 'a test' }, 428);
  }

  async enlisting() {
    const { value } = await this.submit({ deadline_ms: 5000 }, 201);
    const first = await this.on('enlistBranch', value.id, { participant: 'north' }, 201);
    const again = await this.on('enlistBranch', value.id, { participant: 'north' }, 200);
    this.must(first.body === again.body || first.value.branch === again.value.branch, 'the same branch');
    const lost = { participant: 'north', participant_epoch: 1, session: '77' };
    const doomed = await this.on('enlistBranch', value.id, lost, 409);
    this.must(doomed.value.code === 'branch_lost', 'another session dooms the transaction');
    const end = await this.on('commitTransaction', value.id, {}, 409);
    this.must(end.value.code === 'transaction_aborted', 'it can only abort');
  }

  // An interactive transaction: work at a sidecar, which enlists itself, and a commit that counts it.
  async executing() {
    const { value } = await this.submit({ deadline_ms: 8000 }, 201);
    const execute = (body, status) => this.call('participant.execute', { parameters: { id: value.id }, body }, status);
    await execute({ work: [debit] }, 200);
    const second = await execute({ work: [read] }, 200);
    this.must(second.value.results[0].rows.length === 2, 'a query returns its rows');
    const done = await this.on('commitTransaction', value.id, { executes: { north: 2 } }, 200);
    this.must(done.value.outcome === 'committed', 'what was executed is committed');
    const other = await this.submit({ deadline_ms: 8000 }, 201);
    await this.call('participant.execute', { parameters: { id: other.value.id }, body: { work: [debit] } }, 200);
    await this.on('commitTransaction', other.value.id, { executes: { north: 3 } }, 409);
  }

  // Following next_cursor gives every transaction once, in order.
  async pages() {
    const seen = [];
    const parameters = { limit: 7 };
    for (;;) {
      const { value } = await this.call('coordinator.listTransactions', { parameters }, 200);
      seen.push(...value.transactions.map((one) => one.id));
      if (!value.next_cursor || seen.length > 5000) break;
      parameters.cursor = value.next_cursor;
    }
    this.must(new Set(seen).size === seen.length, 'no transaction is on two pages');
    this.must(seen.every((id, i) => i === 0 || Buffer.compare(order(seen[i - 1]), order(id)) < 0), 'they are in order');
  }

  async a_participant_that_stands_still() {
    const south = this.world.cluster.processes.get('south');
    south.kill('SIGSTOP');
    const waiting = await this.submit({ ...transfer, answer_within_ms: 30, deadline_ms: 1500 }, 202);
    this.must(waiting.value.decision === 'none', 'nothing is known yet');
    const late = await this.on('abortTransaction', waiting.value.id, {}, 200);
    this.must(late.value.outcome === 'aborted', 'it can still be aborted');
    const { value } = await this.submit({ deadline_ms: 3000 }, 201);
    await this.on('enlistBranch', value.id, { participant: 'south' }, 201);
    await this.on('commitTransaction', value.id, { answer_within_ms: 30, executes: { south: 0 } }, 202);
    await this.on('abortTransaction', value.id, {}, 200);
    south.kill('SIGCONT');
    const after = await this.submit(transfer, 200);
    this.must(after.value.outcome === 'committed', 'it works again');
  }

  async a_participant_that_was_never_there() {
    const body = { branches: [{ participant: 'absent', work: [read] }, { participant: 'south', work: [read] }] };
    const refused = await this.submit(body, 503);
    this.must(refused.value.code === 'participant_unusable', 'nothing can be enlisted there');
    const { value } = await this.submit({ deadline_ms: 2000 }, 201);
    await this.on('enlistBranch', value.id, { participant: 'absent' }, 503);
    await this.on('commitTransaction', value.id, { executes: { absent: 1 } }, 503);
    await this.on('abortTransaction', value.id, {}, 200);
    const url = 'http://127.0.0.1:8433';
    await this.call('coordinator.putParticipant', { parameters: { name: 'late' }, body: { url } }, 422);
    const parameters = { name: 'absent', reason: 'a test' };
    await this.call('coordinator.retireParticipant', { parameters, headers: { 'if-match': '"0"' } }, 404);
  }

  // The participant waits for its database, and says so.
  async a_database_that_is_not_there() {
    const { cluster } = this.world;
    const late = await cluster.start_without_database();
    const campaign = this.campaigns.participant;
    for (const path of ['/readyz', '/v1/participant']) {
      const operation = campaign.document.operations.find((one) => one.path === path);
      const answer = await late.client.send({ method: 'GET', target: path });
      this.last = { operation, answer };
      this.journal.answered(operation, answer);
      campaign.judge(operation, { status: 503, about: 'no database' }, { answer, line: path });
    }
    await late.stop();
  }

  // A branch that cannot be told to abort: a person says how it ended, and that this was seen.
  async what_a_person_decides() {
    const { value: spare } = await this.call('coordinator.getParticipant', { parameters: { name: 'spare' } }, 200);
    if (spare.retired) return;
    const process = this.world.cluster.processes.get('spare');
    process.kill('SIGSTOP');
    const body = { branches: [{ participant: 'north', work: [read] }, { participant: 'spare', work: [debit] }] };
    const { value } = await this.submit({ ...body, deadline_ms: 200 }, 409);
    const id = value.transaction_id;
    const held = await this.on('getTransaction', id, undefined, 200);
    this.must(held.value.state === 'aborting', 'the abort is not acknowledged');
    const etag = async () => (await this.on('explainTransaction', id, undefined, 200)).headers.etag;
    const if_match = async () => ({ 'if-match': await etag() });
    const branch = held.value.branches.find((one) => one.participant === 'spare').branch;
    const found = { branch, outcome: 'aborted', reason: 'looked into the file' };
    const dry = await this.on('resolveBranch', id, { ...found, dry_run: true }, 200, await if_match());
    this.must(dry.value.state === 'aborting', 'a dry run changes nothing');
    await this.on('forgetTransaction', id, { reason: 'too early' }, 409, await if_match());
    const resolved = await this.on('resolveBranch', id, found, 200, await if_match());
    this.must(resolved.value.state === 'heuristic', 'what a person established is heuristic');
    await this.on('forgetTransaction', id, { reason: 'seen' }, 200, await if_match());
    const known = await this.on('getTransaction', id, undefined, 200);
    this.must(known.value.outcome.startsWith('heuristic'), 'its outcome is still told');
    process.kill('SIGCONT');
    const retire = (query, status, etag) => this.call('coordinator.retireParticipant',
      { parameters: { name: 'spare', reason: 'a test', ...query }, headers: etag ? { 'if-match': etag } : {} }, status);
    await retire({}, 428);
    await retire({}, 412, '"0"');
    const seen = await this.call('coordinator.getParticipant', { parameters: { name: 'spare' } }, 200);
    await retire({ dry_run: true }, 200, seen.headers.etag);
    for (const call of ['rebindParticipant', 'acceptRestore']) {
      const one = { parameters: { name: 'spare' }, body: { reason: 'a test' } };
      await this.call(`coordinator.${call}`, one, 428);
      await this.call(`coordinator.${call}`, { ...one, headers: { 'if-match': seen.headers.etag } }, 409);
    }
  }

  async an_inquiry() {
    const info = (await this.world.cluster.clients.north.send({ method: 'GET', target: '/v1/participant' })).body;
    const { uuid, identity, epoch, position } = JSON.parse(info);
    const { value } = await this.submit({}, 201);
    const body = { participant: uuid, identity, participant_epoch: epoch, position,
      items: [{ group: value.id, branch: 1, attempt: 1 }] };
    const ask = () => this.call('coordinator.inquire', { body }, 200);
    this.must((await ask()).value.items[0].answer === 'still_active', 'an active transaction is still active');
    await this.on('abortTransaction', value.id, {}, 200);
    this.must((await ask()).value.items[0].answer === 'abort', 'after the abort it is aborted');
  }
}

// The bytes of an id that order it: epoch and sequence.
function order(id) {
  return Buffer.from(id, 'base64url').subarray(12, 22);
}
