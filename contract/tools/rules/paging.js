// A list has pages, or something else bounds it.
export default function paging(operation) {
  const schema = operation.responses?.['200']?.content?.['application/json']?.schema;
  const is_list = Object.values(schema?.properties ?? {}).some((one) => one.type === 'array');
  const names = (operation.parameters ?? []).filter((one) => one.in === 'query').map((one) => one.name);
  const paged = names.includes('cursor') && names.includes('limit');
  const single = (operation.parameters ?? []).some((one) => one.in === 'path');
  if (!is_list || single || paged || typeof operation['x-bounded'] === 'string') return [];
  return [{ message: 'needs limit and cursor, or x-bounded with a reason' }];
}
