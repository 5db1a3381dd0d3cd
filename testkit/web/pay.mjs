// Pays an agent for one message, and prints the receipt:
//
//     node pay.mjs http://127.0.0.1:3773 [--in-task] [--text "hello"]

import { parseArgs } from "node:util";

import { receipts, said } from "./src/a2a.mjs";
import { Payer } from "./src/payer.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "in-task": { type: "boolean", default: false },
    text: { type: "string", default: "hello" },
  },
});
const [address] = positionals;
if (!address || positionals.length > 1) {
  console.error("usage: node pay.mjs ADDRESS [--in-task] [--text TEXT]");
  process.exit(2);
}

const payer = new Payer();
const send = values["in-task"] ? payer.sendInTask : payer.send;
try {
  const task = await send.call(payer, address, values.text);
  const [receipt] = receipts(task);
  if (task.status.state !== "completed" || !receipt) {
    throw new Error(`task ${task.id} is ${task.status.state}: ${said(task, "error")}`);
  }
  console.log(JSON.stringify(receipt, null, 2));
} catch (error) {
  console.error(`not paid: ${error.message}`);
  process.exitCode = 1;
}
