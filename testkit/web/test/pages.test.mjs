// The payment pages as a human meets them, in Chromium.

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { PATIENCE, asking, atRest, receipts, resultOf, saying } from "../src/a2a.mjs";
import { Browser } from "../src/browser.mjs";
import { Facilitator, isSigned } from "../src/facilitator.mjs";
import { agents, chromium, screenshots } from "../src/given.mjs";
import { HOSTILE, watched } from "../src/hostile.mjs";
import {
  COPY, FAILED, MESSAGE, OFFER, PAID, PAY, PAYWALL, SESSION, forgetMessage, openManual, openPaywall,
  paste, tryAgain, untilMessage, untilPage,
} from "../src/pages.mjs";
import { Payer } from "../src/payer.mjs";
import { Session } from "../src/session.mjs";
import { Wallet } from "../src/wallet.mjs";

const { paid, hostile } = agents;
const facilitator = new Facilitator(agents.facilitator);
const limited = { timeout: 2 * PATIENCE };

/** So large may a picture be, in bytes. */
const LARGEST = 150_000;

let browser;

before(async () => {
  browser = await Browser.start(chromium());
}, limited);

after(() => browser?.close(), limited);

/** Runs a test on a page of its own. */
function onPage(name, does) {
  test(name, limited, async (t) => {
    const page = await browser.page();
    try {
      await does(page, t);
    } finally {
      await page.close();
    }
  });
}

/** Fails if a page said or asked for anything that it should not. */
function assertQuiet(page) {
  assert.deepEqual(page.errors, [], "no error");
  assert.deepEqual(page.dialogs, [], "no dialog");
  const origins = [paid, hostile].map((address) => new URL(address).origin);
  const foreign = page.requests.filter(
    (url) => !url.startsWith("data:") && !origins.includes(new URL(url).origin),
  );
  assert.deepEqual(foreign, [], "nobody else was asked for anything");
}

/** Takes a picture, and keeps it if pictures are wanted. */
async function picture(page, name) {
  const png = await page.picture();
  assert.equal(png.subarray(1, 4).toString(), "PNG");
  assert.equal(png.readUInt32BE(16), 800, "its width");
  assert.ok(png.length < LARGEST, `${name} has ${png.length} bytes`);
  if (screenshots) {
    await mkdir(screenshots, { recursive: true });
    await writeFile(join(screenshots, `payment-${name}.png`), png);
  }
}

/** Fails unless a session is paid and its token buys a message; gives the payment. */
async function assertBuys(session, agent, payer) {
  const { status, payment_token: token } = await session.status();
  assert.equal(status, "completed");
  const payment = JSON.parse(Buffer.from(token, "base64"));
  assert.deepEqual(await facilitator.counts(payment), { verify: 0, settle: 0 }, "not used yet");
  const params = saying("hello");
  const response = await fetch(agent, asking("message/send", params, { "X-PAYMENT": token }));
  const task = await atRest(agent, (await resultOf(response)).id);
  assert.equal(task.status.state, "completed", JSON.stringify(task));
  const [receipt] = receipts(task);
  assert.equal(receipt.payer.toLowerCase(), payer.address.toLowerCase());
  const [request] = await facilitator.asked("/settle", payment.payload.authorization.nonce);
  assert.ok(await isSigned(request, payer.address), "the wallet's signature holds");
  return payment;
}

onPage("a human pays with a wallet, and the token buys a message", async (page) => {
  const payer = new Payer();
  const wallet = new Wallet(payer.account);
  await wallet.into(page);
  const session = await openPaywall(page, paid);
  assert.equal(page.document.status, 402);
  const { accepts } = await payer.priceOf(paid);
  const options = await page.evaluate(
    (offer) =>
      [...document.querySelectorAll(offer)].map(({ value, checked, labels }) => {
        return { value, checked, text: labels[0].textContent };
      }),
    OFFER,
  );
  assert.equal(options.length, accepts.length);
  for (const [index, { value, checked, text }] of options.entries()) {
    assert.equal(value, String(index));
    assert.equal(checked, index === 0);
    assert.ok(text.includes(`${Number(accepts[index].amount) / 1e6} USDC`), text);
    assert.ok(text.includes(accepts[index].payTo), text);
  }
  await picture(page, "paywall");

  await page.click(PAY);
  await untilPage(page, PAID);
  assert.equal(page.document.status, 200);
  assert.equal(await page.text(SESSION), session.id);
  assert.deepEqual(wallet.calls, [
    "eth_requestAccounts",
    "eth_chainId",
    "wallet_switchEthereumChain",
    "eth_signTypedData_v4",
  ]);
  const { accepted } = await assertBuys(session, paid, payer);
  assert.deepEqual(accepted, accepts[0]);
  assertQuiet(page);
});

onPage("the page after paying is there for whoever comes back", async (page) => {
  const payer = new Payer();
  const session = await Session.start(paid);
  const payment = await payer.sign(await payer.priceOf(paid));
  const response = await fetch(session.url, { headers: payer.headers(payment) });
  assert.equal(response.status, 200, await response.text());
  assert.equal(await page.goto(session.url), 200);
  await untilPage(page, PAID);
  const secret = (payment) => document.documentElement.outerHTML.includes(payment);
  assert.ok(!(await page.evaluate(secret, payment.payload.signature)), "the payment is not shown");
  await page.grant("clipboardReadWrite", "clipboardSanitizedWrite");
  const label = await page.text(COPY);
  await page.click(COPY);
  const copied = await page.until(
    "it is copied",
    (copy, label) => {
      const copied = document.querySelector(copy).textContent !== label;
      return copied && navigator.clipboard.readText();
    },
    COPY,
    label,
  );
  assert.equal(copied, session.id);
  // What is another in every run would make another picture of each.
  await page.evaluate(
    (session, copy, label) => {
      document.querySelector(session).textContent = "dGhpcyBpcyBhIHBpY3R1cmUsIG5vdCBhIHNlc3Npb24";
      document.querySelector(copy).textContent = label;
    },
    SESSION,
    COPY,
    label,
  );
  await picture(page, "paid");
  assertQuiet(page);
});

onPage("the option that is chosen is the one that is paid", async (page) => {
  const payer = new Payer();
  await new Wallet(payer.account).into(page);
  const session = await openPaywall(page, paid);
  const { accepts } = await payer.priceOf(paid);
  const last = accepts.length - 1;
  await page.click(`${OFFER}[value="${last}"]`);
  await page.click(PAY);
  await untilPage(page, PAID);
  const { accepted } = await assertBuys(session, paid, payer);
  assert.deepEqual(accepted, accepts[last]);
  assertQuiet(page);
});

onPage("whoever says no to the wallet may try again", async (page) => {
  const payer = new Payer();
  const wallet = new Wallet(payer.account);
  wallet.refusal = "User rejected the request.";
  await wallet.into(page);
  const session = await openPaywall(page, paid);
  await page.click(PAY);
  assert.equal(await untilMessage(page), wallet.refusal);
  assert.equal((await session.status()).status, "pending");
  wallet.refusal = undefined;
  await page.click(PAY);
  await untilPage(page, PAID);
  assertQuiet(page);
});

onPage("without a wallet the page says so", async (page) => {
  await openPaywall(page, paid);
  await page.click(PAY);
  assert.match(await untilMessage(page), /no wallet/);
  assertQuiet(page);
});

for (const [how, spell] of [
  ["base64", (payment) => Buffer.from(JSON.stringify(payment)).toString("base64")],
  ["JSON", (payment) => JSON.stringify(payment, null, 2)],
]) {
  onPage(`a payment that was signed elsewhere is pasted as ${how}`, async (page) => {
    const payer = new Payer();
    const session = await openPaywall(page, paid);
    if (how === "JSON") {
      await openManual(page);
      await picture(page, "manual");
    }
    await paste(page, spell(await payer.sign(await payer.priceOf(paid))));
    await untilPage(page, PAID);
    await assertBuys(session, paid, payer);
    assertQuiet(page);
  });
}

onPage("a bad payment is refused, and a good one still taken", async (page) => {
  const payer = new Payer();
  const session = await openPaywall(page, paid);
  const payment = await payer.sign(await payer.priceOf(paid));
  const cheap = structuredClone(payment);
  cheap.accepted.amount = "1";
  const refusals = {
    "no payment at all": /Invalid X-PAYMENT header/,
    "{}": /Invalid X-PAYMENT header/,
    [JSON.stringify(cheap)]: /No matching payment requirements/,
  };
  for (const [bad, why] of Object.entries(refusals)) {
    await paste(page, bad);
    assert.match(await untilMessage(page), why);
    assert.equal((await session.status()).status, "pending");
    await tryAgain(page);
  }
  await paste(page, JSON.stringify(payment));
  await untilPage(page, PAID);
  assertQuiet(page);
});

onPage("what a wallet signed wrongly is refused, and says why", async (page) => {
  const payer = new Payer();
  const wallet = new Wallet(payer.account);
  wallet.change = (signature) => signature.slice(0, 66);
  await wallet.into(page);
  const session = await openPaywall(page, paid);
  await page.click(PAY);
  assert.match(await untilMessage(page), /signature/);
  assert.equal((await session.status()).status, "pending");
  wallet.change = undefined;
  await page.click(PAY);
  await untilPage(page, PAID);
  assertQuiet(page);
});

onPage("pasting works without scripts", async (page) => {
  const payer = new Payer();
  await page.withoutScripts();
  const session = await openPaywall(page, paid);
  await paste(page, "no payment at all");
  await untilPage(page, FAILED);
  assert.equal(page.document.status, 400);
  await tryAgain(page);
  await paste(page, JSON.stringify(await payer.sign(await payer.priceOf(paid))));
  await untilPage(page, PAID);
  await assertBuys(session, paid, payer);
});

onPage("errors have a page", async (page) => {
  const capture = new URL("/payment-capture", paid);
  assert.equal(await page.goto(capture), 400);
  await untilPage(page, FAILED);
  assert.equal(await page.text(MESSAGE), "Session ID required");
  assert.equal(await page.goto(`${capture}?session_id=unknown`), 404);
  await untilPage(page, FAILED);
  assert.equal(await page.text(MESSAGE), "Session not found or expired");
  const session = await Session.start(paid);
  assert.equal(await page.goto(`${session.url}&payment=e30%3D`), 400);
  await untilPage(page, FAILED);
  assert.match(await page.text(MESSAGE), /^Invalid X-PAYMENT header/);
  await tryAgain(page);
  const payer = new Payer();
  const cheap = await payer.sign(await payer.priceOf(paid));
  cheap.payload.authorization.value = "1";
  await paste(page, JSON.stringify(cheap));
  await untilPage(page, FAILED);
  assert.equal(page.document.status, 400);
  await picture(page, "failed");
  await tryAgain(page);
  assertQuiet(page);
});

/** Fails if something of what strangers wrote is more than text. */
async function assertInert(page, ran) {
  const foreign = await page.evaluate(() =>
    [...document.querySelectorAll("img, svg, iframe, object, embed, base, [onload], [onerror]")]
      .map((element) => element.outerHTML)
      .concat([...document.scripts].filter(({ nonce }) => !nonce).map(({ text }) => text))
      .concat([...document.links].map(({ href }) => href).filter((href) => !/^http/.test(href))),
  );
  assert.deepEqual(foreign, [], "no element of theirs");
  assert.deepEqual(ran, [], "no script of theirs");
  assert.deepEqual(page.dialogs, []);
}

onPage("an agent with a hostile name and description is shown as it is", async (page) => {
  const card = await (await fetch(new URL("/.well-known/agent.json", hostile))).json();
  for (const text of [card.name, card.description]) assert.match(text, /<script>hostile/);
  const payer = new Payer();
  await new Wallet(payer.account).into(page);
  const ran = await watched(page);
  const session = await openPaywall(page, hostile);
  assert.ok((await page.text("main")).includes(card.name));
  await assertInert(page, ran);
  await page.click(PAY);
  await untilPage(page, PAID);
  await assertInert(page, ran);
  await assertBuys(session, hostile, payer);
  assertQuiet(page);
});

onPage("hostile input of a caller is text", async (page, t) => {
  const ran = await watched(page);
  const session = await Session.start(paid);
  const payer = new Payer();
  const payment = await payer.sign(await payer.priceOf(paid));
  const { origin } = new URL(session.url);
  const inVersion = (text) => JSON.stringify({ ...payment, x402Version: text });
  const inOffer = (text) => {
    return JSON.stringify({ ...payment, accepted: { ...payment.accepted, network: text } });
  };
  const base64 = (text) => Buffer.from(text).toString("base64");
  const ways = {
    "in the session's id": (text) => `${origin}/payment-capture?session_id=${encodeURIComponent(text)}`,
    "in place of a payment": (text) => `${session.url}&payment=${encodeURIComponent(text)}`,
    "in the version": (text) => `${session.url}&payment=${encodeURIComponent(inVersion(text))}`,
    "in the version, in base64": (text) =>
      `${session.url}&payment=${encodeURIComponent(base64(inVersion(text)))}`,
    "in the offer": (text) => `${session.url}&payment=${encodeURIComponent(inOffer(text))}`,
    "in another parameter": (text) => `${session.url}&other=${encodeURIComponent(text)}`,
    "behind the address": (text) => `${session.url}#${text}`,
  };
  for (const [way, address] of Object.entries(ways)) {
    await t.test(way, async () => {
      ran.length = 0;
      for (const text of HOSTILE) {
        await page.goto("about:blank");
        const status = await page.goto(address(text));
        assert.ok([400, 402, 404].includes(status), `${status} for ${text}`);
        const title = await page.evaluate(() => document.title);
        assert.ok([PAYWALL, FAILED].includes(title), title);
        await assertInert(page, ran);
      }
      assert.equal((await session.status()).status, "pending");
    });
  }
  assertQuiet(page);
});

onPage("what a hostile wallet says, or is pasted, is text", async (page) => {
  const payer = new Payer();
  const wallet = new Wallet(payer.account);
  await wallet.into(page);
  const ran = await watched(page);
  await openPaywall(page, paid);
  for (const text of HOSTILE) {
    wallet.refusal = text;
    await page.click(PAY);
    assert.equal(await untilMessage(page), text);
    await assertInert(page, ran);
    await forgetMessage(page);
    await paste(page, text);
    await untilPage(page, FAILED);
    await assertInert(page, ran);
    await tryAgain(page);
  }
  assertQuiet(page);
});

onPage("a script that got in all the same would not run", async (page) => {
  const ran = await watched(page);
  const session = await Session.start(paid);
  for (const url of [session.url, `${session.url}&payment=x`]) {
    await page.goto(url);
    const { headers } = page.document;
    assert.match(headers["content-security-policy"], /default-src 'none'/);
    assert.doesNotMatch(headers["content-security-policy"], /unsafe|https?:|\*/);
    assert.equal(headers["referrer-policy"], "no-referrer");
    const blocked = await page.evaluate(async () => {
      const seen = [];
      const heard = new Promise((resolve) => {
        addEventListener("securitypolicyviolation", ({ effectiveDirective }) => {
          seen.push(effectiveDirective);
          if (seen.includes("script-src-elem") && seen.includes("script-src-attr")) resolve();
        });
      });
      const script = document.createElement("script");
      script.textContent = "hostile('added script')";
      document.body.append(script);
      const button = document.createElement("button");
      button.setAttribute("onclick", "hostile('added handler')");
      document.body.append(button);
      button.click();
      await heard;
      return seen;
    });
    assert.ok(blocked.length >= 2);
    assert.deepEqual(ran, []);
  }
});
