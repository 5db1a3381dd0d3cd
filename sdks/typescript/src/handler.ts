/** The gRPC server that takes turns from the core and gives them to the handler. */

import { once } from 'node:events';

import * as grpc from '@grpc/grpc-js';

import { AgentHandler } from './proto.js';
import type { HandleRequest, HandleResponse } from './proto.js';
import type { Handler, HandlerContext, HandlerResponse, Piece } from './types.js';

/** How much of an error's message fits into the trailers of a call. */
const MAX_DETAILS = 2000;

/** A response of a stream, most of which is text alone. */
type Chunk = Partial<HandleResponse>;

type Call = Pick<grpc.ServerUnaryCall<HandleRequest, unknown>, 'request' | 'metadata'>;

/** What the server says of itself. */
export interface About {
  name: string;
  description: string;
  version: string;
  supportsStreaming: boolean;
}

/** Whether a function is a generator, so that its answer comes in pieces. */
export function isGenerator(handler: Handler): boolean {
  return /GeneratorFunction\]$/.test(Object.prototype.toString.call(handler));
}

/** Serves AgentHandler. */
export class HandlerServer {
  readonly #server: grpc.Server;
  readonly #handler: Handler;
  #ending = false;

  constructor(
    handler: Handler,
    about: About,
    maxMessageBytes: number,
    log: (line: string) => void,
  ) {
    this.#handler = handler;
    this.#server = new grpc.Server({
      'grpc.max_receive_message_length': maxMessageBytes,
      'grpc.max_send_message_length': maxMessageBytes,
    });
    const failed = (error: unknown, signal: AbortSignal): Partial<grpc.StatusObject> => {
      // Nobody hears of what a handler throws when its call is aborted, and nobody has to.
      if (!signal.aborted) log((error as Error | undefined)?.stack ?? String(error));
      return status(error);
    };
    this.#server.addService(AgentHandler.service, {
      handleMessages: (
        call: grpc.ServerUnaryCall<HandleRequest, HandleResponse>,
        callback: grpc.sendUnaryData<HandleResponse>,
      ) => {
        const signal = aborting(call);
        this.#answer(call, signal).then(
          (response) => callback(null, response),
          (error: unknown) => callback(failed(error, signal)),
        );
      },
      handleMessagesStream: (call: grpc.ServerWritableStream<HandleRequest, Chunk>) => {
        const signal = aborting(call);
        this.#stream(call, signal).catch((error: unknown) => {
          call.emit('error', failed(error, signal));
        });
      },
      getCapabilities: (_: unknown, callback: grpc.sendUnaryData<unknown>) => {
        callback(null, about);
      },
      healthCheck: (_: unknown, callback: grpc.sendUnaryData<unknown>) => {
        const message = this.#ending ? 'stopping' : 'OK';
        callback(null, { healthy: !this.#ending, message });
      },
    });
  }

  /** Starts to listen on `host:port`; returns the port. */
  listen(address: string): Promise<number> {
    const credentials = grpc.ServerCredentials.createInsecure();
    return new Promise((resolve, reject) => {
      this.#server.bindAsync(address, credentials, (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
  }

  /** From now on the core hears that this process takes no more work. */
  ending(): void {
    this.#ending = true;
  }

  /** Ends when the running turns have, or cuts them off when that takes longer. */
  async close(grace: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(true), grace);
    });
    const done = new Promise<boolean>((resolve) => this.#server.tryShutdown(() => resolve(false)));
    if (await Promise.race([done, late])) this.#server.forceShutdown();
    clearTimeout(timer);
  }

  async #answer(call: Call, signal: AbortSignal): Promise<HandleResponse> {
    let text = '';
    for await (const piece of this.#turn(call, signal)) {
      if (typeof piece !== 'string') return final(piece, text);
      text += piece;
    }
    return final({ content: text });
  }

  async #stream(
    call: grpc.ServerWritableStream<HandleRequest, Chunk>,
    signal: AbortSignal,
  ): Promise<void> {
    let last: HandlerResponse = {};
    for await (const piece of this.#turn(call, signal)) {
      if (signal.aborted) break;
      if (typeof piece !== 'string') {
        last = piece;
        break;
      }
      const ready = call.write({ content: piece, isFinal: false });
      if (!ready) await once(call, 'drain', { signal });
    }
    if (signal.aborted) return;
    call.write(final(last));
    call.end();
  }

  /** Calls the handler; whatever it gives becomes a row of pieces. */
  async *#turn(call: Call, signal: AbortSignal): AsyncGenerator<Piece> {
    const { messages, taskId, contextId } = call.request;
    const told = (key: string): string | undefined => call.metadata.get(key)[0]?.toString();
    const context: HandlerContext = {
      taskId: taskId || told('x-bindu-task-id') || '',
      contextId: contextId || told('x-bindu-context-id') || '',
      agentId: told('x-bindu-agent-id') ?? '',
      traceparent: told('traceparent'),
      signal,
    };
    const given = await this.#handler(messages, context);
    if (typeof given === 'string') {
      yield given;
    } else if (typeof given !== 'object' || given === null) {
      throw new Error(`the handler answered with ${String(given)}, neither a text nor an object`);
    } else if (Symbol.asyncIterator in given || Symbol.iterator in given) {
      yield* given;
    } else {
      yield given;
    }
  }
}

/** Aborts when the core gives the call up. */
function aborting(call: NodeJS.EventEmitter): AbortSignal {
  const controller = new AbortController();
  call.on('cancelled', () => controller.abort());
  return controller.signal;
}

function final(response: HandlerResponse, before = ''): HandleResponse {
  const { content, state, prompt, metadata } = response;
  return {
    content: before + (content ?? ''),
    state: state ?? '',
    prompt: prompt ?? '',
    isFinal: true,
    metadata: Object.fromEntries(Object.entries(metadata ?? {}).map(([k, v]) => [k, String(v)])),
  };
}

function status(error: unknown): Partial<grpc.StatusObject> {
  const details = error instanceof Error ? error.message : String(error);
  return { code: grpc.status.INTERNAL, details: details.slice(0, MAX_DETAILS) };
}
