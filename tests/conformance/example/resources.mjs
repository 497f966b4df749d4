// Resources and prompts with the names that the conformance suite expects.

import { ResourceTemplate, fromJsonSchema } from '@modelcontextprotocol/server';
import { promptAfterQuestion } from './asking.mjs';
import { IMAGE, text } from './media.mjs';

export function registerResources(server) {
  const fixed = (name, uri, mimeType, body) =>
    server.registerResource(name, uri, { description: `The resource ${name}`, mimeType }, () => ({
      contents: [{ uri, mimeType, ...body }]
    }));

  const words = 'This is the content of the static text resource.';
  fixed('static-text', 'test://static-text', 'text/plain', { text: words });
  fixed('static-binary', 'test://static-binary', IMAGE.mimeType, { blob: IMAGE.data });
  fixed('watched-resource', 'test://watched-resource', 'text/plain', { text: 'Watched resource content' });

  server.registerResource(
    'template',
    new ResourceTemplate('test://template/{id}/data', { list: undefined }),
    { description: 'A resource for each id', mimeType: 'application/json' },
    (uri, { id }) => {
      const filled = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
      return { contents: [{ uri: uri.href, mimeType: 'application/json', text: filled }] };
    }
  );
}

export function registerPrompts(server) {
  const prompt = (name, description, args, answer) =>
    server.registerPrompt(name, { description, ...(args && { argsSchema: strings(args) }) }, answer);

  prompt('test_simple_prompt', 'Has no arguments', null, () => messages(text('This is a simple prompt for testing.')));
  prompt('test_prompt_with_arguments', 'Has two arguments', ['arg1', 'arg2'], ({ arg1, arg2 }) =>
    messages(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`))
  );
  prompt('test_prompt_with_embedded_resource', 'Embeds a resource', ['resourceUri'], ({ resourceUri }) =>
    messages(
      {
        type: 'resource',
        resource: { uri: resourceUri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' }
      },
      text('Please process the embedded resource above.')
    )
  );
  prompt('test_prompt_with_image', 'Embeds an image', null, () =>
    messages(IMAGE, text('Please analyze the image above.'))
  );
  prompt('test_input_required_result_prompt', 'Asks a question first', null, promptAfterQuestion);
}

function messages(...parts) {
  return { messages: parts.map(content => ({ role: 'user', content })) };
}

function strings(names) {
  const string = name => [name, { type: 'string', description: `The argument ${name}` }];
  const properties = Object.fromEntries(names.map(string));
  return fromJsonSchema({ type: 'object', properties, required: names });
}
