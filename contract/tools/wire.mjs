// Requests that no proper client sends, as bytes, each with the answers that it may get. They are refused by the server
// itself, before any operation: the document lists these answers at every operation.

export function wire_cases(path) {
  const line = (method, target = path, version = 'HTTP/1.1') => `${method} ${target} ${version}\r\n`;
  const host = 'Host: localhost\r\n';
  const end = 'Connection: close\r\n\r\n';
  const get = line('GET') + host;
  const post = line('POST', '/v1/transactions') + host;
  const two = 'Content-Length: 2\r\n';
  return [
    { name: 'no Host', bytes: line('GET') + end, may: [400] },
    { name: 'two Hosts', bytes: get + host + end, may: [400] },
    { name: 'HTTP/2.0', bytes: line('GET', path, 'HTTP/2.0') + host + end, may: [505] },
    { name: 'HTTP/1.0 is spoken', bytes: line('GET', '/livez', 'HTTP/1.0') + '\r\n', may: [200] },
    { name: 'bare line feeds', bytes: `GET ${path} HTTP/1.1\nHost: x\n\n`, may: [400] },
    { name: 'a continued field', bytes: get + 'X-A: 1\r\n 2\r\n' + end, may: [400] },
    { name: 'a field without a colon', bytes: get + 'nonsense\r\n' + end, may: [400] },
    { name: 'a space before the colon', bytes: get + 'X-A : 1\r\n' + end, may: [400] },
    { name: 'a target without a slash', bytes: `GET nonsense HTTP/1.1\r\n${host}${end}`, may: [400] },
    { name: 'a fragment', bytes: line('GET', `${path}#x`) + host + end, may: [400] },
    { name: 'a broken query', bytes: line('GET', `${path}?a=%zz`) + host + end, may: [400] },
    { name: 'a segment that goes up', bytes: line('GET', '/v1/../livez') + host + end, may: [400] },
    { name: 'an encoded slash', bytes: line('GET', '/v1%2flivez') + host + end, may: [400] },
    { name: 'an encoded zero', bytes: line('GET', '/v1/%00') + host + end, may: [400] },
    { name: 'a broken escape', bytes: line('GET', '/v1/%g0') + host + end, may: [400] },
    { name: 'an absolute target', bytes: line('GET', 'http://elsewhere/livez') + host + end, may: [200] },
    { name: '65 fields', bytes: get + 'X-A: 1\r\n'.repeat(65) + end, may: [431] },
    { name: 'a long field', bytes: get + `X-A: ${'a'.repeat(9000)}\r\n` + end, may: [431] },
    { name: 'a long target', bytes: line('GET', `/${'a'.repeat(9000)}`) + host + end, may: [431] },
    { name: 'another transfer encoding', bytes: post + 'Transfer-Encoding: gzip\r\n' + end, may: [501] },
    { name: 'a compressed body', bytes: post + two + 'Content-Encoding: gzip\r\n' + end + '{}', may: [415] },
    { name: 'another expectation', bytes: post + two + 'Expect: magic\r\n' + end + '{}', may: [417] },
    { name: 'two lengths', bytes: post + two + two + end + '{}', may: [400] },
    { name: 'a list of lengths', bytes: post + 'Content-Length: 2, 2\r\n' + end + '{}', may: [400] },
    { name: 'a negative length', bytes: post + 'Content-Length: -2\r\n' + end + '{}', may: [400] },
    { name: 'length and chunks', bytes: post + two + 'Transfer-Encoding: chunked\r\n' + end, may: [400] },
    { name: 'a broken chunk', bytes: post + 'Transfer-Encoding: chunked\r\n' + end + 'zz\r\n', may: [400] },
    { name: 'a huge length', bytes: post + 'Content-Length: 999999999\r\n' + end, may: [413] },
    { name: 'an absurd length', bytes: post + `Content-Length: 9${'9'.repeat(30)}\r\n` + end, may: [400, 413] },
  ];
}
