// What the tests share: a directory and ports of their own, and an A2A client of a few lines.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { bindufy } from '@bindu/sdk';

// Set before a core is started: it inherits them.
process.env.GRPC__HEALTH_CHECK_INTERVAL = '1';
process.env.BINDU_HOST = '127.0.0.1';

/** A place for one test: what it starts is ended with it, in reverse order. */
export async function place(t) {
  const directory = mkdtempSync(join(tmpdir(), 'bindu-sdk-'));
  const ends = [() => rmSync(directory, { recursive: true, force: true, maxRetries: 3 })];
  t.after(async () => {
    for (const end of ends.reverse()) await end();
  });
  const [grpc, http] = [await freePort(), await freePort()];
  const config = (extra = {}) => ({
    author: 'ann@example.com',
    name: 'tested',
    deployment: { url: `http://127.0.0.1:${http}` },
    coreAddress: `127.0.0.1:${grpc}`,
    ...extra,
  });
  const said = [];
  return {
    config,
    said,
    url: config().deployment.url,
    /** Starts an agent in this process. */
    async agent(handler, extra = {}, options = {}) {
      const quiet = { cwd: directory, handleSignals: false, log: (line) => said.push(line) };
      const agent = await bindufy(config(extra), handler, { ...quiet, ...options });
      ends.push(() => agent.stop());
      return agent;
    },
    /** Starts an agent in a process of its own. */
    async program(extra = {}, options = {}) {
      const file = fileURLToPath(new URL('program.mjs', import.meta.url));
      const given = JSON.stringify([config(extra), { cwd: directory, ...options }]);
      const stdio = ['ignore', 'pipe', 'inherit'];
      const child = spawn(process.execPath, [file, given], { stdio });
      ends.push(() => child.kill('SIGKILL'));
      const lines = createInterface({ input: child.stdout });
      return new Promise((resolve, reject) => {
        lines.on('line', (line) => {
          said.push(line);
          if (line.startsWith('READY ')) resolve({ child, corePid: Number(line.slice(6)) });
        });
        child.once('exit', (code) => reject(new Error(`ended with ${code}:\n${said.join('\n')}`)));
      });
    },
    /** Starts a core that belongs to none of the agents. */
    async core() {
      const child = spawn(process.env.BINDU_BIN, ['serve', '--grpc', '--grpc-port', `${grpc}`], {
        cwd: directory,
        env: { ...process.env, GRPC__HOST: '127.0.0.1' },
        stdio: 'ignore',
      });
      ends.push(() => child.kill('SIGKILL'));
      await until('the core listens', async () => {
        if (child.exitCode !== null) throw new Error(`the core ended with ${child.exitCode}`);
        return !(await isFree(grpc));
      });
      return child;
    },
  };
}

function listen(port) {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export function freePort() {
  return listen(0);
}

export async function isFree(port) {
  return listen(port).then(() => true, () => false);
}

/** Waits for a condition; the limit is for a machine that is busy with other things. */
export async function until(what, condition, limit = 30_000) {
  const end = Date.now() + limit;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await sleep(20);
  }
}

export function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function post(url, method, params) {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });
}

export async function call(url, method, params) {
  const answer = await (await post(url, method, params)).json();
  if (answer.error) throw new Error(`${method}: ${JSON.stringify(answer.error)}`);
  return answer.result;
}

const message = (text, to = {}) => ({
  role: 'user',
  messageId: crypto.randomUUID(),
  parts: [{ kind: 'text', text }],
  ...to,
});

/** Sends a text; the task as it is when it is done or waits. */
export function send(url, text, to) {
  return call(url, 'message/send', { message: message(text, to) });
}

/** Sends a text; the task as it was accepted. */
export function submit(url, text) {
  const configuration = { blocking: false };
  return call(url, 'message/send', { message: message(text), configuration });
}

export function get(url, id) {
  return call(url, 'tasks/get', { id });
}

/** Sends a text; the events of the stream, each when it comes. */
export async function* stream(url, text) {
  const answer = await post(url, 'message/stream', { message: message(text) });
  let rest = '';
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) {
    const events = (rest + piece).split('\n\n');
    rest = events.pop();
    for (const event of events) {
      const data = event.split('\n').filter((line) => line.startsWith('data:'));
      if (data.length > 0) yield JSON.parse(data.map((line) => line.slice(5)).join('\n')).result;
    }
  }
}

const OPEN = ['submitted', 'working'];

/** Whether a task has come to an end, or waits for its caller. */
export function isSettled(task) {
  return !OPEN.includes(task.status.state);
}

/** The text of a task's result. */
export function result(task) {
  return task.artifacts?.[0].parts.map((part) => part.text).join('');
}

/** The last thing that the agent said. */
export function said(task) {
  const last = task.status.message ?? task.history.at(-1);
  return last.parts.map((part) => part.text).join('');
}
