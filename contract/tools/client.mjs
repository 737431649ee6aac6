// HTTP in two forms: proper requests over kept connections, and bytes as they are.
import http from 'node:http';
import net from 'node:net';

export class Client {
  constructor(port) {
    this.port = port;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 16 });
  }

  // Resolves to {status, headers, body}; rejects when there is no complete answer. A stream of events is read for as
  // long as `listen_ms` says, everything else to its end.
  send({ method, target, headers = {}, body, listen_ms = 0, timeout_ms = 20000 }) {
    return new Promise((resolve, reject) => {
      // Node leaves the length out where a body is unusual, and the body would be taken for the next request.
      const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
      const options = { host: '127.0.0.1', port: this.port, agent: this.agent, method, path: target,
        headers: { ...length, ...headers } };
      const request = http.request(options, (response) => {
        const pieces = [];
        const finish = () => {
          resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces).toString() });
        };
        response.on('data', (piece) => pieces.push(piece));
        response.on('end', finish);
        response.on('error', reject);
        if (listen_ms > 0 && response.headers['content-type'] === 'text/event-stream') {
          setTimeout(() => { finish(); request.destroy(); }, listen_ms);
        }
      });
      request.setTimeout(timeout_ms, () => request.destroy(new Error(`no answer within ${timeout_ms} ms`)));
      request.on('error', reject);
      request.end(body);
    });
  }

  // Sends the bytes, and reads one answer. The other side must close or the answer must have a length.
  raw(bytes, timeout_ms = 20000) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(this.port, '127.0.0.1', () => socket.write(bytes));
      let input = Buffer.alloc(0);
      const done = (error) => {
        socket.destroy();
        const answer = parse(input);
        answer ? resolve(answer) : reject(error ?? new Error('the connection ended without an answer'));
      };
      socket.on('data', (piece) => {
        input = Buffer.concat([input, piece]);
        if (parse(input)) done();
      });
      socket.on('end', () => done());
      socket.on('error', done);
      socket.setTimeout(timeout_ms, () => done(new Error('no answer')));
    });
  }

  close() {
    this.agent.destroy();
  }
}

// One answer with a Content-Length (the servers send no other to requests that they refuse), or nothing yet.
function parse(input) {
  const split = input.indexOf('\r\n\r\n');
  if (split < 0) return null;
  const [status_line, ...lines] = input.subarray(0, split).toString().split('\r\n');
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const status = Number(status_line.split(' ')[1]);
  if (status === 100) return parse(input.subarray(split + 4));
  const length = Number(headers['content-length'] ?? 0);
  const body = input.subarray(split + 4, split + 4 + length);
  return body.length < length ? null : { status, headers, body: body.toString() };
}
