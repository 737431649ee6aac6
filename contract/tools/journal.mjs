// What was asked and answered: counts, violations, and some answers of every kind for the self-test.

const SHOWN_MAX = 12;
const KEPT_MAX = 4;

export class Journal {
  constructor() {
    this.requests = 0;
    this.violations = new Map();
    this.statuses = new Map();
    this.kept = new Map();
  }

  answered(operation, answer) {
    this.requests += 1;
    const statuses = this.statuses.get(operation.id) ?? new Map();
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
    this.statuses.set(operation.id, statuses);
  }

  violation(operation, request, sent, text) {
    const key = `${operation.id} ${sent.answer.status}: ${text}`;
    const known = this.violations.get(key);
    if (known) {
      known.count += 1;
      return;
    }
    this.violations.set(key, { count: 1, about: request.about ?? '', line: sent.line ?? '', answer: sent.answer });
  }

  keep(operation, response, answer) {
    const code = /"code":"(\w+)"/.exec(answer.body)?.[1] ?? '';
    const key = `${operation.id} ${answer.status} ${code}`;
    const list = this.kept.get(key) ?? [];
    if (list.length < KEPT_MAX) this.kept.set(key, [...list, { operation, status: answer.status, answer }]);
  }

  violation_count() {
    return [...this.violations.values()].reduce((sum, one) => sum + one.count, 0);
  }

  // Documented answers that nothing provoked are named: nobody shall believe that they were tested.
  report(documents) {
    for (const [key, { count, about, line, answer }] of [...this.violations].slice(0, SHOWN_MAX)) {
      console.log(`contract: VIOLATION (${count} times, ${about}) ${key}`);
      console.log(`    ${line}\n    ${answer.body.slice(0, 700)}`);
    }
    for (const document of documents) {
      for (const operation of document.operations) {
        const seen = this.statuses.get(operation.id) ?? new Map();
        const counts = [...seen].sort(([a], [b]) => a - b).map(([status, count]) => `${status}:${count}`).join(' ');
        const never = Object.keys(operation.responses).filter((status) => !seen.has(Number(status)));
        const own = never.filter((status) => !['408', '413', '417', '431', '500', '501', '505'].includes(status));
        const unseen = own.length > 0 ? `   not seen: ${own.join(' ')}` : '';
        console.log(`contract: ${operation.id.padEnd(32)} ${counts}${unseen}`);
      }
    }
  }
}
