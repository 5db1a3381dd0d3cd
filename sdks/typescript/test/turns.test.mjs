// One turn of a conversation, from an A2A caller to the handler and back.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { handler } from './handler.mjs';
import { call, get, place, result, said, send, stream, submit, until } from './support.mjs';

test('an answer comes back, and the handler knows what it answers', async (t) => {
  const here = await place(t);
  const agent = await here.agent(handler);
  assert.match(agent.did, /^did:bindu:/);
  assert.equal(agent.agentUrl, here.url);

  const task = await send(agent.agentUrl, 'hello');
  assert.equal(task.status.state, 'completed');
  assert.equal(result(task), 'user: hello');

  const context = await send(agent.agentUrl, 'context');
  assert.deepEqual(JSON.parse(result(context)).ids, [context.id, context.contextId, agent.agentId]);
});

test('a question keeps the task open, and its answer goes on with it', async (t) => {
  const { agentUrl } = await (await place(t)).agent(handler);

  const asked = await send(agentUrl, 'ask city');
  assert.equal(asked.status.state, 'input-required');
  assert.equal(said(asked), 'Which city?');

  const told = await send(agentUrl, 'Berlin', { taskId: asked.id, contextId: asked.contextId });
  assert.equal(told.status.state, 'completed');
  assert.equal(result(told), 'user: ask city\nassistant: Which city?\nuser: Berlin');
});

test('what a handler throws fails the task and is said', async (t) => {
  const { agentUrl } = await (await place(t)).agent(handler);
  const task = await send(agentUrl, 'fail the töwer is closed');
  assert.equal(task.status.state, 'failed');
  assert.match(said(task), /INTERNAL: the töwer is closed/);
  assert.equal(task.artifacts, undefined);

  const { agentUrl: other } = await (await place(t)).agent(() => undefined);
  const nothing = await send(other, 'hello');
  assert.equal(nothing.status.state, 'failed');
  assert.match(said(nothing), /answered with undefined/);
});

test('the pieces of a generator reach a caller one by one', async (t) => {
  const heard = new EventTarget();
  async function* counting(messages) {
    yield 'one ';
    // Goes on only when the caller has seen the first.
    if (messages.at(-1).content === 'count') await once(heard, 'one');
    yield 'two';
  }
  const { agentUrl } = await (await place(t)).agent(counting);
  // What an agent can do is asked after its registration.
  await until('the core knows that the agent streams', async () => {
    let pieces = 0;
    for await (const { artifact } of stream(agentUrl, 'try')) pieces += artifact?.parts.length ?? 0;
    return pieces > 1;
  });
  let text = '';
  let state;
  for await (const event of stream(agentUrl, 'count')) {
    if (event.kind === 'artifact-update') text += event.artifact.parts.map((p) => p.text).join('');
    if (text === 'one ') heard.dispatchEvent(new Event('one'));
    if (event.kind === 'status-update' && event.final) state = event.status.state;
  }
  assert.equal(text, 'one two');
  assert.equal(state, 'completed');
});

test('a generator may end with a state, and an object may be all it gives', async (t) => {
  async function* doubtful(messages) {
    if (messages.at(-1).content === 'stop') throw new Error('stopped');
    yield 'let me see. ';
    yield { state: 'input-required', prompt: 'Which one?' };
    throw new Error('nobody asks for more');
  }
  const { agentUrl } = await (await place(t)).agent(doubtful);
  const asked = await send(agentUrl, 'choose');
  assert.equal(asked.status.state, 'input-required');
  assert.match(said(asked), /Which one\?/);

  const failed = await send(agentUrl, 'stop');
  assert.equal(failed.status.state, 'failed');
  assert.match(said(failed), /INTERNAL: stopped/);
});

test('a task that is canceled aborts its handler', async (t) => {
  let aborted = false;
  const turns = [];
  const { agentUrl } = await (await place(t)).agent(async (_, { signal }) => {
    turns.push(signal);
    await once(signal, 'abort');
    aborted = true;
    return 'too late';
  });
  const { id } = await submit(agentUrl, 'wait');
  await until('the handler runs', () => turns.length === 1);
  const canceled = await call(agentUrl, 'tasks/cancel', { id });
  assert.equal(canceled.status.state, 'canceled');
  await until('the handler is told', () => aborted);
  assert.equal((await get(agentUrl, id)).status.state, 'canceled');
});

test('skills are read from their files by the core, and served as they are', async (t) => {
  const path = fileURLToPath(new URL('skills/adding', import.meta.url));
  const inline = { name: 'waving', description: 'Waves', tags: ['hands'] };
  const { agentUrl } = await (await place(t)).agent(handler, { skills: [path, inline] });

  const adding = await (await fetch(`${agentUrl}/agent/skills/adding`)).json();
  const file = readFileSync(`${path}/skill.yaml`, 'utf8');
  assert.equal(adding.description, 'Adds what it is told');
  assert.deepEqual(adding.tags, ['numbers']);
  const manual = await fetch(`${agentUrl}/agent/skills/adding/documentation`);
  assert.ok((await manual.text()).includes(file));

  const waving = await (await fetch(`${agentUrl}/agent/skills/waving`)).json();
  assert.deepEqual(waving.tags, ['hands']);
});
