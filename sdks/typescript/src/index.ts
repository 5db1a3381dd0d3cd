/**
 * Makes an A2A agent of a function.
 *
 * The `bindu` command does the work of an agent (HTTP, identity, tasks, streams); it is started
 * beside this process, or found running, and calls back for every turn.
 */

import { Agent } from './agent.js';
import type { BinduConfig, BinduOptions, Handler } from './types.js';

export type { Agent };
export type {
  BinduConfig,
  BinduOptions,
  Capabilities,
  ChatMessage,
  DeploymentConfig,
  ExecutionCost,
  Handler,
  HandlerContext,
  HandlerResponse,
  InlineSkill,
  Piece,
} from './types.js';

/**
 * Registers an agent and keeps it registered: a core that ends is started again.
 *
 * @returns the agent, once callers reach it. The process lives as long as it does.
 * @throws if there is no core and none can be started, or if it refuses the configuration.
 */
export function bindufy(
  config: BinduConfig,
  handler: Handler,
  options: BinduOptions = {},
): Promise<Agent> {
  return Agent.start(config, handler, options);
}
