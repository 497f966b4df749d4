// An MCP server for the conformance suite, over HTTP: `node server.mjs PORT legacy|modern|both`.
// It serves the named eras and refuses the other, so that a gateway has to translate.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import {
  NodeStreamableHTTPServerTransport,
  localhostHostValidation,
  localhostOriginValidation,
  toNodeHandler,
  toWebRequest
} from '@modelcontextprotocol/node';
import { McpServer, createMcpHandler, isInitializeRequest, isLegacyRequest } from '@modelcontextprotocol/server';
import { registerAskingTools, stateCodec } from './asking.mjs';
import { Changes } from './changing.mjs';
import { registerPrompts, registerResources } from './resources.mjs';
import { TASKS, Tasks, registerTaskTools } from './tasks.mjs';
import { registerTools } from './tools.mjs';

const CAPABILITIES = {
  tools: { listChanged: true },
  prompts: { listChanged: true },
  resources: { listChanged: true, subscribe: true },
  completions: {},
  logging: {}
};

const [port, eras] = process.argv.slice(2);
const sessions = new Map();
const changes = new Changes(list => (list === 'tools' ? modern.notify.toolsChanged() : modern.notify.promptsChanged()));
const tasks = new Tasks();
const modern = createMcpHandler(() => build({ extensions: { [TASKS]: {} } }).server, {
  legacy: 'reject',
  onerror: error => console.error(error)
});
const serveModern = toNodeHandler(modern);
const isLocalHost = localhostHostValidation();
const isLocalOrigin = localhostOriginValidation();

createServer(async (request, response) => {
  if (!isLocalHost(request, response) || !isLocalOrigin(request, response)) return;
  try {
    await serve(request, response);
  } catch (error) {
    console.error(error);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  }
}).listen(Number(port), '127.0.0.1');

async function serve(request, response) {
  const body = await read(request);
  const legacy = eras === 'both' ? await isLegacyRequest(await toWebRequest(request, body)) : eras === 'legacy';
  if (legacy) {
    return serveLegacy(request, response, body);
  }
  const answer = tasks.answer(request.headers, body);
  if (!answer) {
    return serveModern(request, response, body);
  }
  const refused = [-32020, -32021].includes(answer.error?.code);
  response.writeHead(refused ? 400 : 200, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify(answer));
}

async function serveLegacy(request, response, body) {
  const id = request.headers['mcp-session-id'];
  const session = id === undefined && isInitializeRequest(body) ? await openSession() : sessions.get(id);
  if (!session) {
    const error = { code: -32000, message: id ? 'Session not found' : 'Bad Request: no session' };
    response.writeHead(id ? 404 : 400, { 'Content-Type': 'application/json' });
    return response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error }));
  }
  return session.handleRequest(request, response, body);
}

async function openSession() {
  const { server, parts } = build();
  const followed = changes.follow(parts);
  const transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: id => sessions.set(id, transport),
    onsessionclosed: id => {
      sessions.delete(id);
      followed.forget();
    }
  });
  await server.connect(transport);
  return transport;
}

function build(more) {
  const info = { name: 'conformance-example', version: '1.0.0' };
  const capabilities = { ...CAPABILITIES, ...more };
  const server = new McpServer(info, { capabilities, requestState: { verify: stateCodec.verify } });
  registerTools(server);
  registerAskingTools(server);
  registerTaskTools(server);
  registerResources(server);
  registerPrompts(server);
  const handle = (method, answer) => server.server.setRequestHandler(method, answer);
  handle('resources/subscribe', () => ({}));
  handle('resources/unsubscribe', () => ({}));
  handle('completion/complete', () => ({ completion: { values: ['paris', 'park'], total: 2, hasMore: false } }));
  if (eras === 'both') nameBothEras(server.server);
  return { server, parts: changes.register(server) };
}

// The SDK's answer to server/discover names modern versions alone: a client of both eras could not choose. It sets its
// handler after the server is built, and that calls this method.
function nameBothEras(server) {
  const discovered = server._ondiscover.bind(server);
  server._ondiscover = () => ({ ...discovered(), supportedVersions: ['2026-07-28', '2025-11-25'] });
}

async function read(request) {
  if (request.method !== 'POST') return undefined;
  const chunks = await Array.fromAsync(request);
  return JSON.parse(Buffer.concat(chunks).toString());
}
