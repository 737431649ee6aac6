// Walks every operation of one document with generated requests, and judges every answer.
import fc from 'fast-check';
import { Generator, mutation, sample } from './generate.mjs';
import { media_type, verify } from './verify.mjs';
import { vocabulary } from './vocabulary.mjs';
import { wire_cases } from './wire.mjs';

// What a request must be answered with, as far as the document says.
const VALID = 'valid';      // not refused for its form
const INVALID = 'invalid';  // refused
const ANY = 'any';          // whatever is documented

const SLOW = ['/metrics', '/openapi.json', '/v1/events'];
const WRONG_TEXTS = ['', '0', ' ', '-1', '1.5', 'x', '99999999999999999999999', 'a'.repeat(300), 'ä', '\u0001', 'null',
  '%', 'a=b=c', '""', '"', '"x'];
const WRONG_TYPES = ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', 'text/json',
  'multipart/form-data', '', 'json'];

export class Campaign {
  // `world` sends requests and knows what is there; see world.mjs.
  constructor(document, world, journal, seed) {
    this.document = document;
    this.world = world;
    this.journal = journal;
    this.seed = seed;
    this.generator = new Generator(document, vocabulary(document.name));
  }

  // About `count` requests to each operation.
  async run(count) {
    for (const operation of this.document.operations) {
      const share = SLOW.includes(operation.path) ? Math.ceil(count / 8) : count;
      for (const request of this.requests(operation, share)) {
        await this.world.prepare(operation);
        await this.exchange(operation, request);
      }
      await this.wrong_methods(operation);
    }
    await this.wire();
  }

  // {parameters, body, headers, expect, about}
  *requests(operation, count) {
    const body_count = operation.body ? Math.ceil(count / 2) : 0;
    for (const example of Object.values(operation.body?.examples ?? {})) {
      yield { parameters: {}, body: JSON.stringify(example.value), expect: VALID, about: 'an example of the document' };
    }
    const parameters = this.samples(operation, this.parameters(operation), count, 'parameters');
    const bodies = operation.body
      ? this.samples(operation, this.generator.of(operation.body.schema), count, 'body') : [];
    for (let i = 0; i < count - body_count; ++i) {
      const body = bodies[i] === undefined ? undefined : JSON.stringify(bodies[i]);
      yield { parameters: parameters[i], body, expect: VALID, about: 'as documented' };
    }
    for (let i = 0; i < body_count; ++i) {
      yield { parameters: parameters[i], ...this.mutated(operation, bodies[i], i), about: 'a mutated body' };
    }
    yield* this.wrong_parameters(operation, parameters, bodies);
    if (operation.body) yield* this.wrong_types(parameters, bodies);
    const body = bodies[0] === undefined ? undefined : JSON.stringify(bodies[0]);
    yield { parameters: parameters[0], body, surplus: 'a=%zz', status: 400, about: 'a broken query' };
    if (!operation.body) {
      const headers = { 'content-type': 'text/plain' };
      yield { parameters: parameters[0], body: 'x', headers, status: 415, about: 'a body where none belongs' };
    }
  }

  samples(operation, arbitrary, count, label) {
    return sample(arbitrary, count, this.seed, `${operation.id} ${label}`);
  }

  parameters(operation) {
    const shape = Object.fromEntries(
      operation.parameters.map((one) => [one.name, this.generator.named(operation, one)]));
    const required = operation.parameters.filter((one) => one.required).map((one) => one.name);
    return fc.record(shape, { requiredKeys: required }).map((values) => {
      // The context that is passed along names the same transaction as the path.
      return 'Twofold-Transaction' in values ? { ...values, 'Twofold-Transaction': values.id } : values;
    });
  }

  mutated(operation, value, index) {
    const [{ body, path }] = this.samples(operation, mutation(value), 1, `mutation ${index}`);
    return { body, expect: this.judged(operation, body, path) };
  }

  // Whether the document allows this body. What is inside of a branch's work is judged by the participant, and its
  // refusal is the outcome of the transaction.
  judged(operation, body, path) {
    if (path?.includes('work') || path?.includes('params')) return ANY;
    let value;
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(body)));
    } catch {
      return body.length === 0 && !operation.bodyRequired ? ANY : INVALID;
    }
    if (JSON.stringify(value).includes('\\ud800')) return ANY;
    if (path === null) return ANY;
    const text = this.world.substituted(JSON.stringify(value), operation);
    return this.document.validator(operation.bodyPointer)(JSON.parse(text)) ? VALID : INVALID;
  }

  *wrong_parameters(operation, parameters, bodies) {
    const body = bodies[0] === undefined ? undefined : JSON.stringify(bodies[0]);
    const inside = operation.parameters.filter((one) => one.required).map((one) => [one.name, parameters[0][one.name]]);
    const least = Object.fromEntries(inside);
    for (const one of operation.parameters) {
      for (const wrong of WRONG_TEXTS) {
        const schema = this.document.resolve(one.schema);
        const number = schema.type === 'integer' && /^\d+$/.test(wrong) ? Number(wrong) : wrong;
        const value = schema.type === 'array' ? [wrong] : number;
        const fits = this.document.ajv.validate({ $ref: `${this.document.name}#`, ...schema }, value);
        const expect = fits || one.in === 'path' ? ANY : INVALID;
        yield { parameters: { ...least, [one.name]: wrong }, body, expect, about: `parameter ${one.name}` };
      }
    }
    for (const one of operation.parameters.filter((each) => each.required && each.in !== 'path')) {
      const { [one.name]: _, ...others } = parameters[0];
      yield { parameters: others, body, expect: INVALID, about: `no ${one.name}` };
    }
    if (operation.parameters.some((one) => one.in === 'query')) {
      yield { parameters: least, surplus: 'surplus=1', body, expect: INVALID, about: 'an unknown parameter' };
    }
  }

  *wrong_types(parameters, bodies) {
    for (const type of WRONG_TYPES) {
      const body = JSON.stringify(bodies[0]);
      yield { parameters: parameters[0], body, headers: { 'content-type': type }, status: 415, about: `type ${type}` };
    }
    const type = 'Application/JSON ; charset="utf-8"';
    const body = JSON.stringify(bodies[0]);
    yield { parameters: parameters[0], body, headers: { 'content-type': type }, expect: VALID,
      about: 'a type with parameters' };
  }

  async exchange(operation, request) {
    const sent = await this.world.send(this.document, operation, request);
    this.journal.answered(operation, sent.answer);
    this.judge(operation, request, sent);
    this.world.learn(operation, sent.answer);
    return sent.answer;
  }

  judge(operation, request, sent) {
    const complain = (text) => this.journal.violation(operation, request, sent, text);
    const { status } = sent.answer;
    if (status >= 500 && status !== 503) complain(`a ${status}, which is never expected`);
    if (request.status && request.status !== status) complain(`expected ${request.status}`);
    const response = this.document.response(operation, status);
    if (!response) return complain('this status is not documented');
    this.journal.keep(operation, response, sent.answer);
    for (const text of verify(this.document, response, sent.answer, this.world.catalogue)) complain(text);
    const refused = status >= 400;
    const form = [400, 405, 415].includes(status);
    if (request.expect === VALID && form) complain('the document allows this request');
    if (request.expect === INVALID && !refused && status !== 202) complain('the document does not allow this request');
  }

  // Methods that the path does not have, HEAD, OPTIONS, and paths that are not there.
  async wrong_methods(operation) {
    const [parameters] = this.samples(operation, this.parameters(operation), 1, 'methods');
    const item = this.document.value.paths[operation.path];
    const allow = this.document.allow(operation.path).join(', ');
    for (const method of ['GET', 'PUT', 'POST', 'DELETE', 'PATCH', 'TRACE', 'OPTIONS']) {
      if (method.toLowerCase() in item) continue;
      const sent = await this.world.send(this.document, operation, { parameters, method });
      const complain = (text) => this.journal.violation(operation, { about: method }, sent, text);
      this.journal.answered(operation, sent.answer);
      const status = method === 'OPTIONS' ? 204 : 405;
      if (sent.answer.status !== status) complain(`expected ${status}`);
      if ((sent.answer.headers.allow ?? '').split(', ').sort().join(', ') !== allow) complain(`Allow must be ${allow}`);
      if (status === 204) continue;
      const response = this.document.component('MethodNotAllowed');
      for (const text of verify(this.document, response, sent.answer, this.world.catalogue)) complain(text);
    }
    if (operation.method === 'get') await this.head(operation, parameters);
    await this.nowhere(operation, parameters);
  }

  async head(operation, parameters) {
    const sent = await this.world.send(this.document, operation, { parameters, method: 'HEAD' });
    const response = this.document.response(operation, sent.answer.status);
    const complain = (text) => this.journal.violation(operation, { about: 'HEAD' }, sent, text);
    this.journal.answered(operation, sent.answer);
    if (!response) return complain('this status is not documented');
    if (sent.answer.body.length > 0) complain('HEAD has a body');
    if (!(media_type(sent.answer.headers['content-type']) in response.value.content)) complain('another type than GET');
  }

  async nowhere(operation, parameters) {
    for (const suffix of ['/', '/sur/plus', '//x']) {
      const sent = await this.world.send(this.document, operation, { parameters, method: 'GET', suffix });
      const complain = (text) => this.journal.violation(operation, { about: `path with ${suffix}` }, sent, text);
      this.journal.answered(operation, sent.answer);
      const response = this.document.component('NoSuchRoute');
      for (const text of verify(this.document, response, sent.answer, this.world.catalogue)) complain(text);
    }
  }

  async wire() {
    const [operation] = this.document.operations;
    for (const one of wire_cases('/livez')) {
      const answer = await this.world.raw(this.document, one.bytes);
      const sent = { answer, line: one.name };
      const complain = (text) => this.journal.violation(operation, { about: one.name }, sent, text);
      this.journal.answered(operation, answer);
      if (!one.may.includes(answer.status)) complain(`expected ${one.may}`);
      if (answer.status === 200) continue;
      const response = this.document.response(operation, answer.status);
      if (!response) { complain('this status is not documented'); continue; }
      this.journal.keep(operation, response, answer);
      for (const text of verify(this.document, response, answer, this.world.catalogue)) complain(text);
    }
  }
}
