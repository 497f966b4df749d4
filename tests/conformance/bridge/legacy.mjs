// Streamable HTTP up to 2025-11-25: each session has its own gateway process, which `initialize` starts and DELETE
// ends. A message that is not a response goes to the stream of its request, or else to the session's GET stream.

import { randomUUID } from 'node:crypto';
import { Exchange, InFlight, openStream, sendError, writeEvent } from './exchange.mjs';
import { Gateway } from './gateway.mjs';

export class LegacyFront {
  #command;
  #sessions = new Map();

  constructor(command) {
    this.#command = command;
  }

  async handle(request, response, body) {
    const id = request.headers['mcp-session-id'];
    if (id === undefined && body?.method === 'initialize') {
      return this.#open().post(response, body);
    }
    const session = this.#sessions.get(id);
    if (!session) {
      const [status, message] = id ? [404, 'session not found'] : [400, 'no session id'];
      return sendError(response, status, body?.id ?? null, -32600, message);
    }
    if (request.method === 'GET') return session.listen(response);
    if (request.method === 'DELETE') return this.#close(id, session, response);
    return session.post(response, body);
  }

  async close() {
    await Promise.all([...this.#sessions.values()].map(session => session.close()));
  }

  #open() {
    const id = randomUUID();
    const session = new Session(this.#command, id, () => this.#sessions.delete(id));
    this.#sessions.set(id, session);
    return session;
  }

  async #close(id, session, response) {
    this.#sessions.delete(id);
    await session.close();
    response.writeHead(204).end();
  }
}

class Session {
  #gateway;
  #headers;
  #inFlight = new InFlight();
  #stream;
  #queued = [];

  constructor(command, id, onEnd) {
    this.#headers = { 'Mcp-Session-Id': id };
    const end = () => {
      this.#inFlight.failAll();
      onEnd();
    };
    this.#gateway = new Gateway(command, (message, line) => this.#take(message, line), end);
  }

  post(response, message) {
    if (message.method === undefined || message.id === undefined) {
      this.#gateway.send(message);
      return response.writeHead(202).end();
    }
    this.#inFlight.add(new Exchange(message, response, this.#headers));
    this.#gateway.send(message);
  }

  listen(response) {
    openStream(response, this.#headers);
    this.#stream = response;
    response.on('close', () => (this.#stream = undefined));
    for (const line of this.#queued.splice(0)) {
      writeEvent(response, line);
    }
  }

  async close() {
    await this.#gateway.close();
    this.#stream?.end();
  }

  #take(message, line) {
    if (message.method === undefined) {
      return this.#inFlight.take(message.id)?.answer(line, 200);
    }
    const exchange = this.#requestOf(message);
    if (exchange) {
      exchange.event(line);
    } else if (this.#stream) {
      writeEvent(this.#stream, line);
    } else {
      this.#queued.push(line);
    }
  }

  // The request that a message belongs to. Progress names it; a server request, its cancellation and a log message
  // don't, so they belong to a request only if no other is in flight.
  #requestOf({ id, method, params }) {
    if (method === 'notifications/progress') {
      return this.#inFlight.withProgressToken(params.progressToken);
    }
    const ofARequest = id !== undefined || ['notifications/message', 'notifications/cancelled'].includes(method);
    const all = this.#inFlight.all();
    return ofARequest && all.length === 1 ? all[0] : undefined;
  }
}
