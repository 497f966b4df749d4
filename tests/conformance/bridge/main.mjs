// Serves a gateway over HTTP, so that a suite for HTTP servers can test it:
// `node main.mjs PORT legacy|modern COMMAND…`, where COMMAND starts the gateway.
// Messages are forwarded unchanged; statuses, headers and streams are derived from them.

import { createServer } from 'node:http';
import { LegacyFront } from './legacy.mjs';
import { ModernFront } from './modern.mjs';

const [port, era, ...command] = process.argv.slice(2);
const front = era === 'legacy' ? new LegacyFront(command) : new ModernFront(command);

const server = createServer(async (request, response) => {
  if (isForeign(request.headers)) {
    return response.writeHead(403).end();
  }
  const chunks = await Array.fromAsync(request);
  await front.handle(request, response, request.method === 'POST' ? JSON.parse(Buffer.concat(chunks)) : undefined);
});
server.listen(Number(port), '127.0.0.1');

process.on('SIGTERM', async () => {
  server.close();
  await front.close();
  process.exit(0);
});

// DNS rebinding protection: a web page's request has its own host, or its page's origin.
function isForeign({ host, origin }) {
  const local = [`127.0.0.1:${port}`, `localhost:${port}`];
  return !local.includes(host) || (origin !== undefined && !local.includes(origin.replace(/^http:\/\//, '')));
}
