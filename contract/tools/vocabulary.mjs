// Values that mean something to the servers of cluster.mjs, by the name of their schema.
import fc from 'fast-check';

const STATEMENTS = [
  { sql: 'SELECT id, balance FROM account' },
  { sql: 'SELECT text, data FROM note WHERE id = ?', params: [1], expect: { rows: 1 } },
  { sql: 'UPDATE account SET balance = balance + ? WHERE id = ?', params: [1, 1], expect: { rows: 1 } },
  { sql: 'UPDATE account SET balance = balance + :by WHERE id = :id RETURNING balance', params: { by: 1, id: 2 } },
  { sql: 'INSERT INTO note(text, data) VALUES(?, ?)', params: ['café', { base64: 'AP8=' }] },
  { sql: 'UPDATE account SET balance = -1 WHERE id = 1' },
  { sql: 'UPDATE account SET balance = 5 WHERE id = 77', expect: { rows: 1 } },
  { sql: 'COMMIT' },
  { statement: 'debit', params: { id: 1, amount: 1 } },
  { statement: 'debit', params: { id: 1, amount: '1' } },
  { statement: 'debit', params: { id: 1, amount: 2 ** 52 } },
  { statement: 'remember', params: { text: null, data: { base64: '' } } },
  { statement: 'read' },
  { statement: 'nonsense' },
];
const INCARNATIONS = ['00112233445566778899', 'aabbccddeeff00112233'];

export function vocabulary(name) {
  const big = fc.bigInt(0n, 2n ** 64n - 1n).map(String);
  return {
    TxnId: name === 'coordinator'
      ? { often: fc.nat(9999).map((n) => `@txn:${n}`) }
      : { often: fc.nat(99).map((n) => `@lab:${INCARNATIONS[0]}:${n}`) },
    ParticipantName: { often: fc.constantFrom('north', 'south') },
    ParticipantUuid: { often: fc.constant('@uuid') },
    Identity: { often: fc.constant('@identity') },
    Incarnation: { only: fc.constantFrom(INCARNATIONS[0], ...INCARNATIONS) },
    BigInteger: { only: big },
    // A newer start of a made-up coordinator would shut the older ones out.
    Sender: { only: fc.record({ incarnation: fc.constantFrom(INCARNATIONS[0], ...INCARNATIONS), epoch: fc.constant(1),
      nonce: big, position: big }) },
    'post id': { only: fc.nat(9999).map((n) => `@txn:${n}`) },
    'delete name': { only: fc.constantFrom('spare', 'nobody') },
    'If-Match': { only: fc.constantFrom('@version', '@version', '"0"', '"18446744073709551615"') },
    wait_ms: { only: fc.constantFrom(0, 1, 5, 20) },  // the rest is only slow
    Epoch: { often: fc.constantFrom(1, 2) },
    Statement: { often: fc.constantFrom(...STATEMENTS) },
    OneShotBranch: {
      often: fc.record({ participant: fc.constantFrom('north', 'south'),
        work: fc.array(fc.constantFrom(...STATEMENTS.slice(0, 5)), { minLength: 1, maxLength: 3 }) }),
    },
  };
}
