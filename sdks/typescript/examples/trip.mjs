// @ts-check
// An agent that asks back, and streams its answer.
//
//     npm install @bindu/sdk
//     node trip.mjs
//
// It is live on http://localhost:3773. Send it `plan`: it asks for a city, and the task waits.

import { bindufy } from '@bindu/sdk';

/**
 * @param {import('@bindu/sdk').ChatMessage[]} messages
 * @returns {AsyncGenerator<import('@bindu/sdk').Piece>}
 */
async function* plan(messages) {
  const said = messages.filter(({ role }) => role === 'user').map(({ content }) => content);
  if (said.length === 1) {
    yield { state: 'input-required', prompt: 'Which city?' };
    return;
  }
  const days = ['walk', 'museum', 'river'];
  for (const [index, what] of days.entries()) {
    yield `Day ${index + 1} in ${said.at(-1)}: ${what}.\n`;
  }
}

await bindufy(
  {
    author: 'ann@example.com',
    name: 'trip',
    description: 'Plans three days in a city',
    deployment: { url: 'http://localhost:3773' },
    skills: [{ name: 'trips', description: 'Plans trips', tags: ['travel'] }],
  },
  plan,
);
