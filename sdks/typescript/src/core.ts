/** The `bindu` process: finding it, starting it, ending it. */

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, statSync } from 'node:fs';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a core may take from its start until it takes registrations. */
const START_TIMEOUT = 30_000;

/** How long a core may take to end. */
const STOP_TIMEOUT = 5000;

/** How long the last lines of one that has ended are waited for. */
const LAST_LINES = 500;

/** Where a core is, or will be. */
export class Address {
  constructor(
    readonly host: string,
    readonly port: number,
  ) {}

  /** Reads `host:port`; IPv6 addresses are in brackets. */
  static parse(text: string): Address {
    const pattern = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/\s]+)):(\d{1,5})$/;
    const [, v6, name, port] = pattern.exec(text) ?? [];
    const host = v6 ?? name;
    if (host === undefined || !(Number(port) >= 1 && Number(port) <= 65_535)) {
      throw new Error(`coreAddress must be host:port, not ${text}`);
    }
    return new Address(host, Number(port));
  }

  toString(): string {
    return this.host.includes(':') ? `[${this.host}]:${this.port}` : `${this.host}:${this.port}`;
  }

  isLoopback(): boolean {
    return this.host === 'localhost' || this.host === '::1' || this.host.startsWith('127.');
  }

  /** Whether somebody accepts connections there. */
  async isOpen(): Promise<boolean> {
    // A core may listen on either of the two.
    const hosts = this.host === 'localhost' ? ['127.0.0.1', '::1'] : [this.host];
    const open = await Promise.all(hosts.map((host) => accepts(host, this.port)));
    return open.includes(true);
  }
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1000 });
    const end = (open: boolean): void => {
      socket.destroy();
      resolve(open);
    };
    socket.once('connect', () => end(true));
    socket.once('timeout', () => end(false));
    socket.once('error', () => end(false));
  });
}

/** The path of the `bindu` command: the variable BINDU_BIN, else the PATH. */
export function findBinary(env: NodeJS.ProcessEnv = process.env): string {
  const runs = (path: string): boolean => {
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  };
  if (env['BINDU_BIN']) {
    if (runs(env['BINDU_BIN'])) return env['BINDU_BIN'];
    throw new Error(`BINDU_BIN is ${env['BINDU_BIN']}, which is not a program`);
  }
  const names = process.platform === 'win32' ? ['bindu.exe', 'bindu.cmd'] : ['bindu'];
  const folders = (env['PATH'] ?? '').split(delimiter).filter(Boolean);
  const found = folders.flatMap((folder) => names.map((name) => join(folder, name))).find(runs);
  if (found) return found;
  throw new Error(
    'the bindu command is not installed: get it with `cargo install bindu-cli`, ' +
      'put it on the PATH, or name it in the variable BINDU_BIN',
  );
}

/** How a core is started. */
export interface CoreOptions {
  /** Whether one may be started at all. */
  start: boolean;
  /** How long one that somebody else started may be gone before we start our own, in ms. */
  takeOverAfter: number;
  cwd: string | undefined;
  log: (line: string) => void;
  /** Called when a core that was started here has ended without being told to. */
  lost: () => void;
}

/** The core at an address, whoever started it. */
export class Core {
  readonly #options: CoreOptions;
  #child: ChildProcess | undefined;
  /** Whether the core that was seen last is one of ours. */
  #ours = false;
  /** Since when there is none; 0 before the first. */
  #goneSince: number | undefined = 0;

  constructor(
    readonly address: Address,
    options: CoreOptions,
  ) {
    this.#options = options;
  }

  /** The process started here, if it runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Returns once a core accepts connections; starts one if none does. */
  async ensure(signal: AbortSignal): Promise<void> {
    if (await this.address.isOpen()) {
      this.#ours = this.#child !== undefined;
      this.#goneSince = undefined;
      return;
    }
    this.#goneSince ??= Date.now();
    if (!this.#options.start || !this.address.isLoopback()) {
      throw new Error(`no core listens on ${this.address}`);
    }
    // Whoever runs it may just be starting it again.
    if (!this.#ours && Date.now() - this.#goneSince < this.#options.takeOverAfter) {
      throw new Error(`the core on ${this.address} is gone; waiting for it to come back`);
    }
    const last = this.#child ? [] : this.#start();
    const until = Date.now() + START_TIMEOUT;
    for (;;) {
      const ended = this.#child === undefined;
      // It may be one that was faster; then ours ends, since the port is taken.
      if (await this.address.isOpen()) break;
      if (ended) throw new Error(`bindu has ended: ${last.join(' | ')}`);
      if (Date.now() > until) throw new Error(`bindu does not listen on ${this.address}`);
      await sleep(50, undefined, { signal });
    }
    this.#ours = this.#child !== undefined;
    this.#goneSince = undefined;
  }

  /** Starts a core; returns the last lines it says, as they come. */
  #start(): string[] {
    const { cwd, log, lost } = this.#options;
    const child = spawn(findBinary(), ['serve', '--grpc', '--grpc-port', `${this.address.port}`], {
      cwd,
      // It serves us; nobody else on the network has to reach it, unless it is said.
      env: { GRPC__HOST: '127.0.0.1', ...process.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own, so that Ctrl-C reaches us alone and running turns can end.
      detached: process.platform !== 'win32',
    });
    this.#child = child;
    const last: string[] = [];
    for (const output of [child.stdout, child.stderr]) {
      createInterface({ input: output }).on('line', (line) => {
        last.push(line);
        if (last.length > 3) last.shift();
        log(`[bindu-core] ${line}`);
      });
    }
    const kill = (): void => void child.kill('SIGTERM');
    process.once('exit', kill);
    const ended = (reason: string): void => {
      process.off('exit', kill);
      if (this.#child !== child) return;
      this.#child = undefined;
      last.push(reason);
      lost();
    };
    child.once('error', (error) => ended(error.message));
    child.once('exit', (code, signal) => {
      const end = (): void => ended(`exit ${code ?? signal}`);
      // The last lines come first; a child of its own may keep the pipes open for longer.
      const late = setTimeout(end, LAST_LINES);
      child.once('close', () => {
        clearTimeout(late);
        end();
      });
    });
    return last;
  }

  /** Ends a core that was started here, if it still runs. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT);
    await ended;
    clearTimeout(late);
  }
}
