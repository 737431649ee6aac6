// Every error answer of an operation is a problem with a list of codes; 400 and 503 are always possible.
export default function problem_answers(responses) {
  const found = [];
  for (const status of ['400', '503']) {
    if (!(status in responses)) found.push({ message: `${status} is missing: every server can answer it` });
  }
  for (const [status, response] of Object.entries(responses)) {
    if (Number(status) < 400) continue;
    const problem = response.content?.['application/problem+json'];
    const properties = problem?.schema?.properties;
    if (!problem) found.push({ message: `${status} must have application/problem+json` });
    else if (!properties?.code?.enum) found.push({ message: `${status} must list its codes` });
    else if (properties.status?.const !== Number(status)) found.push({ message: `${status} must fix its status` });
    const again = ['429', '503'].includes(status);
    if (again && !response.headers?.['Retry-After']) found.push({ message: `${status} must have Retry-After` });
  }
  return found;
}
