// Can the tester fail? Every change of a document that makes it untrue must be noticed in answers that were really
// given: a status that is not documented any more, a member of another type, a value that is not allowed any more, a
// member that is not documented any more, a header of another form.
import { Document } from './document.mjs';
import { verify } from './verify.mjs';

// Returns what went unnoticed, as sentences.
export function self_test(documents, journal, catalogue) {
  const complaints = [];
  let mutants = 0;
  for (const document of documents) {
    const kept = [...journal.kept.values()].flat().filter((one) => one.operation.document === document);
    for (const [about, changed] of changes(document, kept)) {
      mutants += 1;
      if (!noticed(changed, kept, catalogue)) complaints.push(`self-test: not noticed in ${document.name}: ${about}`);
    }
    if (noticed(document, kept, catalogue)) complaints.push(`self-test: ${document.name} itself is complained about`);
  }
  console.log(`contract: self-test: ${mutants - complaints.length} of ${mutants} untrue documents were noticed`);
  if (mutants < 40) complaints.push('self-test: there was too little to change');
  return complaints;
}

function noticed(document, kept, catalogue) {
  return kept.some(({ operation, status, answer }) => {
    const here = document.operations.find((one) => one.id === operation.id);
    const response = document.response(here, status);
    return response === null || verify(document, response, answer, catalogue).length > 0;
  });
}

// [what was changed, the changed document] for everything that the kept answers exercise.
function* changes(document, kept) {
  const changed = (edit) => {
    const value = JSON.parse(document.text);
    edit(value);
    return new Document(document.name, JSON.stringify(value));
  };
  const seen = new Set();
  for (const { operation, status, answer } of kept) {
    const where = `${operation.id} ${status}`;
    if (!seen.has(where)) {
      seen.add(where);
      yield [`${where} is not documented`, changed((value) => {
        delete value.paths[operation.path][operation.method].responses[status];
      })];
    }
    if (status !== 200 || !answer.headers['content-type'].startsWith('application/json')) continue;
    yield* member_changes(document, operation, JSON.parse(answer.body), changed, seen);
  }
  for (const name of Object.keys(document.value.components.headers)) {
    const fields = ({ operation, status }) => Object.entries(document.response(operation, status).value.headers ?? {});
    const uses = (one) => fields(one).some(([field, at]) => at.$ref === `#/components/headers/${name}`
      && field.toLowerCase() in one.answer.headers);
    if (!kept.some(uses)) continue;
    yield [`header ${name} has another form`, changed((value) => {
      value.components.headers[name].schema = { type: 'string', pattern: '^never$' };
    })];
  }
}

// Changes of the members that an answer really has.
function* member_changes(document, operation, body, changed, seen) {
  const media = document.resolve(operation.responses[200]).content['application/json'];
  const name = media.schema.$ref?.split('/').pop();
  if (!name) return;
  const holder = name === 'Transaction' ? 'TransactionMembers' : name;
  for (const member of Object.keys(document.value.components.schemas[holder].properties ?? {})) {
    if (!(member in body) || seen.has(`${holder}.${member}`)) continue;
    seen.add(`${holder}.${member}`);
    const edit = (change) => changed((value) => change(value.components.schemas[holder].properties));
    yield [`${holder}.${member} has another type`, edit((all) => { all[member] = { type: 'null' }; })];
    yield [`${holder}.${member} has another value`, edit((all) => { all[member] = { const: 'nothing like it' }; })];
    yield [`${holder}.${member} is not documented`, edit((all) => { delete all[member]; })];
  }
}
