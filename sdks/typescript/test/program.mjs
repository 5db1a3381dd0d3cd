// An agent as its users write it, in a process of its own.

import { bindufy } from '@bindu/sdk';

import { handler } from './handler.mjs';

const [config, options] = JSON.parse(process.argv[2]);
const agent = await bindufy(config, handler, options);
console.log(`READY ${agent.corePid}`);
