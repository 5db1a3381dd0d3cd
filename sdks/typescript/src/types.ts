/** What an agent's author writes and gets: the configuration, the handler, the answer. */

/** One message of a conversation. */
export interface ChatMessage {
  /** Who said it: `user`, `assistant` (this agent, earlier) or `system`. */
  role: string;
  /** What was said. Files and data of the caller are in it as text. */
  content: string;
}

/** An answer that says more than a text. */
export interface HandlerResponse {
  /** The text of the answer. */
  content?: string;
  /**
   * How the turn ends. Nothing or `completed`: done. `input-required`, `auth-required`: the task
   * waits for the caller. `failed`, `rejected`: it ends without a result.
   */
  state?: 'completed' | 'input-required' | 'auth-required' | 'failed' | 'rejected';
  /** The question to the caller, where the task waits. */
  prompt?: string;
  /** Remarks on the answer, kept with the task. */
  metadata?: Record<string, string>;
}

/** What a handler knows of its turn beside the conversation. */
export interface HandlerContext {
  /** The task that is worked on. */
  taskId: string;
  /** The conversation it belongs to. */
  contextId: string;
  /** The agent that answers. */
  agentId: string;
  /** The W3C trace context of the caller, if tracing is on. */
  traceparent: string | undefined;
  /** Aborts when nobody wants the answer any more: canceled, timed out, or the end of a stop. */
  signal: AbortSignal;
}

/** A piece of an answer: text, which continues what came before, or an object, which ends it. */
export type Piece = string | HandlerResponse;

/**
 * Answers one turn of a conversation; the last message is the one to be answered.
 *
 * An (async) generator streams: its callers see each piece as it is yielded. Whatever it throws
 * fails the task with the error's message.
 */
export type Handler = (
  messages: ChatMessage[],
  context: HandlerContext,
) => Piece | Promise<Piece> | AsyncIterable<Piece> | Generator<Piece, unknown, unknown>;

/** A skill that is described in place. */
export interface InlineSkill {
  name: string;
  description: string;
  tags?: string[];
  input_modes?: string[];
  output_modes?: string[];
  version?: string;
  author?: string;
}

/** Where an agent is reached. */
export interface DeploymentConfig {
  /** The HTTP address of the agent, with its port. */
  url: string;
  expose?: boolean;
  protocol_version?: string;
  cors_origins?: string[];
  [key: string]: unknown;
}

/** What a call of the agent costs. */
export interface ExecutionCost {
  amount: string | number;
  token?: string;
  network?: string;
  pay_to_address?: string;
  [key: string]: unknown;
}

/** What an agent says it can do on the wire. */
export interface Capabilities {
  /** On by itself where the handler is a generator. */
  streaming?: boolean;
  push_notifications?: boolean;
  state_transition_history?: boolean;
  [key: string]: unknown;
}

/**
 * An agent's configuration. What is not named here is handed on to the core as it is; the core
 * ignores what it does not know.
 */
export interface BinduConfig {
  /** Who makes the agent, mostly an e-mail address. Part of its identity. */
  author: string;
  /** What it is called. Part of its identity. */
  name: string;
  deployment: DeploymentConfig;
  description?: string;
  version?: string;
  /** Skills in place, or paths: of a file, or of a directory with `skill.yaml` or `SKILL.md`. */
  skills?: (string | InlineSkill)[];
  capabilities?: Capabilities;
  kind?: 'agent' | 'team' | 'workflow';
  execution_cost?: ExecutionCost | ExecutionCost[];
  extra_metadata?: Record<string, unknown>;
  debug_mode?: boolean;
  telemetry?: boolean;
  num_history_sessions?: number;
  /** Where the core takes registrations: `host:port`. By default `localhost:3774`. */
  coreAddress?: string;
  /** The port on which this process takes turns. By default, or with 0, a free one. */
  callbackPort?: number;
  [key: string]: unknown;
}

/** How this library behaves. Nothing of it reaches the core. Times are in milliseconds. */
export interface BinduOptions {
  /** How often the core is told that this process is alive. 30 000. */
  heartbeatInterval?: number;
  /** How long a registration may take. 60 000. */
  registerTimeout?: number;
  /** How long running turns may go on after a stop. 5 000. */
  grace?: number;
  /** How long a core of someone else may be gone before this process starts its own. 10 000. */
  takeOverAfter?: number;
  /** The longest message sent or taken, in bytes. 4 MiB. */
  maxMessageBytes?: number;
  /** Whether a core may be started when none runs. True. */
  startCore?: boolean;
  /** The directory that a core started here works in: its keys and its `.env`. This process's. */
  cwd?: string;
  /** The host under which a core on another machine reaches this process. */
  callbackHost?: string;
  /** The shared token of the core, if it wants one. By default the variable GRPC__AUTH_TOKEN. */
  token?: string;
  /** Whether SIGINT, SIGTERM and SIGHUP stop the agents and end the process. True. */
  handleSignals?: boolean;
  /** Takes what there is to say, line by line. By default the console. */
  log?: (line: string) => void;
}
