// A Chromium without a window, driven over a pipe by its own protocol (DevTools, CDP). It takes no
// port, needs no package, and Chromium ends by itself when the pipe closes.

import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { PATIENCE } from "./a2a.mjs";
import { Page } from "./page.mjs";

/** What it is started with: nothing that talks to anybody, and always the same pixels. */
const SWITCHES = [
  "--headless",
  // Root may not use the sandbox, and it is our own pages that are shown.
  "--no-sandbox",
  "--remote-debugging-pipe",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-extensions",
  "--disable-sync",
  "--no-first-run",
  "--no-default-browser-check",
  "--force-color-profile=srgb",
  "--force-device-scale-factor=1",
  "--font-render-hinting=none",
  "--disable-lcd-text",
  "--hide-scrollbars",
  "--lang=en-US",
];

export class Browser {
  #child;
  #profile;
  #exited;
  #log = "";
  #unread = Buffer.alloc(0);
  #calls = new Map();
  #sessions = new Map();
  #lastId = 0;

  /** Starts the given program. */
  static async start(program) {
    const browser = new Browser();
    browser.#profile = await mkdtemp(join(tmpdir(), "bindu-chromium-"));
    browser.#spawn(program);
    try {
      await browser.call("Browser.getVersion");
    } catch (error) {
      await browser.close();
      throw error;
    }
    return browser;
  }

  #spawn(program) {
    const switches = [...SWITCHES, `--user-data-dir=${this.#profile}`];
    // The third and fourth are the pipe.
    const stdio = ["ignore", "ignore", "pipe", "pipe", "pipe"];
    this.#child = spawn(program, switches, { stdio, env: { ...process.env, LANG: "C.UTF-8" } });
    this.#exited = new Promise((resolve) => {
      this.#child.once("exit", resolve);
      this.#child.once("error", resolve);
    });
    this.#child.once("error", (error) => this.#lost(`could not be started: ${error.message}`));
    this.#child.once("exit", (code, signal) => this.#lost(`ended: ${code ?? signal}`));
    this.#child.stderr.on("data", (data) => (this.#log = (this.#log + data).slice(-4000)));
    this.#child.stdio[3].on("error", () => {});
    this.#child.stdio[4].on("data", (data) => this.#read(data));
  }

  /** Asks the browser, or one of its pages, to do something; gives what it answers. */
  call(method, params = {}, sessionId = undefined) {
    const id = ++this.#lastId;
    const message = JSON.stringify({ id, method, params, sessionId });
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#calls.delete(id);
        reject(new Error(`no answer to ${method} in ${PATIENCE} ms\n${this.#log}`));
      }, PATIENCE);
      this.#calls.set(id, { method, resolve, reject, late });
      this.#child.stdio[3].write(`${message}\0`);
    });
  }

  #read(data) {
    this.#unread = Buffer.concat([this.#unread, data]);
    for (let end; (end = this.#unread.indexOf(0)) >= 0; ) {
      const message = JSON.parse(this.#unread.subarray(0, end).toString());
      this.#unread = this.#unread.subarray(end + 1);
      this.#heard(message);
    }
  }

  #heard({ id, method, params, result, error, sessionId }) {
    if (id === undefined) {
      this.#sessions.get(sessionId)?.(method, params);
      return;
    }
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    clearTimeout(call?.late);
    if (error) call?.reject(new Error(`${call.method}: ${error.message}`));
    else call?.resolve(result);
  }

  #lost(why) {
    for (const { reject, late } of this.#calls.values()) {
      clearTimeout(late);
      reject(new Error(`Chromium ${why}\n${this.#log}`));
    }
    this.#calls.clear();
  }

  /** A new page, which shares nothing with the others: no cookies, no storage. */
  async page() {
    const { browserContextId } = await this.call("Target.createBrowserContext");
    const blank = { url: "about:blank", browserContextId };
    const { targetId } = await this.call("Target.createTarget", blank);
    const attach = { targetId, flatten: true };
    const { sessionId } = await this.call("Target.attachToTarget", attach);
    const page = new Page(
      (method, params) => this.call(method, params, sessionId),
      (method, params) => this.call(method, { ...params, browserContextId }),
    );
    this.#sessions.set(sessionId, (method, params) => page.heard(method, params));
    await page.ready();
    return page;
  }

  /** Ends it, by its process if it does not go when asked. */
  async close() {
    const stubborn = setTimeout(() => this.#child.kill("SIGKILL"), 10_000);
    this.call("Browser.close").catch(() => {});
    this.#child.stdio[3].end();
    await this.#exited;
    clearTimeout(stubborn);
    // Its helpers may still be writing there for a moment.
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}
