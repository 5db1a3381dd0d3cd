// Whoever pays: a key of its own, made at run time, and the ecosystem's x402 client.

import { ExactEvmScheme } from "@x402/evm/exact/client";
import { ExactEvmSchemeV1 } from "@x402/evm/exact/v1/client";
import { wrapFetchWithPayment, x402Client, x402HTTPClient } from "@x402/fetch";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

import { EXTENSION, asking, atRest, call, resultOf, said, saying } from "./a2a.mjs";

/** The header fields that turn the in-task flow on. */
const ACTIVATED = { "X-A2A-Extensions": EXTENSION };

export class Payer {
  constructor() {
    this.account = privateKeyToAccount(generatePrivateKey());
    this.client = new x402Client().register("eip155:*", new ExactEvmScheme(this.account));
    this.http = new x402HTTPClient(this.client);
    /** `fetch` that pays when it is answered 402, with nothing of ours in it. */
    this.fetch = wrapFetchWithPayment(fetch, this.client);
  }

  get address() {
    return this.account.address;
  }

  /** What an agent wants for a message, as the client reads it from a 402. */
  async priceOf(address, params = saying("what does it cost?")) {
    const response = await fetch(address, asking("message/send", params));
    if (response.status !== 402) throw new Error(`it is free: ${response.status}`);
    const body = JSON.parse(await response.text());
    return this.http.getPaymentRequiredResponse((name) => response.headers.get(name), body);
  }

  /** A signed payment for one of the offers. */
  async sign(required) {
    return this.client.createPaymentPayload(required);
  }

  /** A payment as clients of x402 v1 sign it, on a network by its name. */
  async signV1({ amount, ...offer }, network) {
    const client = new x402Client().registerV1(network, new ExactEvmSchemeV1(this.account));
    const accepts = [{ ...offer, network, maxAmountRequired: amount }];
    return client.createPaymentPayload({ x402Version: 1, accepts });
  }

  /** The header fields that carry a payment. */
  headers(payload) {
    return this.http.encodePaymentSignatureHeader(payload);
  }

  /** Sends a message, pays when asked to by a 402, and waits for the task. */
  async send(address, text) {
    const response = await this.fetch(address, asking("message/send", saying(text)));
    const task = await resultOf(response);
    return atRest(address, task.id);
  }

  /** Sends a message with the extension on; gives the task, which waits to be paid. */
  async askInTask(address, text) {
    const task = await call(address, "message/send", saying(text), ACTIVATED);
    return atRest(address, task.id);
  }

  /** Answers a task that waits to be paid, and waits for it again. */
  async answer(address, task, metadata, text = "here you are") {
    const { id: taskId } = task;
    const contextId = task.contextId ?? task.context_id;
    const params = saying(text, { taskId, contextId, metadata });
    await call(address, "message/send", params, ACTIVATED);
    return atRest(address, taskId);
  }

  /** Pays a task that waits for it, with a payment that `change` may have changed. */
  async payTask(address, task, change = (payload) => payload) {
    const payload = change(await this.sign(said(task, "required")));
    return this.answer(address, task, submitting(payload));
  }

  /** Sends a message, pays inside the task, and waits for it. */
  async sendInTask(address, text) {
    return this.payTask(address, await this.askInTask(address, text));
  }
}

/** The metadata of a message that carries a payment. */
export function submitting(payload) {
  return {
    "x402.payment.status": "payment-submitted",
    "x402.payment.payload": payload,
  };
}
