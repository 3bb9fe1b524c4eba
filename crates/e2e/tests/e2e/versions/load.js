// Requests without an end, 8 at a time on each of two connections of HTTP/2, none of which is made twice: what is lost
// shows. Ends with its standard input, and prints how many there were, over how many connections, and what went wrong.
// Arguments: the address, and a certificate to trust or nothing.
'use strict';
const { readFileSync } = require('fs');
const http2 = require('http2');
const [address, trust] = process.argv.slice(1);
const ca = trust && readFileSync(trust);
let isOver = false, requests = 0, connections = 0;
const failures = new Map();

function fail(why) {
  failures.set(why, (failures.get(why) || 0) + 1);
}

function connect() {
  connections += 1;
  const session = http2.connect(`${trust ? 'https' : 'http'}://${address}`, { ca });
  session.on('error', (error) => fail(`connection: ${error.code || error.message}`));
  return session;
}

function ask(session) {
  return new Promise((resolve) => {
    const stream = session.request({ ':method': 'POST', ':path': '/' });
    let status = 0, text = '';
    stream.on('response', (head) => { status = head[':status']; });
    stream.on('data', (part) => { text += part; });
    stream.on('error', () => {});
    stream.on('close', () => {
      // Begun when the other side had said already that it takes no more: it has not seen it.
      if (stream.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM) return resolve();
      if (stream.rstCode) fail(`stream: ${stream.rstCode}`);
      if (status !== 200 || !text) fail(`status ${status}`);
      requests += 1;
      return resolve();
    });
    stream.end('hi');
  });
}

// Whoever is told to go comes again by another connection; what runs goes on.
async function line(holder) {
  while (!isOver) {
    if (!holder.session || holder.session.closed || holder.session.destroyed) holder.session = connect();
    await ask(holder.session);
  }
}

process.stdin.on('end', () => { isOver = true; });
process.stdin.resume();
(async () => {
  const holders = [{}, {}];
  await Promise.all(holders.flatMap((holder) => Array.from({ length: 8 }, () => line(holder))));
  console.log(`${requests} ${connections} ${JSON.stringify([...failures])}`);
  process.exit();
})();
