// The HTTP headers of the modern era that must match their message.

export const KEY = 'io.modelcontextprotocol/';
const NAMED = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
  'tasks/get': 'taskId',
  'tasks/update': 'taskId',
  'tasks/cancel': 'taskId'
};

// The first header that is missing or contradicts the message; undefined if there is none.
export function contradiction(headers, { method, params }) {
  const version = params?._meta?.[`${KEY}protocolVersion`];
  const expected = { 'mcp-protocol-version': version ?? headers['mcp-protocol-version'], 'mcp-method': method };
  if (NAMED[method]) {
    expected['mcp-name'] = params?.[NAMED[method]];
  }
  return Object.keys(expected).find(name => headers[name] === undefined || decoded(headers[name]) !== expected[name]);
}

function decoded(value) {
  const encoded = /^=\?base64\?(.*)\?=$/.exec(value);
  return encoded ? Buffer.from(encoded[1], 'base64').toString() : value.trim();
}
