// A POST can be repeated safely: by a key, or by its nature.
export default function idempotency(operation) {
  const has_key = (operation.parameters ?? []).some((one) => one.name === 'Idempotency-Key' && one.in === 'header');
  const reason = operation['x-idempotent'];
  if (has_key === (typeof reason === 'string')) {
    return [{ message: 'needs either the parameter Idempotency-Key or x-idempotent with a reason' }];
  }
  return [];
}
