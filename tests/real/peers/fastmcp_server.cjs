/**
 * A server on FastMCP, the framework of TypeScript, with the tools, resources and prompt that `frameworks.py` uses.
 *
 * Usage: fastmcp_server.cjs PORT
 * with the folder of the installed packages in NODE_PATH.
 */
'use strict';

const { pathToFileURL } = require('node:url');

async function main(port) {
    // It is a module of ECMAScript, which NODE_PATH doesn't reach.
    const { FastMCP, UserError } = await import(pathToFileURL(require.resolve('fastmcp')).href);
    const { z } = require('zod');
    const server = new FastMCP({ name: 'fastmcp-node', version: '1.0.0' });
    server.addTool({
        name: 'add',
        parameters: z.object({ a: z.number(), b: z.number() }),
        execute: async ({ a, b }) => String(a + b),
    });
    server.addTool({
        name: 'fail',
        execute: async () => {
            throw new UserError('this tool always fails');
        },
    });
    server.addTool({
        name: 'progress',
        parameters: z.object({ steps: z.number() }),
        execute: async ({ steps }, { reportProgress }) => {
            for (let step = 1; step <= steps; step++) {
                await reportProgress({ progress: step, total: steps });
            }
            return `made ${steps} steps`;
        },
    });
    const mimeType = 'text/plain';
    server.addResource({ uri: 'note://today', name: 'today', mimeType, load: async () => ({ text: 'it rains' }) });
    server.addResourceTemplate({
        uriTemplate: 'note://{day}',
        name: 'note',
        mimeType,
        arguments: [{ name: 'day', required: true }],
        load: async ({ day }) => ({ text: `no note for ${day}` }),
    });
    server.addPrompt({
        name: 'greet',
        arguments: [{ name: 'name', required: true }],
        load: async ({ name }) => `Say hello to ${name}.`,
    });
    await server.start({ transportType: 'httpStream', httpStream: { port, host: '127.0.0.1', endpoint: '/mcp' } });
}

main(Number(process.argv[2])).catch(error => {
    console.error(error);
    process.exitCode = 1;
});
