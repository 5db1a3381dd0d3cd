/** The contract with the core, as `proto/agent_handler.proto` has it. */

import { fileURLToPath } from 'node:url';

import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

export interface SkillDefinition {
  name: string;
  description: string;
  tags: string[];
  inputModes: string[];
  outputModes: string[];
  version: string;
  author: string;
  rawContent: string;
  format: string;
}

export interface RegisterAgentResponse {
  success: boolean;
  agentId: string;
  did: string;
  agentUrl: string;
  error: string;
}

export interface HandleRequest {
  messages: { role: string; content: string }[];
  taskId: string;
  contextId: string;
}

export interface HandleResponse {
  content: string;
  state: string;
  prompt: string;
  isFinal: boolean;
  metadata: Record<string, string>;
}

interface Contract {
  bindu: {
    grpc: {
      BinduService: grpc.ServiceClientConstructor;
      AgentHandler: { service: grpc.ServiceDefinition };
    };
  };
}

const file = fileURLToPath(new URL('../proto/agent_handler.proto', import.meta.url));
const definition = loadSync(file, { longs: Number, defaults: true, arrays: true, objects: true });
const contract = grpc.loadPackageDefinition(definition) as unknown as Contract;

export const { BinduService, AgentHandler } = contract.bindu.grpc;
