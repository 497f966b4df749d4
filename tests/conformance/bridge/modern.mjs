// Streamable HTTP of 2026-07-28: no sessions, so one gateway process serves every request.

import { Exchange, ENDED, InFlight, sendError } from './exchange.mjs';
import { Gateway } from './gateway.mjs';
import { KEY, contradiction } from '../shared/headers.mjs';

const STATUS = { [-32601]: 404, [-32600]: 400, [-32700]: 400, [-32020]: 400, [-32021]: 400, [-32022]: 400 };

export class ModernFront {
  #gateway;
  #inFlight = new InFlight();
  #ended = false;

  constructor(command) {
    this.#gateway = new Gateway(command, (message, line) => this.#take(message, line), () => {
      this.#ended = true;
      this.#inFlight.failAll();
    });
  }

  handle(request, response, message) {
    if (request.method !== 'POST') {
      return response.writeHead(405).end();
    }
    const wrong = contradiction(request.headers, message);
    if (wrong) {
      return sendError(response, 400, message.id, -32020, `the header ${wrong} does not match the message`);
    }
    if (message.id === undefined) {
      this.#gateway.send(message);
      return response.writeHead(202).end();
    }
    if (this.#ended) {
      return sendError(response, 502, message.id, -32000, ENDED);
    }
    if (this.#inFlight.has(message.id)) {
      return sendError(response, 400, message.id, -32600, 'a request with this id is in flight');
    }
    this.#begin(message, response);
  }

  async close() {
    await this.#gateway.close();
  }

  #begin(message, response) {
    const exchange = new Exchange(message, response);
    exchange.onAbandoned(() => this.#cancel(message.id));
    this.#inFlight.add(exchange);
    this.#gateway.send(message);
  }

  #cancel(requestId) {
    if (this.#inFlight.take(requestId)) {
      this.#gateway.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } });
    }
  }

  #take(message, line) {
    if (message.method === undefined) {
      const exchange = this.#inFlight.take(message.id);
      return exchange?.answer(line, statusOf(message, exchange.request));
    }
    this.#requestOf(message)?.event(line);
  }

  #requestOf({ method, params }) {
    if (method === 'notifications/progress') {
      return this.#inFlight.withProgressToken(params.progressToken);
    }
    if (params?._meta && `${KEY}subscriptionId` in params._meta) {
      return this.#inFlight.get(params._meta[`${KEY}subscriptionId`]);
    }
    // A log message doesn't name its request: use the latest that requested log messages, or the latest of all, so that
    // the suite sees a log message that should not have been sent.
    const calls = this.#inFlight.all().filter(({ request }) => request.method !== 'subscriptions/listen').reverse();
    return calls.find(({ request }) => request.params?._meta?.[`${KEY}logLevel`]) ?? calls[0];
  }
}

function statusOf({ error }, { params }) {
  if (error?.code === -32602 && ['protocolVersion', 'clientCapabilities'].some(name => !params?._meta?.[KEY + name])) {
    return 400;
  }
  return STATUS[error?.code] ?? 200;
}
