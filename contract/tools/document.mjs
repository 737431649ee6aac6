// An OpenAPI document as the tester sees it: operations with resolved parameters, and validators for every schema.
import { readFileSync } from 'node:fs';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const METHODS = ['get', 'put', 'post', 'delete', 'patch'];

export class Document {
  constructor(name, text) {
    this.name = name;
    this.text = text;
    this.value = JSON.parse(text);
    this.ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: true });
    addFormats(this.ajv);
    // Codes that other participants may add to: the servers under test may not.
    this.ajv.addKeyword({
      keyword: 'x-extensible-enum',
      validate: (known, value) => known.includes(value),
      error: { message: 'must be one of x-extensible-enum' },
    });
    this.ajv.addSchema(this.value, this.name);
    this.compiled = new Map();
    this.operations = [...this.#operations()];
  }

  static read(name, file) {
    return new Document(name, readFileSync(file, 'utf8'));
  }

  resolve(value) {
    let pointer = null;
    while (value && value.$ref) {
      pointer = value.$ref;
      value = pointer.slice(2).split('/').reduce((at, part) => at[unescape_pointer(part)], this.value);
    }
    return value;
  }

  *#operations() {
    for (const [path, item] of Object.entries(this.value.paths)) {
      for (const method of METHODS.filter((name) => name in item)) {
        const operation = item[method];
        const parameters = (operation.parameters ?? []).map((parameter) => this.resolve(parameter));
        const body = operation.requestBody?.content['application/json'];
        const pointer = `#/paths/${escape_pointer(path)}/${method}`;
        yield {
          document: this, path, method, pointer, parameters,
          id: `${this.name}.${operation.operationId}`,
          body, bodyRequired: operation.requestBody?.required ?? false,
          bodyPointer: `${pointer}/requestBody/content/application~1json/schema`,
          responses: operation.responses,
        };
      }
    }
  }

  // A function that is true for valid values; its `errors` say what is wrong.
  validator(pointer) {
    if (!this.compiled.has(pointer)) {
      this.compiled.set(pointer, this.ajv.compile({ $ref: `${this.name}${pointer}` }));
    }
    return this.compiled.get(pointer);
  }

  // What the document says about an answer with this status, and where it says so.
  response(operation, status) {
    const found = operation.responses[status];
    if (!found) return null;
    const pointer = found.$ref ?? `${operation.pointer}/responses/${status}`;
    return { pointer, value: this.resolve(found) };
  }

  component(name) {
    return { pointer: `#/components/responses/${name}`, value: this.value.components.responses[name] };
  }

  // The methods of a path, as `Allow` must name them.
  allow(path) {
    const methods = METHODS.filter((method) => method in this.value.paths[path]).map((name) => name.toUpperCase());
    return [...methods, ...(methods.includes('GET') ? ['HEAD'] : []), 'OPTIONS'].sort();
  }
}

function escape_pointer(text) {
  return encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'));
}

function unescape_pointer(text) {
  return decodeURIComponent(text).replaceAll('~1', '/').replaceAll('~0', '~');
}
