// The handler of most tests: what it is told says what it does.

import { setTimeout as sleep } from 'node:timers/promises';

export async function handler(messages, context) {
  const turns = messages.filter((message) => message.role !== 'system');
  const [word, ...words] = turns.at(-1).content.split(' ');
  const rest = words.join(' ');
  switch (word) {
    case 'ask':
      return { state: 'input-required', prompt: `Which ${rest}?`, metadata: { asked: rest } };
    case 'fail':
      throw new Error(rest);
    case 'slow':
      await sleep(Number(words[0]), undefined, { signal: context.signal });
      return `slept ${process.pid}`;
    case 'context':
      return JSON.stringify({ ids: [context.taskId, context.contextId, context.agentId] });
    default:
      return turns.map(({ role, content }) => `${role}: ${content}`).join('\n');
  }
}
