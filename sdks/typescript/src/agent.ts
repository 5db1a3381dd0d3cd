/** An agent's registration, kept alive until it is stopped. */

import { setTimeout as sleep } from 'node:timers/promises';

import * as grpc from '@grpc/grpc-js';

import { Address, Core } from './core.js';
import { HandlerServer, isGenerator } from './handler.js';
import { BinduService } from './proto.js';
import type { RegisterAgentResponse, SkillDefinition } from './proto.js';
import { loadSkills } from './skills.js';
import type { BinduConfig, BinduOptions, Handler } from './types.js';

/** How long a heartbeat may take. */
const HEARTBEAT_TIMEOUT = 5000;

/** The pause after a first failure; it doubles up to the longest. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 10_000;

const DEFAULTS = {
  heartbeatInterval: 30_000,
  registerTimeout: 60_000,
  grace: 5000,
  takeOverAfter: 10_000,
  maxMessageBytes: 4 * 1024 * 1024,
  startCore: true,
  handleSignals: true,
  log: (line: string): void => console.log(line),
};

/** A registered agent. It lives until {@link Agent.stop}, or until the process is told to end. */
export class Agent {
  readonly #options: typeof DEFAULTS & BinduOptions;
  readonly #configJson: string;
  readonly #skills: Partial<SkillDefinition>[];
  readonly #server: HandlerServer;
  readonly #core: Core;
  readonly #stopping = new AbortController();
  #client: grpc.Client | undefined;
  #callback = '';
  #registration: RegisterAgentResponse | undefined;
  /** Ends the wait for the next heartbeat. */
  #alarm = new AbortController();
  #watching: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  private constructor(
    config: BinduConfig,
    handler: Handler,
    options: BinduOptions,
    skills: Partial<SkillDefinition>[],
  ) {
    this.#options = { ...DEFAULTS, ...options };
    this.#skills = skills;
    const { coreAddress, callbackPort: _, skills: __, ...told } = config;
    const streaming = isGenerator(handler);
    if (streaming) told.capabilities = { streaming: true, ...told.capabilities };
    this.#configJson = JSON.stringify(told);
    const { name, description = '', version = '' } = config;
    const about = { name, description, version, supportsStreaming: streaming };
    const { maxMessageBytes, log } = this.#options;
    this.#server = new HandlerServer(handler, about, maxMessageBytes, log);
    this.#core = new Core(Address.parse(coreAddress ?? 'localhost:3774'), {
      start: this.#options.startCore,
      takeOverAfter: this.#options.takeOverAfter,
      cwd: this.#options.cwd,
      log,
      lost: () => this.#alarm.abort(),
    });
  }

  /** Registers an agent; see {@link bindufy}. */
  static async start(config: BinduConfig, handler: Handler, options: BinduOptions): Promise<Agent> {
    const agent = new Agent(config, handler, options, await loadSkills(config.skills ?? []));
    try {
      await agent.#start(config.callbackPort ?? 0);
    } catch (error) {
      await agent.stop();
      throw error;
    }
    return agent;
  }

  /** The agent's id: a UUID. */
  get agentId(): string {
    return this.#registration?.agentId ?? '';
  }

  /** The agent's DID. */
  get did(): string {
    return this.#registration?.did ?? '';
  }

  /** Where callers reach the agent. */
  get agentUrl(): string {
    return this.#registration?.agentUrl ?? '';
  }

  /** Where this process takes turns: `host:port`. */
  get callbackAddress(): string {
    return this.#callback;
  }

  /** The process of the core, if it was started here. */
  get corePid(): number | undefined {
    return this.#core.pid;
  }

  /**
   * Takes the agent from the core, lets running turns end, and ends the core if it was started
   * here. Takes no longer than the grace and what the core needs to end. Never fails.
   */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #start(port: number): Promise<void> {
    const { callbackHost, handleSignals, log } = this.#options;
    const { address } = this.#core;
    if (callbackHost === undefined && !address.isLoopback()) {
      throw new Error(`callbackHost must say where the core on ${address} reaches this process`);
    }
    const host = callbackHost ?? '127.0.0.1';
    const local = new Address(host, 0).isLoopback();
    if (handleSignals) watchSignals(this);
    const listen = new Address(local ? host : '0.0.0.0', port);
    this.#callback = new Address(host, await this.#server.listen(`${listen}`)).toString();
    await this.#core.ensure(this.#stopping.signal);
    await this.#register();
    this.#watching = this.#watch();
    log(`${this.agentUrl} is live (${this.did})`);
  }

  async #register(): Promise<void> {
    const request = {
      configJson: this.#configJson,
      skills: this.#skills,
      grpcCallbackAddress: this.#callback,
    };
    const timeout = this.#options.registerTimeout;
    const answer = await this.#call<RegisterAgentResponse>('registerAgent', request, timeout).catch(
      (error: Error) => {
        throw new Error(`Registration failed: ${error.message}`, { cause: error });
      },
    );
    if (!answer.success) throw new Error(`Registration failed: ${answer.error}`);
    this.#registration = answer;
  }

  /** Tells the core again and again that we live, and brings back whatever was lost. */
  async #watch(): Promise<void> {
    const { heartbeatInterval, log } = this.#options;
    let [failed, pause] = [false, 0];
    for (;;) {
      if (!failed) {
        this.#noticeLoss(heartbeatInterval);
        await nap(heartbeatInterval, this.#alarm.signal);
        failed = this.#alarm.signal.aborted;
      }
      // A core that ends is started again at once, one that ends again and again is not.
      if (failed) await nap(pause, this.#stopping.signal);
      if (this.#stopping.signal.aborted) return;
      pause = failed ? Math.min(Math.max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE) : 0;
      try {
        this.#alarm = new AbortController();
        failed = false;
        if (await this.#isRegistered()) continue;
        await this.#register();
        log(`${this.agentUrl} is registered again`);
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        failed = true;
        log(`${(error as Error).message}; trying again in ${pause} ms`);
      }
    }
  }

  /** Lets the alarm go off when the connection to the core ends within some time. */
  #noticeLoss(within: number): void {
    const alarm = this.#alarm;
    const { READY } = grpc.connectivityState;
    this.#client?.getChannel().watchConnectivityState(READY, Date.now() + within, (late) => {
      if (!late) alarm.abort();
    });
  }

  async #isRegistered(): Promise<boolean> {
    const beat = async (waitForReady: boolean): Promise<boolean> => {
      const request = { agentId: this.agentId, timestamp: Date.now() };
      const options = { waitForReady };
      type Answer = { acknowledged: boolean };
      const answer = await this.#call<Answer>('heartbeat', request, HEARTBEAT_TIMEOUT, options);
      return answer.acknowledged;
    };
    try {
      return await beat(false);
    } catch (error) {
      if ((error as grpc.ServiceError).code !== grpc.status.UNAVAILABLE) throw error;
    }
    await this.#core.ensure(this.#stopping.signal);
    // A new process, which the old channel would try again only after a pause.
    this.#hangUp();
    return beat(true);
  }

  #call<T>(
    method: string,
    request: unknown,
    timeout: number,
    { waitForReady = true, callback = '' } = {},
  ): Promise<T> {
    const metadata = new grpc.Metadata({ waitForReady });
    const token = this.#options.token ?? process.env['GRPC__AUTH_TOKEN'];
    if (token) metadata.set('authorization', `Bearer ${token}`);
    // Of the processes that run the agent this one is meant, and it is not to be interrupted.
    if (callback) metadata.set('x-bindu-callback', callback);
    this.#client ??= new BinduService(
      this.#core.address.toString(),
      grpc.credentials.createInsecure(),
      {
        'grpc.max_receive_message_length': this.#options.maxMessageBytes,
        'grpc.max_send_message_length': this.#options.maxMessageBytes,
        'grpc.initial_reconnect_backoff_ms': 100,
        'grpc.max_reconnect_backoff_ms': 1000,
        'grpc.use_local_subchannel_pool': 1,
        ...(this.#core.address.isLoopback() ? { 'grpc.enable_http_proxy': 0 } : {}),
      },
    );
    const client = this.#client as grpc.Client & Record<string, Function>;
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + timeout };
      const cancel = (): void => {
        if (!callback) call.cancel();
      };
      const call: grpc.ClientUnaryCall = client[method]!(
        request,
        metadata,
        options,
        (error: Error | null, answer: T) => {
          this.#stopping.signal.removeEventListener('abort', cancel);
          if (error) reject(error);
          else resolve(answer);
        },
      );
      this.#stopping.signal.addEventListener('abort', cancel);
    });
  }

  #hangUp(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  async #stop(): Promise<void> {
    const until = Date.now() + this.#options.grace;
    this.#stopping.abort();
    this.#alarm.abort();
    this.#server.ending();
    await this.#watching;
    if (this.#registration !== undefined) {
      // Answered when the core sends nothing any more; turns that run are served until then.
      const request = { agentId: this.agentId };
      const options = { waitForReady: false, callback: this.#callback };
      await this.#call('unregisterAgent', request, this.#options.grace + 1000, options).catch(
        (error: Error) => this.#options.log(`taking the agent from the core: ${error.message}`),
      );
    }
    await this.#server.close(Math.max(until - Date.now(), 100));
    this.#hangUp();
    await this.#core.stop();
    forgetSignals(this);
  }
}

/** Sleeps until it is time, or the signal aborts. */
async function nap(time: number, signal: AbortSignal): Promise<void> {
  await sleep(time, undefined, { signal }).catch(() => undefined);
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const running = new Set<Agent>();

/** Stops all agents and ends the process; a second signal does not wait for them. */
function onSignal(): void {
  for (const signal of SIGNALS) process.off(signal, onSignal);
  void Promise.all([...running].map((agent) => agent.stop())).then(() => process.exit(0));
}

function watchSignals(agent: Agent): void {
  if (running.size === 0) for (const signal of SIGNALS) process.on(signal, onSignal);
  running.add(agent);
}

function forgetSignals(agent: Agent): void {
  if (!running.delete(agent) || running.size > 0) return;
  for (const signal of SIGNALS) process.off(signal, onSignal);
}
