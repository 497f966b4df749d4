/**
 * A small MCP server on the official TypeScript SDK, on 127.0.0.1, with each kind of request, notification and feature.
 *
 * Its tools, prompts and resources are identical to those of `server.py`, so that a check works with either. It speaks one
 * era, and refuses the other as the SDK does. `ask` hides the difference: a legacy client gets a server request, a
 * modern one gets `input_required` and retries. It must not know the gateway.
 *
 * Usage: server.cjs legacy|modern PORT, with the folder of the installed SDK in NODE_PATH.
 */
'use strict';

const { randomBytes, randomUUID } = require('node:crypto');
const http = require('node:http');
const { NodeStreamableHTTPServerTransport, toNodeHandler } = require('@modelcontextprotocol/node');
const {
    createMcpHandler, createRequestStateCodec, inputRequired, ProtocolError, Server,
} = require('@modelcontextprotocol/server');

const [era, port] = process.argv.slice(2);
const INVALID_PARAMS = -32602;
const NOTE = 'note://today';
const NAMES = ['Ada', 'Alan', 'Grace'];
const DAYS = ['today', 'tomorrow', 'yesterday'];

/** The state shared by all requests. */
const counts = new Map();
const lateTools = new Set();
const subscribed = new Set();
const legacySessions = new Map();
const states = createRequestStateCodec({ key: randomBytes(32), ttlSeconds: 600 });
let note = 'nothing yet';
let goOn = () => {};
let modern;

/** Ends a modern call until the client has answered. */
class InputRequired extends Error {
    constructor(key, request, answered) {
        super(`asked for ${key}`);
        this.result = async () =>
            inputRequired({ inputRequests: { [key]: request }, requestState: await states.mint(answered) });
    }
}

/** One request for a tool or a prompt, and the answers of its client so far. */
class Call {
    constructor(server, params, ctx) {
        this.server = server;
        this.arguments = params.arguments ?? {};
        this.ctx = ctx;
        const earlier = ctx.mcpReq.requestState();
        this.isFirstRound = earlier === undefined;
        this.answered = { ...earlier, ...ctx.mcpReq.inputResponses };
    }

    elicit(key, params) {
        const builder = params.mode === 'url' ? inputRequired.elicitUrl : inputRequired.elicit;
        return this.ask(key, () => builder(params), () => this.ctx.mcpReq.elicitInput(params));
    }

    async ask(key, request, send) {
        if (era === 'legacy') {
            return send();
        }
        if (!(key in this.answered)) {
            throw new InputRequired(key, request(), this.answered);
        }
        return this.answered[key];
    }
}

const TOOLS = {
    add: tool('Adds two numbers.', { a: 'integer', b: 'integer' }, call => {
        const sum = call.arguments.a + call.arguments.b;
        return { content: text(String(sum)), structuredContent: { sum } };
    }),
    fail: tool('Always fails.', {}, () => ({ content: text('this tool always fails'), isError: true })),
    /** Ends when `go_on` is called: the SDK's own client drops progress that it reads with the answer. */
    progress: tool('Reports progress, step by step, then waits for go_on.', { steps: 'integer' }, async call => {
        const { steps } = call.arguments;
        const released = new Promise(resolve => (goOn = resolve));
        const progressToken = call.ctx.mcpReq._meta?.progressToken;
        for (let step = 1; step <= steps && progressToken !== undefined; step++) {
            const params = { progressToken, progress: step, total: steps, message: `step ${step}` };
            await call.ctx.mcpReq.notify({ method: 'notifications/progress', params });
        }
        await released;
        return `made ${steps} steps`;
    }),
    go_on: tool('Lets the progress tool end.', {}, () => {
        goOn();
        return 'going on';
    }),
    log: tool('Sends a log message.', { text: 'string' }, async call => {
        await call.ctx.mcpReq.log('warning', call.arguments.text, 'peer');
        return 'logged';
    }),
    ask_name: tool('Asks the user for a name.', {}, async call => {
        const answer = await call.elicit('name', form('What is your name?', 'name'));
        return answer.action === 'accept' ? `hello ${answer.content.name}` : `no name: ${answer.action}`;
    }),
    ask_twice: tool('Asks the user twice, the second time with the first answer.', {}, async call => {
        const { city } = (await call.elicit('city', form('Which city?', 'city'))).content;
        const { street } = (await call.elicit('street', form(`Which street in ${city}?`, 'street'))).content;
        return `${street}, ${city}`;
    }),
    ask_url: tool('Sends the user to a page.', {}, async call => {
        const page = { mode: 'url', message: 'Sign in', url: 'https://example.com/sign-in' };
        const params = era === 'legacy' ? { ...page, elicitationId: 'sign-in-1' } : page;
        return `sign-in: ${(await call.elicit('sign-in', params)).action}`;
    }),
    ask_model: tool("Asks the client's model.", { question: 'string' }, async call => {
        const question = { role: 'user', content: { type: 'text', text: call.arguments.question } };
        const params = { messages: [question], maxTokens: 50 };
        const request = () => inputRequired.createMessage(params);
        const answer = await call.ask('model', request, () => call.ctx.mcpReq.requestSampling(params));
        return `${answer.model} said: ${answer.content.text}`;
    }),
    ask_roots: tool("Asks for the client's roots.", {}, async call => {
        // Like the SDK's `listRoots`, on the session's GET stream, not on that of the call.
        const answer = await call.ask('roots', () => inputRequired.listRoots(), () => call.server.listRoots());
        return answer.roots.map(root => root.uri).join(', ');
    }),
    wait: tool('Waits until it is cancelled.', {}, async call => {
        const { signal } = call.ctx.mcpReq;
        await new Promise(resolve => {
            signal.addEventListener('abort', resolve, { once: true });
            setTimeout(resolve, 120_000).unref();
        });
        if (!signal.aborted) {
            return 'waited to the end';
        }
        countOf('wait').cancelled++;
        throw new Error('cancelled');
    }),
    /** How often a tool was started, finished and cancelled. A retry with input responses is not a start. */
    count: tool('Counts the runs of a tool.', { tool: 'string' }, call => {
        const counted = countOf(call.arguments.tool);
        return { content: text(JSON.stringify(counted)), structuredContent: counted };
    }),
    add_tool: tool('Adds a tool of the given name.', { name: 'string' }, async call => {
        lateTools.add(call.arguments.name);
        await toolsChanged();
        return 'added';
    }),
    drop_tool: tool('Removes an added tool.', { name: 'string' }, async call => {
        lateTools.delete(call.arguments.name);
        await toolsChanged();
        return 'dropped';
    }),
    write_note: tool("Writes today's note.", { text: 'string' }, async call => {
        note = call.arguments.text;
        if (era === 'modern') {
            modern.notify.resourceUpdated(NOTE);
        } else if (subscribed.has(NOTE)) {
            await call.server.sendResourceUpdated({ uri: NOTE });
        }
        return 'written';
    }),
};
TOOLS.add.listed.annotations = { readOnlyHint: true };
TOOLS.count.listed.annotations = { readOnlyHint: true };
TOOLS.add.listed.outputSchema = { type: 'object', properties: { sum: { type: 'integer' } }, required: ['sum'] };

function tool(description, args, run) {
    const properties = Object.fromEntries(Object.entries(args).map(([name, type]) => [name, { type }]));
    const inputSchema = { type: 'object', properties, required: Object.keys(args) };
    return { listed: { description, inputSchema }, run };
}

function form(message, field) {
    const requestedSchema = { type: 'object', properties: { [field]: { type: 'string' } }, required: [field] };
    return { mode: 'form', message, requestedSchema };
}

function text(words) {
    return [{ type: 'text', text: words }];
}

function countOf(name) {
    if (!counts.has(name)) {
        counts.set(name, { started: 0, finished: 0, cancelled: 0 });
    }
    return counts.get(name);
}

async function toolsChanged() {
    modern?.notify.toolsChanged();
    for (const { server } of legacySessions.values()) {
        await server.sendToolListChanged();
    }
}

async function callTool(server, params, ctx) {
    const call = new Call(server, params, ctx);
    if (lateTools.has(params.name)) {
        return { content: text(`${params.name} at your service`) };
    }
    if (!Object.hasOwn(TOOLS, params.name)) {
        throw new ProtocolError(INVALID_PARAMS, `no tool ${params.name}`);
    }
    if (call.isFirstRound) {
        countOf(params.name).started++;
    }
    const result = await unlessAsked(() => TOOLS[params.name].run(call));
    if (result.resultType === 'input_required') {
        return result;
    }
    countOf(params.name).finished++;
    return typeof result === 'string' ? { content: text(result) } : result;
}

async function getPrompt(server, params, ctx) {
    const call = new Call(server, params, ctx);
    if (params.name === 'greet') {
        return promptOf(`Say hello to ${call.arguments.name}.`);
    }
    return unlessAsked(async () => {
        const answer = await call.elicit('audience', form('Who is it for?', 'audience'));
        return promptOf(`Write a briefing for ${answer.content.audience}.`);
    });
}

async function unlessAsked(run) {
    try {
        return await run();
    } catch (error) {
        if (error instanceof InputRequired) {
            return error.result();
        }
        throw error;
    }
}

function promptOf(words) {
    return { messages: [{ role: 'user', content: text(words)[0] }] };
}

function complete({ ref, argument }) {
    const known = ref.type === 'ref/prompt' ? NAMES : DAYS;
    const values = known.filter(word => word.startsWith(argument.value));
    return { completion: { values, total: values.length, hasMore: false } };
}

function readResource({ uri }) {
    const words = uri === NOTE ? note : `no note for ${uri.replace('note://', '')}`;
    return { contents: [{ uri, mimeType: 'text/plain', text: words }] };
}

function buildServer() {
    const server = new Server(
        { name: 'typescript-peer', version: '1' },
        {
            capabilities: {
                tools: { listChanged: true }, prompts: {}, resources: { subscribe: true }, completions: {}, logging: {},
            },
            requestState: { verify: states.verify },
        },
    );
    const answer = (method, handler) => server.setRequestHandler(method, ({ params }, ctx) => handler(params, ctx));
    answer('tools/list', () => ({
        tools: [
            ...Object.entries(TOOLS).map(([name, { listed }]) => ({ name, ...listed })),
            ...[...lateTools].map(name => ({ name, description: 'Added later.', inputSchema: { type: 'object' } })),
        ],
    }));
    answer('tools/call', (params, ctx) => callTool(server, params, ctx));
    answer('prompts/list', () => ({
        prompts: [
            {
                name: 'greet', description: 'Greets somebody.',
                arguments: [{ name: 'name', description: 'Whom to greet', required: true }],
            },
            { name: 'brief', description: 'Asks whom the briefing is for.' },
        ],
    }));
    answer('prompts/get', (params, ctx) => getPrompt(server, params, ctx));
    answer('resources/list', () => ({ resources: [{ uri: NOTE, name: 'today', mimeType: 'text/plain' }] }));
    answer('resources/templates/list', () => ({
        resourceTemplates: [{ uriTemplate: 'note://{day}', name: 'note', mimeType: 'text/plain' }],
    }));
    answer('resources/read', readResource);
    answer('completion/complete', complete);
    if (era === 'legacy') {
        answer('resources/subscribe', ({ uri }) => (subscribed.add(uri), {}));
        answer('resources/unsubscribe', ({ uri }) => (subscribed.delete(uri), {}));
    }
    return server;
}

/** A session for each legacy client. An `initialize` request opens it. */
async function serveLegacy(request, response) {
    const id = request.headers['mcp-session-id'];
    if (id !== undefined && !legacySessions.has(id)) {
        const error = { jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null };
        response.writeHead(404, { 'Content-Type': 'application/json' }).end(JSON.stringify(error));
        return;
    }
    const session = legacySessions.get(id) ?? (await openSession());
    await session.transport.handleRequest(request, response);
}

async function openSession() {
    const server = buildServer();
    const transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: id => void legacySessions.set(id, { server, transport }),
    });
    transport.onclose = () => legacySessions.delete(transport.sessionId);
    await server.connect(transport);
    return { server, transport };
}

function serveModern() {
    modern = createMcpHandler(buildServer, { legacy: 'reject' });
    return toNodeHandler(modern);
}

http.createServer(era === 'legacy' ? serveLegacy : serveModern()).listen(Number(port), '127.0.0.1');
