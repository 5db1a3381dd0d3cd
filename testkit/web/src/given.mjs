// What the tests are given: agents that run, a browser, and where to put pictures.

import { readFileSync } from "node:fs";

const { BINDU_AGENTS, CHROMIUM, BINDU_SCREENSHOTS } = process.env;
if (!BINDU_AGENTS) throw new Error("BINDU_AGENTS names no file with the addresses of agents");

/** The addresses: of `paid` and `hostile`, and of the `facilitator` that both use. */
export const agents = JSON.parse(readFileSync(BINDU_AGENTS, "utf8"));

/** The program. */
export function chromium() {
  if (!CHROMIUM) throw new Error("CHROMIUM names no program");
  return CHROMIUM;
}

/** The folder for pictures, if there are to be any. */
export const screenshots = BINDU_SCREENSHOTS || undefined;
