// Tools that answer without input requests: content of each type, progress, log messages, failures.
// Names, arguments and results are those that the conformance suite expects.

import { fromJsonSchema } from '@modelcontextprotocol/server';
import { AUDIO, IMAGE, content, pause, text } from './media.mjs';
import { HEADER_SCHEMA, RICH_SCHEMA } from './schemas.mjs';

export const NO_ARGUMENTS = fromJsonSchema({ type: 'object', properties: {} });

export function registerTools(server) {
  const tool = (name, description, answer, inputSchema = NO_ARGUMENTS) =>
    server.registerTool(name, { description, inputSchema }, answer);

  tool('test_simple_text', 'Answers with text', () => content(text('This is a simple text response for testing.')));
  tool('test_image_content', 'Answers with an image', () => content(IMAGE));
  tool('test_audio_content', 'Answers with a sound', () => content(AUDIO));
  tool('test_embedded_resource', 'Answers with a resource', () =>
    content(resource('test://embedded-resource', 'text/plain', 'This is an embedded resource content.'))
  );
  tool('test_multiple_content_types', 'Answers with text, an image and a resource', () =>
    content(
      text('Multiple content types test:'),
      IMAGE,
      resource('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}')
    )
  );
  tool('test_error_handling', 'Fails', () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
  tool('test_tool_with_logging', 'Logs three messages while it runs', logThrice);
  tool('test_logging_tool', 'Logs a message', logOnce);
  tool('test_tool_with_progress', 'Reports progress while it runs', reportProgress);
  tool('test_x_mcp_header', 'Expects its region in a header', regionSeen, HEADER_SCHEMA);
  tool('json_schema_2020_12_tool', 'Has a schema of many keywords', () => content(text('called')), RICH_SCHEMA);
}

function resource(uri, mimeType, words) {
  return { type: 'resource', resource: { uri, mimeType, text: words } };
}

function regionSeen({ region }) {
  return content(text(`region=${region}`));
}

async function logThrice(_, { mcpReq }) {
  await mcpReq.log('info', 'Tool execution started');
  await pause();
  await mcpReq.log('info', 'Tool processing data');
  await pause();
  await mcpReq.log('info', 'Tool execution completed');
  return content(text('logged three messages'));
}

async function logOnce(_, { mcpReq }) {
  await mcpReq.log('info', 'a log message');
  return content(text('logged one message'));
}

async function reportProgress(_, { mcpReq }) {
  const { progressToken } = mcpReq._meta ?? {};
  for (const progress of [0, 50, 100]) {
    if (progressToken !== undefined) {
      const params = { progressToken, progress, total: 100 };
      await mcpReq.notify({ method: 'notifications/progress', params });
    }
    await pause();
  }
  return content(text('done'));
}
