// The tasks extension of the modern era, which the SDK lacks: tools whose calls continue as tasks, and the `tasks/`
// methods. It answers every message about a task, and leaves the others to the SDK.

import { randomUUID } from 'node:crypto';
import { fromJsonSchema, acceptedContent } from '@modelcontextprotocol/server';
import { KEY, contradiction } from '../shared/headers.mjs';
import { greet } from './asking.mjs';
import { content, text } from './media.mjs';

export const TASKS = 'io.modelcontextprotocol/tasks';

const TASK_MS = 300;
const METHODS = { 'tasks/get': task => task.seen(), 'tasks/update': update, 'tasks/cancel': task => task.cancel() };

// How each tool begins a task, given its arguments and input responses; undefined if this call needs no task.
// `alone` marks the tools that can also answer without a task.
const TOOLS = {
  slow_compute: {
    alone: true,
    begin: ({ seconds }) => (seconds > 0 ? task => task.complete(seconds * 1000, content(text('computed'))) : undefined)
  },
  test_tool_with_task: {
    alone: true,
    begin: (_, answers) => {
      const name = acceptedContent(answers, 'user_name')?.name;
      return name && (task => task.complete(TASK_MS, content(text(`Hello, ${name}!`))));
    }
  },
  failing_job: { begin: () => task => task.complete(TASK_MS, { ...content(text('it went wrong')), isError: true }) },
  protocol_error_job: { begin: () => task => task.fail(TASK_MS, { code: -32603, message: 'it broke' }) },
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
  tool('slow_compute', () => content(text('computed immediately')), { seconds: { type: 'number' }, label: string });
  tool('test_tool_with_task', greet);
  for (const name of Object.keys(TOOLS).filter(name => !TOOLS[name].alone)) {
    tool(name, () => ({ ...content(text('this tool needs tasks')), isError: true }), { filename: string });
  }
}

export class Tasks {
  #tasks = new Map();

  // The answer to a message about tasks, or undefined for other messages.
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
      return refusal(-32020, `the header ${wrong} does not match the message`);
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

  // The members of every task; `seen` adds its outcome.
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
      this.complete(TASK_MS, content(text('confirmed')));
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
