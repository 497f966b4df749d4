/**
 * A client on the official TypeScript SDK, of its first or its second major version, that lists when it is told to.
 *
 * Reads JSON lines, and answers each with one. `{"command": […], "era": "legacy" or "modern", "lists": [KIND…]}` starts a gateway,
 * lists those kinds, and calls the tool `healthy`: `{"names": {KIND: […]}, "text": what the tool answered}`, or
 * `{"failed": why}` with as much as was had.
 *
 * Usage: lister.cjs 1|2
 * with the folder of the installed SDKs in NODE_PATH.
 */
'use strict';

const readline = require('node:readline');

const REQUEST_MS = 20_000;
const LISTS = {
    tools: ['listTools', 'tools'],
    prompts: ['listPrompts', 'prompts'],
    resources: ['listResources', 'resources'],
    resourceTemplates: ['listResourceTemplates', 'resourceTemplates'],
};
const MODES = { legacy: 'legacy', modern: { pin: '2026-07-28' } };

const isFirst = process.argv[2] === '1';
const { Client } = require(isFirst ? '@modelcontextprotocol/sdk/client/index.js' : '@modelcontextprotocol/client');
const { StdioClientTransport } = require(
    isFirst ? '@modelcontextprotocol/sdk/client/stdio.js' : '@modelcontextprotocol/client/stdio',
);

async function session({ command: [command, ...args], era, lists }) {
    const client = new Client({ name: 'lister', version: '1' }, isFirst ? {} : { versionNegotiation: { mode: MODES[era] } });
    const seen = { names: {} };
    try {
        await client.connect(new StdioClientTransport({ command, args, env: process.env }));
        for (const kind of lists) {
            const [method, member] = LISTS[kind];
            const result = await client[method](undefined, { timeout: REQUEST_MS });
            seen.names[kind] = result[member].map(item => item.name);
        }
        const result = await client.callTool({ name: 'healthy', arguments: { a: 'a' } });
        seen.text = result.content.map(block => block.text).join('');
    } catch (error) {
        seen.failed = String(error);
    } finally {
        await client.close();
    }
    return seen;
}

async function main() {
    for await (const line of readline.createInterface({ input: process.stdin })) {
        console.log(JSON.stringify(await session(JSON.parse(line))));
    }
}

main().catch(error => {
    console.error(error);
    process.exitCode = 1;
});
