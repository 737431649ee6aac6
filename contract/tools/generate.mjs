// JSON Schema to arbitrary values (fast-check), and single mutations of a valid value.
//
// Some schemas have a vocabulary: values that mean something to the servers under test. Text such as "@txn:3" stands
// for something that is known only at run time; the tester replaces it when it sends.
import fc from 'fast-check';

const DEPTH_MAX = 4;

export class Generator {
  constructor(document, vocabulary) {
    this.document = document;
    this.vocabulary = vocabulary;
  }

  // Of a parameter: it may have words of its own, or of its own in this operation.
  named(operation, { name, schema }) {
    return (this.vocabulary[`${operation.method} ${name}`] ?? this.vocabulary[name])?.only ?? this.of(schema);
  }

  of(schema, depth = 0) {
    if (schema.$ref) {
      const target = this.document.resolve(schema);
      const fits = target.if || target.dependentRequired ? this.document.validator(schema.$ref) : () => true;
      const own = this.of(target, depth + 1).filter((value) => fits(value));
      const words = this.vocabulary[schema.$ref.split('/').pop()];
      if (!words) return own;
      return words.only ? words.only : fc.oneof({ weight: 4, arbitrary: words.often }, { weight: 1, arbitrary: own });
    }
    if ('const' in schema) return fc.constant(schema.const);
    if (schema.enum) return fc.constantFrom(...schema.enum);
    if (schema.oneOf) return fc.oneof(...schema.oneOf.map((choice) => this.of(choice, depth + 1)));
    if (schema.allOf && !schema.properties) return this.of(schema.allOf[0], depth);
    const types = [schema.type].flat();
    const simple = types.filter((type) => type !== 'array' && type !== 'object');
    const usable = depth > DEPTH_MAX && simple.length > 0 ? simple : types;
    return fc.oneof(...usable.map((type) => this.#typed(type, schema, depth)));
  }

  #typed(type, schema, depth) {
    switch (type) {
      case 'null': return fc.constant(null);
      case 'boolean': return fc.boolean();
      case 'integer': {
        const min = schema.minimum ?? -1000;
        const max = schema.maximum ?? 2 ** 53 - 1;
        return fc.oneof(fc.integer({ min, max: Math.min(max, min + 100) }), fc.maxSafeInteger().map(
          (n) => Math.min(max, Math.max(min, n))));
      }
      case 'number': return fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }));
      case 'string': return this.#text(schema);
      case 'array':
        return fc.array(this.of(schema.items, depth + 1), {
          minLength: schema.minItems ?? 0, maxLength: Math.min(schema.maxItems ?? 4, (schema.minItems ?? 0) + 3),
        });
      case 'object': return this.#object(schema, depth);
    }
    throw new Error(`no values for ${JSON.stringify(schema)}`);
  }

  #text(schema) {
    if (schema.pattern) return fc.stringMatching(new RegExp(schema.pattern));
    // ASCII: the servers count bytes, the schema counts characters.
    return fc.string({ minLength: schema.minLength ?? 0, maxLength: Math.min(schema.maxLength ?? 40, 40) });
  }

  #object(schema, depth) {
    const properties = Object.fromEntries(Object.entries(schema.properties ?? {}).map(
      ([name, value]) => [name, this.of(value, depth + 1)]));
    const known = fc.record(properties, { requiredKeys: schema.required ?? [] });
    if (typeof schema.additionalProperties !== 'object') return known;
    const names = this.of(schema.propertyNames ?? { type: 'string', minLength: 1, maxLength: 20 }, depth + 1);
    return fc.dictionary(names, this.of(schema.additionalProperties, depth + 1), { maxKeys: 4 });
  }
}

// A list of values that depends on the seed and the label only.
export function sample(arbitrary, count, seed, label) {
  return fc.sample(arbitrary, { numRuns: count, seed: hash(seed, label) });
}

export function hash(seed, label) {
  let value = seed | 0;
  for (const c of label) value = Math.imul(value ^ c.charCodeAt(0), 16777619);
  return value;
}

// ---- mutations ------------------------------------------------------------------------------------------------------

// Every place in a value, as a list of names and indices.
function places(value, path = [], found = []) {
  found.push(path);
  if (value !== null && typeof value === 'object') {
    for (const name of Object.keys(value)) places(value[name], [...path, name], found);
  }
  return found;
}

function replaced(value, path, change) {
  if (path.length === 0) return change(value);
  const copy = Array.isArray(value) ? [...value] : { ...value };
  const [name, ...rest] = path;
  if (rest.length > 0) {
    copy[name] = replaced(copy[name], rest, change);
  } else {
    const made = change(copy[name]);
    if (made === undefined) Array.isArray(copy) ? copy.splice(Number(name), 1) : delete copy[name];
    else copy[name] = made;
  }
  return copy;
}

const WRONG = [null, true, 0, -1, 1.5, 2 ** 53, 1e300, '', 'x', '0', [], {}, [null], { x: 1 }, 'x'.repeat(5000),
  '\u0000', '\ud800', 'ä€😀'];

const NOT_UTF8 = Buffer.from([0xff]);

function grown(value) {
  if (typeof value === 'string') return value + 'x'.repeat(400);
  if (typeof value === 'number') return value + 2 ** 40;
  if (Array.isArray(value)) return Array.from({ length: 70 }, (_, i) => value[i % (value.length || 1)] ?? 1);
  if (value && typeof value === 'object') {
    return { ...value, ...Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`more${i}`, 'x'])) };
  }
  return [[[[value]]]];
}

// One change of a value: {value, path}.
function value_mutation(value) {
  const choices = fc.tuple(fc.constantFrom(...places(value)), fc.nat(9), fc.constantFrom(...WRONG));
  return choices.map(([path, kind, wrong]) => {
    const is_object = (at) => at !== null && typeof at === 'object' && !Array.isArray(at);
    const change = (at) => {
      if (kind < 3) return path.length > 0 ? undefined : wrong;
      if (kind < 5 && is_object(at)) return { ...at, surplus: wrong };
      if (kind < 6) return grown(at);
      return wrong;
    };
    return { value: replaced(value, path, change), path };
  });
}

// A change of the text: nothing parses it any more, or it says two things.
function text_mutation(text) {
  return fc.tuple(fc.nat(7), fc.nat(Math.max(text.length - 1, 0)), fc.constantFrom(...'{}[]",:\u0001\\a0-.')).map(
    ([kind, at, c]) => {
      switch (kind) {
        case 0: return text.slice(0, at);
        case 1: return text.slice(0, at) + c + text.slice(at);
        case 2: return text + c;
        case 3: return text.replace(/^\{/, '{"branches":1,"branches":2,');
        case 4: return Buffer.concat([Buffer.from(text.slice(0, at)), NOT_UTF8, Buffer.from(text.slice(at))]);
        case 5: return '\ufeff' + text;
        case 6: return '['.repeat(at + 100);
        default: return '';
      }
    });
}

// Bodies made of a valid one: {body, path}. `path` is null for a change of the text.
export function mutation(value) {
  const text = JSON.stringify(value);
  return fc.oneof(
    { weight: 4, arbitrary: value_mutation(value).map(
      (made) => ({ body: JSON.stringify(made.value), path: made.path })) },
    { weight: 1, arbitrary: text_mutation(text).map((body) => ({ body, path: null })) });
}
