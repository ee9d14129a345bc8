// SPDX-License-Identifier: Apache-2.0
// node_server.js: as asyncio_server.py, for node.
'use strict';
const { execFileSync } = require('child_process');

let expired = 0;
for (let i = 0; i < 4; ++i) setInterval(() => { ++expired; }, 2);

function burnInJavaScript(ms) {
  const until = process.hrtime.bigint() + BigInt(ms) * 1000000n;
  let turns = 0;
  while (process.hrtime.bigint() < until) ++turns;
  return turns;
}
const KINDS = {
  node_burn: [burnInJavaScript, 'burnInJavaScript'],
  node_exec: [(ms) => execFileSync('sleep', [String(ms / 1000)]), 'SyncProcessRunner'],
  node_atomics: [(ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms), 'Atomics'],
};
const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function go(kind, count, ms) {
  const [block, name] = KINDS[kind];
  for (let i = 0; i < count; ++i) {
    await rest(20);
    const start = process.hrtime.bigint();
    block(ms);
    const end = process.hrtime.bigint();
    await rest(20);
    console.log(`stall ${kind} task=${kind}-${i} ${start} ${end} function=${name} loop=node tid=${process.pid}`);
  }
}

let rest_of_line = '';
process.stdin.on('data', async (data) => {
  const lines = (rest_of_line + data).split('\n');
  rest_of_line = lines.pop();
  for (const line of lines) {
    const [word, kind, count, ms] = line.split(' ');
    if (word === 'quit') process.exit(0);
    if (word === 'count') { console.log(`count ${expired}`); continue; }
    if (word === 'go') await go(kind, Number(count), Number(ms));
    console.log('done');
  }
});
console.log(`ready ${process.pid}`);
