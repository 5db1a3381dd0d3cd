// Starting, staying and ending: of the agent, of its core, and of others beside it.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { credentials } from '@grpc/grpc-js';

import { BinduService } from '../dist/proto.js';
import { handler } from './handler.mjs';
import { freePort, isAlive, isFree, place, until } from './support.mjs';
import { get, isSettled, result, send, submit } from './support.mjs';

function unregister(address, agentId) {
  const client = new BinduService(address, credentials.createInsecure());
  return new Promise((resolve, reject) => {
    const done = (error, answer) => (error ? reject(error) : resolve(answer));
    client.unregisterAgent({ agentId }, done);
  }).finally(() => client.close());
}

test('a core that runs is used, and none is started', async (t) => {
  const here = await place(t);
  const core = await here.core();
  const agent = await here.agent(handler);
  assert.equal(agent.corePid, undefined);
  assert.equal((await send(agent.agentUrl, 'hello')).status.state, 'completed');
  await agent.stop();
  assert.ok(isAlive(core.pid), 'a core of somebody else is left alone');
  await until('the port of the agent is free', () => isFree(new URL(here.url).port));
});

test('a core that is killed comes back, with the agent', async (t) => {
  const here = await place(t);
  const agent = await here.agent(handler);
  const { corePid, did } = agent;
  process.kill(corePid, 'SIGKILL');
  await until('another core runs', () => agent.corePid !== undefined && agent.corePid !== corePid);
  await until('the agent answers', () => send(here.url, 'hello').catch(() => undefined));
  assert.equal(agent.did, did);
  assert.ok(here.said.some((line) => line.endsWith('is registered again')));
});

test('an agent returns to a core that somebody else starts again', async (t) => {
  const here = await place(t);
  const core = await here.core();
  const agent = await here.agent(handler);
  core.kill('SIGKILL');
  await once(core, 'exit');
  await until('the loss is noticed', () => here.said.some((line) => line.includes('is gone')));
  await here.core();
  await until('the agent answers', () => send(here.url, 'hello').catch(() => undefined));
  assert.equal(agent.corePid, undefined);
});

test('an agent that the core has forgotten is registered again', async (t) => {
  const here = await place(t);
  await here.core();
  const agent = await here.agent(handler, {}, { heartbeatInterval: 100 });
  const { did } = agent;
  await unregister(here.config().coreAddress, agent.agentId);
  await until('the agent answers', () => send(here.url, 'hello').catch(() => undefined));
  assert.equal(agent.did, did);
});

test('a core that nobody starts again is replaced', async (t) => {
  const here = await place(t);
  const core = await here.core();
  const agent = await here.agent(handler, {}, { takeOverAfter: 300 });
  core.kill('SIGKILL');
  await until('the agent answers', () => send(here.url, 'hello').catch(() => undefined));
  assert.notEqual(agent.corePid, undefined);
});

test('two processes share the work, and one that stops takes nothing with it', async (t) => {
  const here = await place(t);
  await here.core();
  const first = await here.program();
  const second = await here.program();
  const share = (n) => Promise.all(Array.from({ length: n }, () => send(here.url, 'slow 150 ms')));
  const pids = (tasks) => {
    for (const task of tasks) assert.equal(task.status.state, 'completed', JSON.stringify(task));
    return new Set(tasks.map(result));
  };
  const both = [first, second].map(({ child }) => `slept ${child.pid}`);
  assert.deepEqual(pids(await share(8)), new Set(both));

  const running = share(8);
  await sleep(50);
  first.child.kill('SIGTERM');
  assert.deepEqual(await once(first.child, 'exit'), [0, null]);
  pids(await running);
  assert.deepEqual(pids(await share(4)), new Set([both[1]]));
});

test('an agent killed under load is replaced, and each task ends once', async (t) => {
  const here = await place(t);
  await here.core();
  const port = await freePort();
  const tasks = [];
  // First on the port of the one before, then on another.
  for (const callbackPort of [port, port, await freePort()]) {
    const { child } = await here.program({ callbackPort });
    assert.equal((await send(here.url, 'hello')).status.state, 'completed');
    for (let n = 0; n < 20; n += 1) tasks.push(submit(here.url, `slow ${n * 20} ms`));
    await Promise.all(tasks);
    await sleep(200);
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await here.program();
  const ends = await Promise.all(
    tasks.map(async (task) => {
      const { id } = await task;
      return until(`the task ${id} ends`, async () => {
        const now = await get(here.url, id);
        return isSettled(now) && now;
      });
    }),
  );
  const states = ends.map((task) => task.status.state);
  assert.ok(states.every((state) => state === 'completed' || state === 'failed'), `${states}`);
  assert.ok(states.includes('completed'), 'some had ended');
  for (const task of ends) assert.deepEqual((await get(here.url, task.id)).status, task.status);
  assert.equal((await send(here.url, 'hello')).status.state, 'completed');
});

test('running turns end before the agent does, and the core after it', async (t) => {
  const here = await place(t);
  let running = 0;
  const agent = await here.agent(async () => {
    running += 1;
    await sleep(400);
    return 'done';
  });
  const { corePid } = agent;
  const answers = Promise.all(Array.from({ length: 10 }, () => send(here.url, 'work')));
  await until('all turns run', () => running === 10);
  await agent.stop();
  for (const task of await answers) assert.equal(task.status.state, 'completed');
  await until('the core is gone', () => !isAlive(corePid));
  await until('its ports are free', async () => {
    const [core, http] = [here.config().coreAddress.split(':')[1], new URL(here.url).port];
    return (await isFree(core)) && (await isFree(http));
  });
});

test('a turn that does not end is cut off', async (t) => {
  const here = await place(t);
  let signal;
  const agent = await here.agent(
    (_, context) => {
      signal = context.signal;
      return new Promise(() => undefined);
    },
    {},
    { grace: 100 },
  );
  await submit(here.url, 'work');
  await until('the turn runs', () => signal !== undefined);
  await agent.stop();
  assert.ok(signal.aborted);
});

test('SIGTERM ends the agent and the core it started', async (t) => {
  const here = await place(t);
  const { child, corePid } = await here.program();
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  await until('the core is gone', () => !isAlive(corePid));
  assert.ok(here.said.some((line) => line.startsWith('[bindu-core] ')));
});
