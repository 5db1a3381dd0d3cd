// What is wrong before an agent is there is said, and leaves nothing behind.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { Address, findBinary } from '../dist/core.js';
import { isFree, place } from './support.mjs';

test('a configuration that the core refuses is an error with its reason', async (t) => {
  const here = await place(t);
  await assert.rejects(here.agent(() => 'x', { author: '' }), /Registration failed: .*author/);
  const core = here.config().coreAddress.split(':')[1];
  assert.ok(await isFree(core), 'the core that was started for it is gone');
});

test('a core that does not start is an error with what it said', async (t) => {
  const here = await place(t);
  const folder = mkdtempSync(join(tmpdir(), 'bindu-sdk-'));
  const real = process.env.BINDU_BIN;
  t.after(() => {
    process.env.BINDU_BIN = real;
    rmSync(folder, { recursive: true });
  });
  process.env.BINDU_BIN = join(folder, 'bindu');
  writeFileSync(process.env.BINDU_BIN, '#!/bin/sh\necho no luck >&2\nexit 3\n', { mode: 0o755 });
  await assert.rejects(here.agent(() => 'x'), /bindu has ended: no luck \| exit 3/);
});

test('a skill that is not there is named', async (t) => {
  const here = await place(t);
  const missing = { skills: ['no/such'] };
  await assert.rejects(here.agent(() => 'x', missing), /skill no\/such is not there/);
});

test('a callback port in use is an error', async (t) => {
  const here = await place(t);
  const taken = createServer();
  await new Promise((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.after(() => taken.close());
  await assert.rejects(here.agent(() => 'x', { callbackPort: taken.address().port }), /EADDRINUSE/);
});

test('a core that may not be started is missed', async (t) => {
  const here = await place(t);
  const remote = { coreAddress: '192.0.2.1:3774' };
  await assert.rejects(here.agent(() => 'x', remote), /callbackHost must say/);
  await assert.rejects(here.agent(() => 'x', {}, { startCore: false }), /no core listens/);
});

test('the command is BINDU_BIN, else on the PATH, else it is said how to get it', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'bindu-sdk-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'bindu');
  assert.throws(() => findBinary({ PATH: folder }), /cargo install bindu-cli/);
  writeFileSync(file, '', { mode: 0o755 });
  assert.equal(findBinary({ PATH: `/nowhere:${folder}` }), file);
  assert.equal(findBinary({ PATH: '', BINDU_BIN: file }), file);
  assert.throws(() => findBinary({ PATH: folder, BINDU_BIN: folder }), /not a program/);
});

test('addresses are a host and a port', () => {
  assert.equal(Address.parse('localhost:3774').port, 3774);
  assert.equal(`${Address.parse('[::1]:1')}`, '[::1]:1');
  assert.equal(Address.parse('[::1]:1').host, '::1');
  for (const bad of ['', 'localhost', 'a:0', 'a:65536', '::1:5', 'http://a:1', 'a b:1']) {
    assert.throws(() => Address.parse(bad), /must be host:port/, bad);
  }
});

test('the package holds what it needs and nothing else', () => {
  const pack = ['pack', '--dry-run', '--json', '--ignore-scripts'];
  const packed = JSON.parse(execFileSync('npm', pack, { stdio: ['ignore', 'pipe', 'ignore'] }));
  const files = Object.values(packed)[0].files.map(({ path }) => path);
  const needed = ['dist/index.js', 'dist/index.d.ts', 'proto/agent_handler.proto', 'LICENSE-MIT'];
  for (const file of needed) {
    assert.ok(files.includes(file), file);
  }
  assert.deepEqual(files.filter((file) => /^(test|examples|src|node_modules)\//.test(file)), []);
});
