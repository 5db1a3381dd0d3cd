// As much of an A2A client as a payer needs.

import { randomUUID } from "node:crypto";

/** How long anything may take. Nothing waits so long unless something is wrong. */
export const PATIENCE = 60_000;

/** How often a task is looked at. */
const BEAT = 25;

const TERMINAL = ["completed", "failed", "canceled", "rejected"];
const WAITS_FOR_CALLER = ["input-required", "auth-required", "payment-required"];

/** The names under which the x402 extension of A2A is activated. */
export const EXTENSION =
  "https://github.com/google-agentic-commerce/a2a-x402/blob/main/spec/v0.2";

/** A message of a caller, as the parameters of `message/send`. */
export function saying(text, more = {}) {
  const message = {
    kind: "message",
    role: "user",
    messageId: randomUUID(),
    contextId: randomUUID(),
    taskId: randomUUID(),
    parts: [{ kind: "text", text }],
    ...more,
  };
  return { message, configuration: { acceptedOutputModes: ["text/plain"] } };
}

/** What `fetch` takes for a JSON-RPC call. */
export function asking(method, params, headers = {}) {
  return {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ jsonrpc: "2.0", id: randomUUID(), method, params }),
    signal: AbortSignal.timeout(PATIENCE),
  };
}

/** The result in an answer; throws if it holds none. */
export async function resultOf(response) {
  const text = await response.text();
  if (response.status !== 200) throw new Refused(response.status, text);
  const { result, error } = JSON.parse(text);
  if (error) throw new Refused(response.status, text);
  return result;
}

/** An agent that did not do what it was asked. */
export class Refused extends Error {
  constructor(status, text) {
    super(`the agent answered ${status}: ${text}`);
    this.status = status;
    this.text = text;
  }

  /** Its answer, which has to be JSON. */
  get body() {
    return JSON.parse(this.text);
  }
}

/** Makes a JSON-RPC call. */
export async function call(address, method, params, headers) {
  return resultOf(await fetch(address, asking(method, params, headers)));
}

/** A task once it rests: it has ended, or it is its caller's turn. */
export async function atRest(address, taskId) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const task = await call(address, "tasks/get", { id: taskId, taskId });
    const state = task.status.state;
    if (TERMINAL.includes(state) || WAITS_FOR_CALLER.includes(state)) return task;
    if (Date.now() > deadline) throw new Error(`task ${taskId} is still ${state}`);
    await new Promise((wake) => setTimeout(wake, BEAT));
  }
}

/** What an agent said last about a payment: in the task, or in the message of its status. */
export function said(task, key) {
  const name = `x402.payment.${key}`;
  return task.status.message?.metadata?.[name] ?? task.metadata?.[name];
}

/** The receipts of a paid task. */
export function receipts(task) {
  return task.metadata?.["x402.payment.receipts"] ?? said(task, "receipts") ?? [];
}
