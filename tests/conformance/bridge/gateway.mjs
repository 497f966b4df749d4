// One gateway process: lines to its stdin, messages from its stdout. It must not know HTTP.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export class Gateway {
  #process;
  #ended;

  // `onMessage` gets each parsed message and its line; `onEnd` is called when the process has exited.
  constructor(command, onMessage, onEnd) {
    const [program, ...args] = command;
    this.#process = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process.stdin.on('error', () => {}); // `close` follows
    this.#ended = new Promise(resolve => this.#process.on('close', resolve));
    this.#ended.then(onEnd);
    createInterface({ input: this.#process.stdout }).on('line', line => onMessage(JSON.parse(line), line));
  }

  send(message) {
    this.#process.stdin.write(`${JSON.stringify(message)}\n`);
  }

  // Closes its stdin, as a client does at shutdown, and waits until it has exited.
  async close() {
    this.#process.stdin.end();
    await this.#ended;
  }
}
