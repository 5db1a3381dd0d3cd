// Strangers pay: nothing here knows more of our agents than x402 and A2A say.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import {
  PATIENCE, Refused, asking, atRest, call, receipts, resultOf, said, saying,
} from "../src/a2a.mjs";
import { Facilitator, isSigned } from "../src/facilitator.mjs";
import { agents } from "../src/given.mjs";
import { Payer, submitting } from "../src/payer.mjs";

const { paid } = agents;
const facilitator = new Facilitator(agents.facilitator);
const limited = { timeout: 2 * PATIENCE };

/** Sends a message with a payment in the header; gives the answer. */
function sendWith(payer, payload, params = saying("hello")) {
  return fetch(paid, asking("message/send", params, payer.headers(payload)));
}

/** Fails unless a payment is refused with 402; gives the reason. */
async function refusal(response) {
  assert.equal(response.status, 402);
  const { error, accepts } = await response.json();
  assert.ok(accepts.length > 0, "what would be accepted is said again");
  return error;
}

/** A payment, changed after it was signed. */
function changed(payload, change) {
  const copy = structuredClone(payload);
  change(copy);
  return copy;
}

/** Fails unless a task was done and the receipt names the payer. */
function assertPaid(task, payer) {
  assert.equal(task.status.state, "completed", JSON.stringify(task));
  assert.equal(said(task, "status"), "payment-completed");
  const [receipt, ...more] = receipts(task);
  assert.equal(receipt.success, true);
  assert.equal(receipt.payer.toLowerCase(), payer.address.toLowerCase());
  assert.match(receipt.transaction, /^0x[0-9a-f]{64}$/);
  assert.match(receipt.network, /^eip155:\d+$/);
  assert.deepEqual(more, []);
}

/** Watches what a payer signs. */
function signed(payer) {
  const payments = [];
  payer.client.onAfterPaymentCreation(async ({ paymentPayload }) => {
    payments.push(paymentPayload);
  });
  return payments;
}

test("the stock client pays over HTTP 402, once, with a signature that holds", limited, async () => {
  const payer = new Payer();
  const payments = signed(payer);
  assertPaid(await payer.send(paid, "hello"), payer);
  assert.equal(payments.length, 1);
  assert.deepEqual(await facilitator.counts(payments[0]), { verify: 1, settle: 1 });
  const { nonce } = payments[0].payload.authorization;
  for (const path of ["/verify", "/settle"]) {
    const [request] = await facilitator.asked(path, nonce);
    assert.ok(await isSigned(request, payer.address), path);
  }
});

test("a stream costs what a message costs", limited, async () => {
  const payer = new Payer();
  const params = saying("hello");
  const free = await fetch(paid, asking("message/stream", params));
  assert.match(await refusal(free), /required/);
  const response = await payer.fetch(paid, asking("message/stream", params));
  assert.equal(response.status, 200);
  assert.match(response.headers.get("content-type"), /^text\/event-stream/);
  const events = await response.text();
  assert.match(events, /completed/);
  assertPaid(await atRest(paid, params.message.taskId), payer);
});

test("the client reads every offer, and pays the one it likes", limited, async () => {
  const payer = new Payer();
  const { x402Version, accepts } = await payer.priceOf(paid);
  assert.equal(x402Version, 2);
  assert.ok(accepts.length > 1, "there is a choice");
  const last = accepts.at(-1);
  const payload = await payer.sign({ x402Version, accepts: [last] });
  const task = await resultOf(await sendWith(payer, payload));
  const done = await atRest(paid, task.id);
  assertPaid(done, payer);
  assert.equal(receipts(done)[0].network, last.network);
});

test("the program for shells prints the receipt", limited, async () => {
  const program = fileURLToPath(new URL("../pay.mjs", import.meta.url));
  for (const how of [[], ["--in-task"]]) {
    const run = promisify(execFile)(process.execPath, [program, paid, ...how], limited);
    const receipt = JSON.parse((await run).stdout);
    assert.equal(receipt.success, true);
  }
  const refused = promisify(execFile)(process.execPath, [program, agents.facilitator], limited);
  await assert.rejects(refused, ({ code, stderr }) => code === 1 && /^not paid: /.test(stderr));
});

test("a changed payment is refused before anybody else sees it", limited, async (t) => {
  const payer = new Payer();
  const required = await payer.priceOf(paid);
  const changes = {
    "a lower price": ({ accepted }) => (accepted.amount = "1"),
    "a lower value": ({ payload }) => (payload.authorization.value = "1"),
    "both lower": ({ accepted, payload }) => {
      accepted.amount = "1";
      payload.authorization.value = "1";
    },
    "another recipient": ({ payload }) => (payload.authorization.to = payer.address),
    "another recipient in the offer too": ({ accepted, payload }) => {
      accepted.payTo = payer.address;
      payload.authorization.to = payer.address;
    },
    "another chain": ({ accepted }) => (accepted.network = "eip155:1"),
    "another token": ({ accepted }) => (accepted.asset = `0x${"11".repeat(20)}`),
    "another name of the token": ({ accepted }) => (accepted.extra.name = "Play Money"),
    "too late": ({ payload }) => (payload.authorization.validBefore = "1700000000"),
    "too early": ({ payload }) => (payload.authorization.validAfter = "9999999999"),
    "half a signature": ({ payload }) => (payload.signature = payload.signature.slice(0, 66)),
  };
  for (const [name, change] of Object.entries(changes)) {
    await t.test(name, async () => {
      const payload = changed(await payer.sign(required), change);
      const params = saying("hello");
      assert.ok(await refusal(await sendWith(payer, payload, params)));
      assert.deepEqual(await facilitator.counts(payload), { verify: 0, settle: 0 });
      const { taskId } = params.message;
      await assert.rejects(call(paid, "tasks/get", { id: taskId, taskId }), Refused);
    });
  }
});

test("a payment buys one message", limited, async () => {
  const payer = new Payer();
  const payload = await payer.sign(await payer.priceOf(paid));
  const first = await resultOf(await sendWith(payer, payload));
  assert.match(await refusal(await sendWith(payer, payload)), /replay/);
  assertPaid(await atRest(paid, first.id), payer);
  assert.deepEqual(await facilitator.counts(payload), { verify: 1, settle: 1 });
});

test("the stock client pays inside the task", limited, async () => {
  const payer = new Payer();
  const payments = signed(payer);
  const asked = await payer.askInTask(paid, "hello");
  assert.match(asked.status.state, /^(input|payment)-required$/);
  assert.equal(said(asked, "status"), "payment-required");
  const { accepts } = said(asked, "required");
  assert.deepEqual(accepts, (await payer.priceOf(paid)).accepts, "it costs the same both ways");
  const done = await payer.payTask(paid, asked);
  assert.equal(done.id, asked.id);
  assertPaid(done, payer);
  assert.deepEqual(await facilitator.counts(payments[0]), { verify: 1, settle: 1 });
  const { nonce } = payments[0].payload.authorization;
  const [request] = await facilitator.asked("/settle", nonce);
  assert.ok(await isSigned(request, payer.address));
});

test("inside the task a changed amount is refused, and the right one still taken", limited, async () => {
  const payer = new Payer();
  const asked = await payer.askInTask(paid, "hello");
  let wrong;
  const failed = await payer.payTask(paid, asked, (payload) => {
    wrong = changed(payload, ({ payload }) => (payload.authorization.value = "1"));
    return wrong;
  });
  assert.equal(failed.id, asked.id);
  assert.match(failed.status.state, /^(input|payment)-required$/);
  assert.equal(said(failed, "error"), "INVALID_AMOUNT");
  assert.equal(said(failed, "receipts").at(-1).success, false);
  assert.deepEqual(await facilitator.counts(wrong), { verify: 0, settle: 0 });

  const done = await payer.payTask(paid, failed);
  assert.equal(done.status.state, "completed", JSON.stringify(done));
  assert.equal(said(done, "status"), "payment-completed");
  assert.equal(receipts(done).at(-1).success, true);
});

test("a client of x402 v1 pays inside the task, and is turned away over HTTP", limited, async () => {
  const payer = new Payer();
  const { accepts } = await payer.priceOf(paid);
  const sepolia = accepts.find(({ network }) => network === "eip155:84532");
  const old = await payer.signV1(sepolia, "base-sepolia");
  assert.equal(old.x402Version, 1);
  assert.match(await refusal(await sendWith(payer, old)), /v1 .* re-sign with v2/);
  assert.deepEqual(await facilitator.counts(old), { verify: 0, settle: 0 });

  const asked = await payer.askInTask(paid, "hello");
  const done = await payer.answer(paid, asked, submitting(old));
  assertPaid(done, payer);
  const [request] = await facilitator.asked("/settle", old.payload.authorization.nonce);
  assert.equal(request.x402Version, 2, "the facilitator is asked in words of v2");
  assert.ok(await isSigned(request, payer.address));
});

test("whoever does not want to pay says so, and the task is canceled", limited, async () => {
  const payer = new Payer();
  const asked = await payer.askInTask(paid, "hello");
  const no = { "x402.payment.status": "payment-rejected" };
  const canceled = await payer.answer(paid, asked, no, "too dear");
  assert.equal(canceled.id, asked.id);
  assert.equal(canceled.status.state, "canceled");
});
