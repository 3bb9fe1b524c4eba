// WebSockets of Node's, of which what comes is printed. Arguments: h1, h1s, h2 or h2s, the address, and for TLS a
// certificate to trust.
'use strict';
const { readFileSync } = require('fs');
const http2 = require('http2');
const { WebSocket } = require('ws');
const [kind, address, trust] = process.argv.slice(1);
const ca = trust && readFileSync(trust);
const OPTIONS = { maxPayload: 64 << 20, allowSynchronousEvents: true, skipUTF8Validation: false };
const { BASE: base = '', ONLY: only } = process.env;
let session;

// A WebSocket that is open, or the reply that refuses it.
function begin(path, { protocols = [], headers = {} } = {}) {
  const over = kind.startsWith('h2') ? overStream : overConnection;
  return over(base + path, protocols, headers);
}

function overConnection(path, protocols, headers) {
  const ws = new WebSocket(`${kind === 'h1s' ? 'wss' : 'ws'}://${address}${path}`, protocols, { ca, headers, ...OPTIONS });
  return new Promise((resolve, reject) => {
    ws.on('open', () => resolve(gather(ws)));
    ws.on('error', reject);
    ws.on('unexpected-response', (req, res) => {
      let text = '';
      res.on('data', (part) => { text += part; });
      res.on('end', () => resolve({ refused: `${res.statusCode} ${text.trim()}` }));
    });
  });
}

// RFC 8441: a stream in place of a connection, once the server has said that it takes such.
async function overStream(path, protocols, headers) {
  if (!session) {
    session = http2.connect(`${kind === 'h2s' ? 'https' : 'http'}://${address}`, { ca });
    await new Promise((resolve) => session.once('remoteSettings', resolve));
    if (!session.remoteSettings.enableConnectProtocol) throw new Error('no tunnels');
  }
  const stream = session.request({
    ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, 'sec-websocket-version': '13', ...headers,
    ...(protocols.length && { 'sec-websocket-protocol': protocols.join(', ') }),
  });
  stream.on('error', () => {});
  const reply = await new Promise((resolve) => stream.once('response', resolve));
  if (reply[':status'] !== 200) {
    let text = '';
    stream.on('data', (part) => { text += part; });
    await new Promise((resolve) => stream.once('end', resolve));
    return { refused: `${reply[':status']} ${text.trim()}` };
  }
  const ws = new WebSocket(null, undefined, { autoPong: true, closeTimeout: 20000 });
  ws._isServer = false;
  ws.on('error', () => {});
  // Messages may have come with the reply.
  const gathered = gather(ws);
  ws.setSocket(stream, Buffer.alloc(0), OPTIONS);
  gathered.protocol = reply['sec-websocket-protocol'];
  return gathered;
}

// Its messages, one after the other; at the end, how it was closed.
function gather(ws) {
  const came = [], waiting = [];
  const take = (what) => (waiting.length ? waiting.shift()(what) : came.push(what));
  ws.on('message', (data, isBinary) => take(isBinary ? data : data.toString()));
  ws.on('close', (code, reason) => take(`${code} ${reason}`.trim()));
  const next = () => new Promise((resolve) => (came.length ? resolve(came.shift()) : waiting.push(resolve)));
  return { ws, next, protocol: ws.protocol };
}

function over({ ws, next }) {
  ws.close();
  return next();
}

async function back(...messages) {
  const { ws, next } = await begin('/echo');
  messages.forEach((message, at) => ws.send(message, { fin: at === messages.length - 1 }));
  const came = await next();
  await over({ ws, next });
  return came;
}

async function ended(path, ...words) {
  const { ws, next } = await begin(path);
  if (words.length) ws.close(...words);
  else ws.send('go on');
  return next();
}

const bytes = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
const large = Buffer.alloc(3 << 20, bytes);

const CASES = {
  text: () => back('grüße'),
  bytes: async () => (await back(bytes)).equals(bytes),
  nothing: async () => `'${await back('')}'`,
  parts: () => back('one ', 'two ', 'three'),
  large: async () => (await back(large)).equals(large),
  async many() {
    const { ws, next } = await begin('/echo');
    for (let n = 0; n < 500; n += 1) ws.send(String(n));
    let isGood = true;
    for (let n = 0; n < 500; n += 1) isGood = isGood && (await next()) === String(n);
    await over({ ws, next });
    return isGood;
  },
  async 'both ways'() {
    const { ws, next } = await begin('/talk');
    for (let n = 0; n < 200; n += 1) ws.send(String(n));
    let isGood = true;
    for (let n = 0; n < 200; n += 1) isGood = isGood && (await next()) === String(n).repeat(100);
    const last = await next();
    await over({ ws, next });
    return `${isGood ? 'True' : 'False'} ${last}`;
  },
  async pings() {
    const { ws, next } = await begin('/echo');
    ws.ping('hello');
    const pong = await new Promise((resolve) => ws.once('pong', resolve));
    await over({ ws, next });
    return pong.toString() === 'hello';
  },
  async 'is pinged'() {
    const { ws, next } = await begin('/pings');
    const came = await next();
    await over({ ws, next });
    return came;
  },
  closes: () => ended('/echo/closes', 4001, 'because'),
  'is closed': () => ended('/close/4002/enough'),
  'is dropped': () => ended('/drop'),
  async fields() {
    const headers = { origin: 'http://page.example', 'x-own': 'a', cookie: 'a=1; b=2' };
    const { ws, next } = await begin('/fields/origin/x-own/cookie', { headers });
    const came = await next();
    await over({ ws, next });
    return came;
  },
  async protocol() {
    const { ws, next, protocol } = await begin('/echo', { protocols: ['a', 'b', 'c'] });
    await over({ ws, next });
    return protocol;
  },
  refused: async () => (await begin('/refuse')).refused,
};

(async () => {
  for (const [name, make] of Object.entries(CASES)) {
    if (only && only !== name) continue;
    const word = (value) => (value === true ? 'True' : value);
    console.log(`${name}: ${word(await make().catch((error) => error))}`);
  }
  process.exit();
})();
