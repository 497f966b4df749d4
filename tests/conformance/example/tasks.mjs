// The tasks extension of the modern era, which the SDK doesn't have: tools whose calls go on as tasks, and the methods
// by which a client follows them. It answers before the SDK whatever is about a task, and leaves it the rest.

import { randomUUID } from 'node:crypto';
import { fromJsonSchema, acceptedContent } from '@modelcontextprotocol/server';
import { KEY, contradiction } from '../shared/headers.mjs';
import { greet } from './asking.mjs';
import { content, text } from './media.mjs';

export const TASKS = 'io.modelcontextprotocol/tasks';

const SOON = 300;
const METHODS = { 'tasks/get': task => task.seen(), 'tasks/update': update, 'tasks/cancel': task => task.cancel() };

// What each tool does as a task, by its arguments and the answers that it was called with; undefined where this call
// needs no task. `alone` tells those that can also answer without one.
const TOOLS = {
  slow_compute: {
    alone: true,
    begin: ({ seconds }) => (seconds > 0 ? task => task.complete(seconds * 1000, content(text('computed'))) : undefined)
  },
  test_tool_with_task: {
    alone: true,
    begin: (_, answers) => {
      const name = acceptedContent(answers, 'user_name')?.name;
      return name && (task => task.complete(SOON, content(text(`Hello, ${name}!`))));
    }
  },
  failing_job: { begin: () => task => task.complete(SOON, { ...content(text('it went wrong')), isError: true }) },
  protocol_error_job: { begin: () => task => task.fail(SOON, { code: -32603, message: 'it broke' }) },
  confirm_delete: { begin: () => task => task.ask(['confirm']) },
  multi_input: { begin: () => task => task.ask(['first', 'second']) }
};

export function registerTaskTools(server) {
  const tool = (name, answer, properties = {}) => {
    const inputSchema = fromJsonSchema({ type: 'object', properties });
    server.registerTool(name, { description: 'A tool for tasks', inputSchema }, answer);
  };

  const string = { type: 'string' };
  tool('greet', ({ name }) => content(text(`Hello, ${name}!`)), { name: string });
  tool('slow_compute', () => content(text('computed at once')), { seconds: { type: 'number' }, label: string });
  tool('test_tool_with_task', greet);
  for (const name of Object.keys(TOOLS).filter(name => !TOOLS[name].alone)) {
    tool(name, () => ({ ...content(text('this tool needs tasks')), isError: true }), { filename: string });
  }
}

export class Tasks {
  #tasks = new Map();

  // The answer to a message about tasks; undefined if it isn't about any.
  answer(headers, message) {
    const { id, method, params } = message;
    const act = METHODS[method] ?? (method === 'tools/call' && TOOLS[params?.name] && this.#begin(params));
    if (!act) {
      return undefined;
    }
    const outcome = this.#check(headers, message) ?? this.#act(act, method, params);
    return { jsonrpc: '2.0', id, ...outcome };
  }

  #check(headers, message) {
    const wrong = contradiction(headers, message);
    if (wrong) {
      return refusal(-32020, `the header ${wrong} is not what the message says`);
    }
    if (!declared(message.params)) {
      const requiredCapabilities = { extensions: { [TASKS]: {} } };
      return refusal(-32021, 'this needs the tasks extension', { requiredCapabilities });
    }
  }

  #begin({ name, arguments: given = {}, inputResponses, _meta }) {
    const { alone, begin } = TOOLS[name];
    return alone && !declared({ _meta }) ? undefined : begin(given, inputResponses);
  }

  #act(act, method, params) {
    if (method === 'tools/call') {
      const task = new Task();
      this.#tasks.set(task.id, task);
      act(task);
      return { result: { resultType: 'task', ...task.state } };
    }
    const task = this.#tasks.get(params.taskId);
    return task
      ? { result: { resultType: 'complete', ...act(task, params) } }
      : refusal(-32602, 'there is no such task');
  }
}

class Task {
  id = randomUUID();
  #status = 'working';
  #created = new Date().toISOString();
  #updated = this.#created;
  #details = {};
  #timer;

  // What a client is told of every task; `seen` adds what came of it.
  get state() {
    const times = { createdAt: this.#created, lastUpdatedAt: this.#updated, ttlMs: 60000, pollIntervalMs: 100 };
    return { taskId: this.id, status: this.#status, ...times };
  }

  seen() {
    return { ...this.state, ...this.#details };
  }

  complete(after, result) {
    this.#later(after, 'completed', { result });
  }

  fail(after, error) {
    this.#later(after, 'failed', { error });
  }

  ask(keys) {
    const properties = { confirm: { type: 'boolean' } };
    const params = { message: 'Are you sure?', requestedSchema: { type: 'object', properties } };
    const requests = keys.map(key => [key, { method: 'elicitation/create', params }]);
    this.#become('input_required', { inputRequests: Object.fromEntries(requests) });
  }

  take(answers) {
    const { inputRequests } = this.#details;
    const left = Object.entries(inputRequests ?? {}).filter(([key]) => !(key in answers));
    if (left.length > 0) {
      this.#become('input_required', { inputRequests: Object.fromEntries(left) });
    } else if (inputRequests) {
      this.#become('working', {});
      this.complete(SOON, content(text('confirmed')));
    }
  }

  cancel() {
    clearTimeout(this.#timer);
    if (['working', 'input_required'].includes(this.#status)) {
      this.#become('cancelled', {});
    }
  }

  #later(after, status, details) {
    this.#timer = setTimeout(() => this.#become(status, details), after);
  }

  #become(status, details) {
    this.#status = status;
    this.#details = details;
    this.#updated = new Date().toISOString();
  }
}

function update(task, { inputResponses }) {
  task.take(inputResponses ?? {});
}

function declared({ _meta }) {
  return _meta?.[`${KEY}clientCapabilities`]?.extensions?.[TASKS] !== undefined;
}

function refusal(code, message, data) {
  return { error: { code, message, data } };
}
