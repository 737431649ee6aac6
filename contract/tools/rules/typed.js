// Says of every schema what it is. An object names its members, or gives the type of members of any name; it refuses
// others, unless it is a part of several objects (x-common), which refuse them.
const WHAT = ['type', '$ref', 'const', 'enum', 'oneOf', 'anyOf', 'allOf'];

export default function typed(schema, _, context) {
  const found = [];
  visit(schema, [...context.path], found, new Set());
  return found;
}

function visit(schema, path, found, seen) {
  if (typeof schema !== 'object' || schema === null || seen.has(schema)) return;
  seen.add(schema);
  const complain = (message) => found.push({ message, path });
  if (!WHAT.some((word) => word in schema)) complain('a schema without a type');
  const types = [schema.type].flat();
  if (types.includes('object') && !schema.allOf) {
    if (!schema.properties && !schema.additionalProperties) complain('an object without members');
    if (!('additionalProperties' in schema) && !schema['x-common']) complain('an object that allows any member');
  }
  const is_open = schema.allOf && schema.properties && !('unevaluatedProperties' in schema);
  if (is_open) complain('an object that allows any member');
  if (types.includes('array') && !schema.items) complain('an array of anything');
  for (const [name, value] of Object.entries(schema.properties ?? {})) {
    visit(value, [...path, 'properties', name], found, seen);
  }
  for (const word of ['oneOf', 'anyOf', 'allOf']) {
    (schema[word] ?? []).forEach((value, i) => visit(value, [...path, word, i], found, seen));
  }
  visit(schema.items, [...path, 'items'], found, seen);
  visit(schema.additionalProperties, [...path, 'additionalProperties'], found, seen);
}
