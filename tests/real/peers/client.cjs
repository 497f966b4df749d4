/**
 * A client on the official TypeScript SDK that uses everything that `server.py` and `server.cjs` offer, and prints the results.
 *
 * Each step prints one JSON line, `{"step": …, "result": …}` or `{"step": …, "failed": why}`; the
 * expected results are in `sdk_sessions.py`. The steps are identical to those of `client.py`.
 *
 * Usage: client.cjs legacy|modern|auto URL
 *        client.cjs legacy|modern|auto COMMAND ARGUMENT…
 * with the folder of the installed SDK in NODE_PATH.
 */
'use strict';

const { Client, LOG_LEVEL_META_KEY, StreamableHTTPClientTransport } = require('@modelcontextprotocol/client');
const { StdioClientTransport } = require('@modelcontextprotocol/client/stdio');

const MODES = { legacy: 'legacy', modern: { pin: '2026-07-28' }, auto: 'auto' };
const NOTE = 'note://today';
const LATE = 'late_from_typescript';
const COUNTED = ['add', 'progress', 'ask_name', 'ask_twice', 'ask_url', 'ask_model', 'ask_roots', 'wait'];
const STEP_MS = 10_000;

/** Answers server requests, and records them. */
class User {
    asked = [];
    logged = [];
    notified = new Set();
    declines = false;
    /** A promise that delays the answer. */
    delay = undefined;
    forms = { name: 'Ada', city: 'Lisbon', street: 'Rua Augusta', audience: 'the board' };

    async fillIn({ message, mode, url, requestedSchema }) {
        this.asked.push(message);
        await this.delay;
        if (this.declines) {
            return { action: 'decline' };
        }
        if (mode === 'url') {
            this.asked.push(url);
            return { action: 'accept' };
        }
        const fields = Object.keys(requestedSchema.properties);
        return { action: 'accept', content: Object.fromEntries(fields.map(field => [field, this.forms[field]])) };
    }

    sample({ messages }) {
        this.asked.push(messages[0].content.text);
        return { role: 'assistant', content: { type: 'text', text: 'forty-two' }, model: 'deep-thought' };
    }

    roots() {
        this.asked.push('roots');
        return { roots: [{ uri: 'file:///srv/project', name: 'project' }] };
    }

    attachTo(client) {
        client.setRequestHandler('elicitation/create', ({ params }) => this.fillIn(params));
        client.setRequestHandler('sampling/createMessage', ({ params }) => this.sample(params));
        client.setRequestHandler('roots/list', () => this.roots());
        client.setNotificationHandler('notifications/message', ({ params }) => {
            this.logged.push([params.level, params.logger, params.data]);
        });
        client.setNotificationHandler('notifications/tools/list_changed', () => void this.notified.add('tools'));
        client.setNotificationHandler('notifications/resources/updated', ({ params }) => {
            this.notified.add(params.uri);
        });
    }

    takeAsked() {
        return this.asked.splice(0);
    }
}

/** The steps of a session, in order. `runs` counts the tool runs of the steps before it. */
class Steps {
    constructor(client, user) {
        this.client = client;
        this.user = user;
        this.modern = client.getProtocolEra() === 'modern';
        this.countedBefore = {};
    }

    async connected() {
        for (const tool of COUNTED) {
            this.countedBefore[tool] = await this.#count(tool);
        }
        return { version: this.client.getNegotiatedProtocolVersion() };
    }

    async tools() {
        const { tools } = await this.client.listTools(undefined, { cacheMode: 'refresh' });
        return tools.map(tool => tool.name);
    }

    async add() {
        const result = await this.#call('add', { a: 2, b: 3 });
        return [textOf(result), result.structuredContent];
    }

    async fail() {
        const result = await this.#call('fail');
        return [result.isError, textOf(result)];
    }

    async unknown_tool() {
        try {
            await this.#call('no_such_tool');
        } catch (error) {
            return error.code;
        }
    }

    async progress() {
        const reports = [];
        const onprogress = ({ progress, total, message }) => {
            reports.push([progress, total, message]);
            if (progress === total) {
                void this.#call('go_on');
            }
        };
        return [textOf(await this.#call('progress', { steps: 3 }, { onprogress })), reports];
    }

    async log() {
        const params = { name: 'log', arguments: { text: 'water is rising' } };
        if (this.modern) {
            params._meta = { [LOG_LEVEL_META_KEY]: 'info' };
        } else {
            await this.client.setLoggingLevel('info');
        }
        return [textOf(await this.client.callTool(params)), this.user.logged];
    }

    ask_name() {
        return this.#callAndAsked('ask_name');
    }

    async ask_name_declined() {
        this.user.declines = true;
        try {
            return await this.#callAndAsked('ask_name');
        } finally {
            this.user.declines = false;
        }
    }

    ask_twice() {
        return this.#callAndAsked('ask_twice');
    }

    ask_url() {
        return this.#callAndAsked('ask_url');
    }

    ask_model() {
        return this.#callAndAsked('ask_model', { question: 'what is it all about?' });
    }

    ask_roots() {
        return this.#callAndAsked('ask_roots');
    }

    async prompts() {
        const { prompts } = await this.client.listPrompts();
        const greeting = await this.client.getPrompt({ name: 'greet', arguments: { name: 'Ada' } });
        return [prompts.map(prompt => prompt.name), greeting.messages[0].content.text];
    }

    async ask_in_prompt() {
        const briefing = await this.client.getPrompt({ name: 'brief' });
        return [briefing.messages[0].content.text, this.user.takeAsked()];
    }

    async completion() {
        const prompt = { type: 'ref/prompt', name: 'greet' };
        const names = await this.client.complete({ ref: prompt, argument: { name: 'name', value: 'A' } });
        const template = { type: 'ref/resource', uri: 'note://{day}' };
        const days = await this.client.complete({ ref: template, argument: { name: 'day', value: 'to' } });
        return [names.completion.values, days.completion.values];
    }

    async resources() {
        const { resources } = await this.client.listResources();
        const { resourceTemplates } = await this.client.listResourceTemplates();
        const { contents } = await this.client.readResource({ uri: 'note://tomorrow' });
        return [
            resources.map(resource => resource.uri),
            resourceTemplates.map(template => template.uriTemplate),
            contents[0].text,
        ];
    }

    async resource_updated() {
        const listening = this.modern ? await this.client.listen({ resourceSubscriptions: [NOTE] }) : undefined;
        if (!this.modern) {
            await this.client.subscribeResource({ uri: NOTE });
        }
        await this.#call('write_note', { text: 'it rains in Lisbon' });
        await this.#waitForNotification(NOTE);
        const { contents } = await this.client.readResource({ uri: NOTE }, { cacheMode: 'refresh' });
        await (this.modern ? listening.close() : this.client.unsubscribeResource({ uri: NOTE }));
        return contents[0].text;
    }

    async tools_changed() {
        this.user.notified.delete('tools');
        const listening = this.modern ? await this.client.listen({ toolsListChanged: true }) : undefined;
        await this.#call('add_tool', { name: LATE });
        await this.#waitForNotification('tools');
        const isListed = (await this.tools()).includes(LATE);
        const answer = textOf(await this.#call(LATE));
        await this.#call('drop_tool', { name: LATE });
        await this.#waitForNotification('tools');
        const isStillListed = (await this.tools()).includes(LATE);
        await listening?.close();
        return [isListed, answer.replace(LATE, 'it'), isStillListed];
    }

    async cancel() {
        const answered = [];
        const before = await this.#count('wait');
        const user = new AbortController();
        const call = this.#call('wait', {}, { signal: user.signal }).then(
            result => void answered.push(textOf(result)),
            () => undefined,
        );
        await this.#untilCounted('wait', 'started', before.started + 1);
        user.abort('no longer needed');
        await call;
        await this.#untilCounted('wait', 'cancelled', before.cancelled + 1);
        return answered;
    }

    async runs() {
        const seen = {};
        for (const tool of COUNTED) {
            const [before, after] = [this.countedBefore[tool], await this.#count(tool)];
            seen[tool] = Object.fromEntries(Object.keys(after).map(what => [what, after[what] - before[what]]));
        }
        return seen;
    }

    async cancel_while_asked() {
        const answered = [];
        const user = new AbortController();
        let decide;
        this.user.delay = new Promise(resolve => (decide = resolve));
        const call = this.#call('ask_name', {}, { signal: user.signal }).then(
            result => void answered.push(textOf(result)),
            () => undefined,
        );
        await until(() => this.user.asked.length > 0);
        user.abort('no longer needed');
        decide();
        await call;
        this.user.delay = undefined;
        return [answered, this.user.takeAsked()];
    }

    async ask_side_by_side() {
        const [named, said] = await Promise.all([
            this.#call('ask_name'),
            this.#call('ask_model', { question: 'what now?' }),
        ]);
        return [textOf(named), textOf(said), this.user.takeAsked().sort()];
    }

    #call(name, args = {}, options = undefined) {
        return this.client.callTool({ name, arguments: args }, options);
    }

    async #callAndAsked(tool, args = {}) {
        return [textOf(await this.#call(tool, args)), this.user.takeAsked()];
    }

    async #count(tool) {
        return (await this.#call('count', { tool })).structuredContent;
    }

    #untilCounted(tool, what, number) {
        return until(async () => (await this.#count(tool))[what] >= number);
    }

    #waitForNotification(what) {
        return until(() => this.user.notified.delete(what));
    }
}

const STEPS = Object.getOwnPropertyNames(Steps.prototype).filter(name => name !== 'constructor');

function textOf(result) {
    return result.content.map(block => block.text).join('');
}

async function until(condition) {
    const end = Date.now() + STEP_MS;
    while (!(await condition())) {
        if (Date.now() > end) {
            throw new Error('timed out');
        }
        await new Promise(resolve => setTimeout(resolve, 20));
    }
}

async function outcome(step, run) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not finished within ${STEP_MS} ms`)), STEP_MS);
    });
    try {
        return { step, result: (await Promise.race([run(), late])) ?? null };
    } catch (error) {
        return { step, failed: String(error) };
    } finally {
        clearTimeout(timer);
    }
}

function printLine(line) {
    console.log(JSON.stringify(line));
}

async function main(mode, target) {
    const user = new User();
    const client = new Client(
        { name: 'typescript-client', version: '1' },
        {
            capabilities: { elicitation: { form: {}, url: {} }, sampling: {}, roots: { listChanged: true } },
            versionNegotiation: { mode: MODES[mode] },
        },
    );
    user.attachTo(client);
    const [first, ...args] = target;
    const transport = first.startsWith('http')
        ? new StreamableHTTPClientTransport(new URL(first))
        : new StdioClientTransport({ command: first, args, env: process.env });
    await client.connect(transport);
    const steps = new Steps(client, user);
    for (const name of STEPS) {
        printLine(await outcome(name, () => steps[name]()));
    }
    await client.close();
    printLine({ step: 'closed', result: true });
}

main(process.argv[2], process.argv.slice(3)).catch(error => {
    console.error(error);
    process.exitCode = 1;
});
