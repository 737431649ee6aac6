// Compares one answer with the document. Pure: an answer is {status, headers, body}, a violation is a sentence.

export function verify(document, response, answer, catalogue) {
  const complaints = [];
  const { pointer, value } = response;
  const type = media_type(answer.headers['content-type']);
  complaints.push(...verify_headers(document, pointer, value, answer));
  if (!value.content) {
    if (answer.body.length > 0) complaints.push('has a body, but none is documented');
    return complaints;
  }
  if (!(type in value.content)) {
    return [...complaints, `Content-Type is ${type}, documented are ${Object.keys(value.content).join(', ')}`];
  }
  if (type === 'text/event-stream') {
    return [...complaints, ...verify_events(document, `${pointer}/content/text~1event-stream`, value.content[type],
      answer.body)];
  }
  const schema = `${pointer}/content/${type.replaceAll('/', '~1')}/schema`;
  for (const part of parts_of(type, answer.body, complaints)) {
    const validate = document.validator(schema);
    if (!validate(part)) complaints.push(`body: ${explain(validate.errors)}`);
    if (type === 'application/problem+json') complaints.push(...verify_problem(part, answer, catalogue));
  }
  return complaints;
}

function verify_headers(document, pointer, value, answer) {
  const complaints = [];
  for (const [name, reference] of Object.entries(value.headers ?? {})) {
    const header = document.resolve(reference);
    const text = answer.headers[name.toLowerCase()];
    if (text === undefined) {
      if (header.required) complaints.push(`the field ${name} is missing`);
      continue;
    }
    const holder = reference.$ref ?? `${pointer}/headers/${name}`;
    const number = document.resolve(header.schema).type === 'integer' && /^\d+$/.test(text);
    const validate = document.validator(`${holder}/schema`);
    if (!validate(number ? Number(text) : text)) complaints.push(`the field ${name}: ${explain(validate.errors)}`);
  }
  if (!answer.headers.date && answer.status < 500) complaints.push('the field Date is missing');
  return complaints;
}

// Complete events of a stream that was left in the middle.
function verify_events(document, pointer, content, body) {
  const complaints = [];
  const validate = document.validator(`${pointer}/x-data`);
  for (const event of body.split('\n\n').slice(0, -1)) {
    if (event.startsWith(':')) continue;
    const fields = Object.fromEntries(event.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2)));
    if (!content['x-events'].includes(fields.event)) complaints.push(`an event of the kind ${fields.event}`);
    if (fields.event !== 'gap' && !/^\d+$/.test(fields.id ?? '')) complaints.push('an event without a number');
    if (!validate(JSON.parse(fields.data))) complaints.push(`data: ${explain(validate.errors)}`);
  }
  return complaints;
}

// The JSON values of a body: one, or one for each line.
function parts_of(type, body, complaints) {
  if (type === 'text/plain') return [body];
  const texts = type === 'application/x-ndjson' ? body.split('\n').slice(0, -1) : [body];
  if (type === 'application/x-ndjson' && body.length > 0 && !body.endsWith('\n')) {
    complaints.push('the last line is not complete');
  }
  const parts = [];
  for (const text of texts) {
    try {
      parts.push(JSON.parse(text));
    } catch (error) {
      complaints.push(`not JSON: ${error.message}`);
    }
  }
  return parts;
}

function verify_problem(problem, answer, catalogue) {
  const complaints = [];
  const row = catalogue.get(problem.code);
  if (!row) return [`the catalogue has no problem ${problem.code}`];
  if (problem.status !== answer.status) complaints.push(`status ${problem.status} in the body of a ${answer.status}`);
  if (row.status !== answer.status) complaints.push(`${problem.code} is ${row.status} in the catalogue`);
  if (row.title !== problem.title) complaints.push(`the title of ${problem.code} differs from the catalogue's`);
  if (row.retryable !== 'depends' && row.retryable !== problem.retryable) {
    complaints.push(`${problem.code} says retryable: ${problem.retryable}`);
  }
  if (problem.type !== `urn:twofold:problem:${problem.code}`) complaints.push(`type ${problem.type}`);
  const after = answer.headers['retry-after'];
  if ((problem.retry_after_seconds ?? '').toString() !== (after ?? '')) {
    complaints.push('retry_after_seconds differs from the field Retry-After');
  }
  return complaints;
}

function explain(errors) {
  const last = errors[errors.length - 1];
  return `${last.instancePath || '/'} ${last.message} ${JSON.stringify(last.params)}`;
}

export function media_type(text) {
  return (text ?? '').split(';')[0].trim().toLowerCase();
}
