// One gateway process: lines to its stdin, messages from its stdout. Knows nothing of HTTP.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export class Gateway {
  #process;
  #ended;

  // `onMessage` gets each message parsed, and the line that it came in; `onEnd` is told when the process is gone.
  constructor(command, onMessage, onEnd) {
    const [program, ...args] = command;
    this.#process = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#process.stdin.on('error', () => {}); // its end tells
    this.#ended = new Promise(resolve => this.#process.on('close', resolve));
    this.#ended.then(onEnd);
    createInterface({ input: this.#process.stdout }).on('line', line => onMessage(JSON.parse(line), line));
  }

  send(message) {
    this.#process.stdin.write(`${JSON.stringify(message)}\n`);
  }

  // Ends its input, as a client does that leaves, and waits until it is gone.
  async leave() {
    this.#process.stdin.end();
    await this.#ended;
  }
}
