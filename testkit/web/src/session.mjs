// Payment sessions: how a program has its human pay in a browser.

import { PATIENCE } from "./a2a.mjs";

async function json(url, options) {
  const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE), ...options });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return response.json();
}

export class Session {
  #agent;

  /** Starts one. */
  static async start(agent) {
    const session = new Session();
    session.#agent = agent;
    const options = { method: "POST" };
    const started = await json(new URL("/api/start-payment-session", agent), options);
    session.id = started.session_id;
    /** The page for the human. */
    session.url = started.browser_url;
    return session;
  }

  /** How it stands. */
  status() {
    return json(new URL(`/api/payment-status/${this.id}`, this.#agent));
  }
}
