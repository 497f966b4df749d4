// Tools and a prompt that request input from their client before they answer.
// Each is written for the modern era: it returns input requests until the call has the responses.
// To a legacy client the SDK sends the same as server requests during the call.

import {
  CLIENT_CAPABILITIES_META_KEY,
  ProtocolError,
  ProtocolErrorCode,
  acceptedContent,
  createRequestStateCodec,
  fromJsonSchema,
  inputRequired
} from '@modelcontextprotocol/server';
import { content, text } from './media.mjs';
import {
  COLOR_FORM,
  CONFIRM_FORM,
  CONTACT_FORM,
  CONTEXT_FORM,
  DEFAULTS_FORM,
  ENUMS_FORM,
  NAME_FORM
} from './schemas.mjs';
import { NO_ARGUMENTS } from './tools.mjs';

// Signs the request state; the server refuses a state that the client has changed.
export const stateCodec = createRequestStateCodec({ key: crypto.getRandomValues(new Uint8Array(32)) });

export function registerAskingTools(server) {
  const tool = (name, description, answer, argument) => {
    const inputSchema = argument ? oneString(argument) : NO_ARGUMENTS;
    server.registerTool(name, { description, inputSchema }, answer);
  };

  tool('test_sampling', 'Asks the model', ({ prompt }, context) => askModel(context, 'answer', prompt), 'prompt');
  tool('test_elicitation', 'Asks for a contact', ({ message }, context) =>
    fillForm(context, 'contact', message, CONTACT_FORM), 'message');
  tool('test_elicitation_sep1034_defaults', 'Asks with defaults', (_, context) =>
    fillForm(context, 'form', 'Please review the values', DEFAULTS_FORM));
  tool('test_elicitation_sep1330_enums', 'Asks to select', (_, context) =>
    fillForm(context, 'form', 'Please select', ENUMS_FORM));
  tool('test_missing_capability', 'Needs sampling', (_, context) => askModel(context, 'answer', 'Say something'));
  tool('test_streaming_elicitation', 'Asks for a confirmation', (_, context) =>
    fillForm(context, 'confirm', 'Please confirm', CONFIRM_FORM));

  tool('test_input_required_result_elicitation', 'Asks for a name', greet);
  tool('test_input_required_result_sampling', 'Asks the model', (_, context) =>
    askModel(context, 'capital_question', 'What is the capital of France?'));
  tool('test_input_required_result_list_roots', 'Asks for the roots', nameRoots);
  tool('test_input_required_result_request_state', 'Asks, and expects its state back', (_, context) => confirm(context));
  tool('test_input_required_result_tampered_state', 'Asks, and expects its state unchanged', (_, context) =>
    confirm(context));
  tool('test_input_required_result_multiple_inputs', 'Asks three things at once', askThreeThings);
  tool('test_input_required_result_multi_round', 'Asks one thing after the other', askTwice);
  tool('test_input_required_result_capabilities', 'Asks what its client can answer', (_, context) =>
    askWhatIsDeclared(context, server.server.getClientCapabilities()));
}

export async function promptAfterQuestion({ mcpReq }) {
  const answer = acceptedContent(mcpReq.inputResponses, 'user_context');
  if (!isText(answer?.context)) {
    return ask({ user_context: formRequest('What context should the prompt use?', CONTEXT_FORM) });
  }
  return { messages: [{ role: 'user', content: text(`Use this context: ${answer.context}`) }] };
}

function askModel({ mcpReq }, key, question) {
  const answer = mcpReq.inputResponses?.[key];
  return isText(answer?.content?.text)
    ? content(text(`LLM response: ${answer.content.text}`))
    : ask({ [key]: modelRequest(question) });
}

function fillForm({ mcpReq }, key, message, schema) {
  const answer = mcpReq.inputResponses?.[key];
  return answer
    ? content(text(`User response: action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`))
    : ask({ [key]: formRequest(message, schema) });
}

export function greet(_, { mcpReq }) {
  const answer = acceptedContent(mcpReq.inputResponses, 'user_name');
  return isText(answer?.name)
    ? content(text(`Hello, ${answer.name}!`))
    : ask({ user_name: formRequest('What is your name?', NAME_FORM) });
}

function nameRoots(_, { mcpReq }) {
  const roots = mcpReq.inputResponses?.client_roots?.roots;
  return Array.isArray(roots)
    ? content(text(`Roots: ${roots.map(({ uri }) => uri).join(', ')}`))
    : ask({ client_roots: inputRequired.listRoots() });
}

async function confirm({ mcpReq }) {
  if (!acceptedContent(mcpReq.inputResponses, 'confirm')) {
    return ask({ confirm: formRequest('Please confirm', CONFIRM_FORM) }, { asked: 'confirm' });
  }
  if (mcpReq.requestState()?.asked !== 'confirm') {
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'the input responses came without their request state');
  }
  return content(text('state-ok'));
}

async function askThreeThings(_, { mcpReq }) {
  const { user_name: name, greeting, client_roots: roots } = mcpReq.inputResponses ?? {};
  if (name && greeting && roots) {
    return content(text(`${greeting.content.text} ${name.content?.name}, of ${roots.roots.length} roots`));
  }
  return ask({
    user_name: formRequest('What is your name?', NAME_FORM),
    greeting: modelRequest('Generate a greeting'),
    client_roots: inputRequired.listRoots()
  }, { asked: 'three things' });
}

async function askTwice(_, { mcpReq }) {
  const { round = 0, name } = mcpReq.requestState() ?? {};
  const answers = mcpReq.inputResponses;
  if (round === 0) {
    return ask({ step1: formRequest('Step 1: What is your name?', NAME_FORM) }, { round: 1 });
  }
  if (round === 1) {
    const given = acceptedContent(answers, 'step1')?.name;
    return ask({ step2: formRequest('Step 2: What is your favorite color?', COLOR_FORM) }, { round: 2, name: given });
  }
  return content(text(`${name} likes ${acceptedContent(answers, 'step2')?.color}`));
}

// A modern request declares capabilities itself, a legacy client in `initialize`.
function askWhatIsDeclared({ mcpReq }, ofSession) {
  if (mcpReq.inputResponses) {
    return content(text('answered'));
  }
  const declared = mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? ofSession ?? {};
  return ask({
    ...(declared.elicitation && { user_name: formRequest('What is your name?', NAME_FORM) }),
    ...(declared.sampling && { greeting: modelRequest('Generate a greeting') })
  });
}

async function ask(inputRequests, state) {
  return inputRequired({ inputRequests, ...(state && { requestState: await stateCodec.mint(state) }) });
}

function formRequest(message, requestedSchema) {
  return inputRequired.elicit({ message, requestedSchema });
}

function modelRequest(question) {
  return inputRequired.createMessage({ messages: [{ role: 'user', content: text(question) }], maxTokens: 100 });
}

function oneString(name) {
  return fromJsonSchema({ type: 'object', properties: { [name]: { type: 'string' } }, required: [name] });
}

const isText = value => typeof value === 'string';
