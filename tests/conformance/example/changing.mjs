// A tool and a prompt that are added and removed while the server runs, and the notifications of it.
// A legacy session has a server object that lives as long as the session; each modern request has its own.

import { content, text } from './media.mjs';
import { NO_ARGUMENTS } from './tools.mjs';

export class Changes {
  #shown = { tools: false, prompts: false };
  #sessions = new Set();
  #notifyListeners;

  constructor(notifyListeners) {
    this.#notifyListeners = notifyListeners;
  }

  register(server) {
    const trigger = (name, list) =>
      server.registerTool(name, { description: `Changes the list of ${list}`, inputSchema: NO_ARGUMENTS }, () => {
        this.#toggle(list);
        return content(text(`the list of ${list} has changed`));
      });
    trigger('test_trigger_tool_change', 'tools');
    trigger('test_trigger_prompt_change', 'prompts');

    const description = 'Is added and removed';
    const tool = { description, inputSchema: NO_ARGUMENTS };
    const parts = {
      tools: server.registerTool('test_now_and_then', tool, () => content(text('still there'))),
      prompts: server.registerPrompt('test_now_and_then', { description }, () => ({ messages: [] }))
    };
    for (const [list, part] of Object.entries(parts)) {
      show(part, this.#shown[list]);
    }
    return parts;
  }

  // Notifies the session whose server registered these parts of every change, until `forget`.
  follow(parts) {
    this.#sessions.add(parts);
    return { forget: () => this.#sessions.delete(parts) };
  }

  #toggle(list) {
    this.#shown[list] = !this.#shown[list];
    for (const parts of this.#sessions) {
      show(parts[list], this.#shown[list]);
    }
    this.#notifyListeners(list);
  }
}

function show(part, shown) {
  if (part.enabled !== shown) {
    shown ? part.enable() : part.disable();
  }
}
