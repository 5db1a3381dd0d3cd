// A page in the browser: what a test does there, and what went on there.

import { PATIENCE } from "./a2a.mjs";

/** Where the pages are. */
const CAPTURE = "/payment-capture";

/** How often a page is asked whether something is so by now. */
const BEAT = 25;

/** How wide it is, in pixels; a picture is as high as what it shows. */
const WIDTH = 800;
const HEIGHT = 600;

/** What an evaluation says when the page was left in the middle of it. */
const LEFT = /context was destroyed|find context|Inspected target navigated/;

export class Page {
  #call;
  #browser;
  #exposed = new Map();
  /** Uncaught errors, and whatever was an error on the console. */
  errors = [];
  /** Dialogs that a script opened. */
  dialogs = [];
  /** Addresses that were asked for. */
  requests = [];
  /** Status and headers of the last document. */
  document = undefined;

  /** With what asks the page, and what asks the browser about the page's own part of it. */
  constructor(call, browser) {
    this.#call = call;
    this.#browser = browser;
  }

  async ready() {
    for (const domain of ["Page", "Runtime", "Log", "Network"]) {
      await this.#call(`${domain}.enable`);
    }
    await this.#size(HEIGHT);
  }

  #size(height) {
    const metrics = { width: WIDTH, height, deviceScaleFactor: 1, mobile: false };
    return this.#call("Emulation.setDeviceMetricsOverride", metrics);
  }

  /** What the browser tells. */
  heard(method, params) {
    switch (method) {
      case "Runtime.exceptionThrown": {
        const { text, exception } = params.exceptionDetails;
        this.errors.push(`${text} ${exception?.description ?? ""}`);
        break;
      }
      case "Runtime.consoleAPICalled":
        if (params.type === "error") {
          this.errors.push(params.args.map((one) => one.value ?? one.description).join(" "));
        }
        break;
      case "Log.entryAdded": {
        const { level, source, text, url = "" } = params.entry;
        // That a page came with 402 or 400 is no error of the page's.
        const expected = source === "network" && url.includes(CAPTURE);
        if (level === "error" && !expected) this.errors.push(`${text} ${url}`);
        break;
      }
      case "Page.javascriptDialogOpening":
        this.dialogs.push(params.message);
        this.#quietly("Page.handleJavaScriptDialog", { accept: false });
        break;
      case "Network.requestWillBeSent":
        this.requests.push(params.request.url);
        break;
      case "Network.responseReceived":
        if (params.type === "Document") {
          const { status, headers, url } = params.response;
          const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
          this.document = { status, url, headers: Object.fromEntries(lower) };
        }
        break;
      case "Runtime.bindingCalled":
        this.#answer(params);
        break;
    }
  }

  #quietly(method, params) {
    this.#call(method, params).catch(() => {});
  }

  async #answer({ name, payload }) {
    const { id, value } = JSON.parse(payload);
    let answer;
    try {
      answer = { good: (await this.#exposed.get(name)(value)) ?? null };
    } catch ({ code, message }) {
      answer = { bad: { code, message } };
    }
    const expression = `window.${name}.answer(${id}, ${JSON.stringify(answer)})`;
    // The page may have been left by now.
    this.#quietly("Runtime.evaluate", { expression });
  }

  /** Lets scripts of the page, from its next document on, call a function of ours. */
  async expose(name, does) {
    const binding = `${name}_`;
    this.#exposed.set(binding, does);
    await this.#call("Runtime.addBinding", { name: binding });
    await this.onLoad(`(() => {
      const tell = window.${binding}, waiting = new Map();
      let last = 0;
      window.${name} = (value) => new Promise((resolve, reject) => {
        waiting.set(++last, { resolve, reject });
        tell(JSON.stringify({ id: last, value }));
      });
      window.${binding} = { answer(id, { good, bad }) {
        const { resolve, reject } = waiting.get(id);
        waiting.delete(id);
        if (bad) reject(Object.assign(new Error(bad.message), { code: bad.code }));
        else resolve(good);
      } };
    })()`);
  }

  /** Runs a script at the beginning of every document from now on. */
  async onLoad(source) {
    await this.#call("Page.addScriptToEvaluateOnNewDocument", { source });
  }

  /** Turns the page's own scripts off, from its next document on. */
  async withoutScripts() {
    await this.#call("Emulation.setScriptExecutionDisabled", { value: true });
  }

  /** Goes to an address; gives the status of the document. */
  async goto(url) {
    this.document = undefined;
    const { errorText } = await this.#call("Page.navigate", { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    await this.until("it is loaded", () => document.readyState === "complete");
    return this.document?.status;
  }

  /** What a function of the page gives. */
  async evaluate(does, ...given) {
    const expression = `(${does})(...${JSON.stringify(given)})`;
    const { result, exceptionDetails } = await this.#call("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value;
  }

  /** Waits until a function of the page gives something that is true, and gives that. */
  async until(what, does, ...given) {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      try {
        const value = await this.evaluate(does, ...given);
        if (value) return value;
      } catch (error) {
        if (!LEFT.test(error.message)) throw error;
      }
      if (Date.now() > deadline) {
        const seen = await this.evaluate(() => document.body?.innerText);
        throw new Error(`not in ${PATIENCE} ms: ${what}\n${seen}\n${this.errors.join("\n")}`);
      }
      await new Promise((wake) => setTimeout(wake, BEAT));
    }
  }

  /** The text of an element, as it is in the document. */
  async text(selector) {
    const read = (selector) => document.querySelector(selector)?.textContent.trim();
    const text = await this.evaluate(read, selector);
    if (text === undefined) throw new Error(`there is no ${selector}`);
    return text;
  }

  /** Clicks into the middle of an element, as a hand does. */
  async click(selector) {
    const [x, y] = await this.until(
      `${selector} can be clicked`,
      (selector) => {
        const element = document.querySelector(selector);
        if (!element || element.disabled) return undefined;
        element.scrollIntoView({ block: "center", behavior: "instant" });
        const { x, y, width, height } = element.getBoundingClientRect();
        const middle = [x + width / 2, y + height / 2];
        const there = document.elementFromPoint(...middle);
        return width > 0 && element.contains(there) ? middle : undefined;
      },
      selector,
    );
    for (const type of ["mousePressed", "mouseReleased"]) {
      const event = { type, x, y, button: "left", buttons: 1, clickCount: 1 };
      await this.#call("Input.dispatchMouseEvent", event);
    }
  }

  /** Puts text into a field in place of what is there. */
  async paste(selector, text) {
    await this.click(selector);
    await this.evaluate((selector) => document.querySelector(selector).select(), selector);
    await this.#call("Input.insertText", { text });
  }

  /** A picture of the whole page, in PNG. */
  async picture() {
    // Nothing that is drawn may depend on when it is drawn.
    await this.evaluate(async () => {
      document.activeElement?.blur();
      getSelection().removeAllRanges();
      await document.fonts.ready;
    });
    // In the lowest of windows, a page is as high as what it shows.
    await this.#size(1);
    const height = await this.evaluate(() => document.documentElement.scrollHeight);
    await this.#size(height);
    try {
      const { data } = await this.#call("Page.captureScreenshot", { format: "png" });
      return Buffer.from(data, "base64");
    } finally {
      await this.#size(HEIGHT);
    }
  }

  /** Grants permissions that a human would be asked for. */
  async grant(...permissions) {
    await this.#browser("Browser.grantPermissions", { permissions });
  }

  async close() {
    await this.#browser("Target.disposeBrowserContext");
  }
}
