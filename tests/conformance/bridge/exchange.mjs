// Exchange: a POST that waits for its answer, as a JSON body, or as an event stream if a message precedes the answer.
// InFlight: the requests in flight at one gateway, each with its exchange.

export const ENDED = 'the gateway has ended';

export class Exchange {
  #response;
  #headers;
  #begun = false;

  constructor(request, response, headers = {}) {
    this.request = request;
    this.#response = response;
    this.#headers = headers;
  }

  get progressToken() {
    return this.request.params?._meta?.progressToken;
  }

  onAbandoned(act) {
    this.#response.on('close', () => this.#response.writableFinished || act());
  }

  event(line) {
    if (!this.#begun) {
      this.#begun = true;
      openStream(this.#response, this.#headers);
    }
    writeEvent(this.#response, line);
  }

  answer(line, status) {
    if (this.#begun) {
      writeEvent(this.#response, line);
      this.#response.end();
    } else {
      sendJson(this.#response, status, line, this.#headers);
    }
  }
}

export class InFlight {
  #exchanges = new Map();

  add(exchange) {
    this.#exchanges.set(key(exchange.request.id), exchange);
  }

  has(id) {
    return this.#exchanges.has(key(id));
  }

  get(id) {
    return this.#exchanges.get(key(id));
  }

  take(id) {
    const exchange = this.get(id);
    this.#exchanges.delete(key(id));
    return exchange;
  }

  // Answers every request with an error, since the gateway has ended.
  failAll() {
    for (const { request } of this.all()) {
      const error = { code: -32000, message: ENDED };
      this.take(request.id).answer(JSON.stringify({ jsonrpc: '2.0', id: request.id, error }), 502);
    }
  }

  withProgressToken(token) {
    return this.all().find(({ progressToken }) => progressToken === token);
  }

  all() {
    return [...this.#exchanges.values()];
  }
}

export function openStream(response, headers) {
  response.writeHead(200, { ...headers, 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  response.flushHeaders();
}

export function writeEvent(response, line) {
  response.write(`event: message\ndata: ${line}\n\n`);
}

export function sendJson(response, status, text, headers) {
  response.writeHead(status, { ...headers, 'Content-Type': 'application/json' });
  response.end(text);
}

export function sendError(response, status, id, code, message) {
  sendJson(response, status, JSON.stringify({ jsonrpc: '2.0', id, error: { code, message } }));
}

const key = id => JSON.stringify(id); // 1 is not "1"
