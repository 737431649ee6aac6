// Tests the running servers against their OpenAPI documents.
//
//   node main.mjs --program build/dev/bin/twofold [--seed N] [--requests N]
//
// Requests are made of the documents and of the seed, which is printed; every answer is compared with the document. The
// last line is "contract: ok operations=N requests=N violations=0", or "contract: FAILED …" and exit code 1.
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Campaign } from './campaign.mjs';
import { Cluster } from './cluster.mjs';
import { Document } from './document.mjs';
import { Journal } from './journal.mjs';
import { Scenarios } from './scenarios.mjs';
import { self_test } from './self_test.mjs';
import { World } from './world.mjs';

const CONTRACT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const ROUND = 200;

const { values: options } = parseArgs({ options: {
  program: { type: 'string', default: path.join(CONTRACT, '../build/dev/bin/twofold') },
  seed: { type: 'string', default: String(randomInt(1, 2 ** 31)) },
  requests: { type: 'string', default: '20000' },
} });

function catalogue() {
  const { problems } = JSON.parse(readFileSync(path.join(CONTRACT, 'problems.json'), 'utf8'));
  return new Map(problems.map((problem) => [problem.code, problem]));
}

// The document that a server gives must be the one that it is tested against.
async function served_documents(cluster, documents) {
  const complaints = [];
  for (const [document, name] of [[documents[0], 'coordinator'], [documents[1], 'north']]) {
    const answer = await cluster.clients[name].send({ method: 'GET', target: '/openapi.json' });
    if (answer.body === document.text) continue;
    complaints.push(`GET /openapi.json of ${name} is not ${document.name}.openapi.json`);
  }
  return complaints;
}

async function run(cluster, documents, journal) {
  await cluster.start();
  const complaints = await served_documents(cluster, documents);
  const world = new World(cluster, catalogue());
  await world.look();
  for (let round = 0; journal.requests < Number(options.requests); ++round) {
    const seed = Number(options.seed) + round;
    const campaigns = documents.map((document) => new Campaign(document, world, journal, seed));
    await world.settle();
    await new Scenarios({ coordinator: campaigns[0], participant: campaigns[1] }, world, journal, `${seed}`).run();
    await Promise.all(campaigns.map((campaign) => campaign.run(ROUND)));
    console.log(`contract: ${journal.requests} requests, ${journal.violation_count()} violations`);
  }
  return [...complaints, ...self_test(documents, journal, world.catalogue)];
}

const documents = ['coordinator', 'participant'].map(
  (name) => Document.read(name, path.join(CONTRACT, `${name}.openapi.json`)));
const journal = new Journal();
const cluster = new Cluster(path.resolve(options.program));
console.log(`contract: seed ${options.seed} (repeat with: make contract SEED=${options.seed})`);
let complaints;
try {
  complaints = await Promise.race([run(cluster, documents, journal), cluster.death]);
} catch (error) {
  complaints = [error.stack];
} finally {
  await cluster.stop();
}
journal.report(documents);
for (const text of complaints) console.log(`contract: ${text}`);
const operations = documents.reduce((sum, document) => sum + document.operations.length, 0);
const count = journal.violation_count();
const good = complaints.length === 0 && count === 0;
console.log(`contract: ${good ? 'ok' : 'FAILED'} operations=${operations} requests=${journal.requests} `
  + `violations=${count}${good ? '' : ` seed=${options.seed}`}`);
process.exitCode = good ? 0 : 1;
