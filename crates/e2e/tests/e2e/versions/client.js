// A client that makes the same requests over each version, and prints what comes of them: a line with the name of each.
// Arguments: a certificate to trust, and pairs of a version (h1, h1s, h2 or h2s) and an address.
'use strict';
const { createHash } = require('crypto');
const { readFileSync } = require('fs');
const http = require('http');
const https = require('https');
const http2 = require('http2');
const [trust, ...targets] = process.argv.slice(1);
const ca = readFileSync(trust);
const LARGE = 2 << 20;

const large = Buffer.alloc(LARGE);
for (let at = 0; at < LARGE; at += 4) large.writeUInt32BE(Math.imul(at, 2654435761) >>> 0, at);
const sum = (data) => createHash('sha256').update(data).digest('hex');

// The version as the client's own API has it: `send` begins a request and calls back with what happens.
function overHttp1(module, address) {
  const [host, port] = address.split(':');
  const agent = new module.Agent({ keepAlive: true });
  return {
    close: () => agent.destroy(),
    send(path, { method = 'GET', headers = {}, trailers }, on) {
      const req = module.request({ host, port, path, method, headers, agent, ca });
      req.on('information', (info) => on.interim(info.statusCode, info.headers));
      req.on('response', (res) => {
        on.head(res.statusCode, res.headers, res.rawHeaders);
        res.on('data', on.data);
        res.on('error', () => {});
        res.on('close', () => on.end(res.complete, res.trailers));
      });
      req.on('error', () => on.end(false, {}));
      // Of a connection that was closed on us while it was still written to.
      req.on('socket', (socket) => socket.setMaxListeners(0).on('error', () => {}));
      return {
        write: (data) => req.write(data),
        end(data) {
          if (trailers) req.addTrailers(trailers);
          req.end(data);
        },
        // By a reset: who only closes may still want the answer.
        abort() {
          const { _handle: handle } = req.socket;
          (handle._parent || handle).reset(() => {});
          req.destroy();
        },
      };
    },
  };
}

function overHttp2(address, scheme) {
  const session = http2.connect(`${scheme}://${address}`, { ca });
  session.on('error', () => {});
  return {
    close: () => session.destroy(),
    send(path, { method = 'GET', headers = {}, trailers, isEmpty }, on) {
      const own = { ...headers };
      delete own['transfer-encoding'];
      const head = { ':method': method, ':path': path, ...own };
      const stream = session.request(head, { endStream: isEmpty, waitForTrailers: trailers !== undefined });
      let isWhole = false, came = {};
      stream.on('headers', (fields) => on.interim(fields[':status'], fields));
      stream.on('response', (fields) => on.head(fields[':status'], fields, []));
      stream.on('data', on.data);
      stream.on('trailers', (fields) => { came = { ...fields }; });
      stream.on('wantTrailers', () => stream.sendTrailers(trailers));
      stream.on('end', () => { isWhole = true; });
      stream.on('error', () => {});
      stream.on('close', () => on.end(isWhole && !stream.rstCode, came));
      return {
        write: (data) => stream.write(data),
        end: (data) => (isEmpty ? undefined : stream.end(data)),
        abort: () => stream.close(http2.constants.NGHTTP2_CANCEL),
      };
    },
  };
}

const OVER = {
  h1: (address) => overHttp1(http, address),
  h1s: (address) => overHttp1(https, address),
  h2: (address) => overHttp2(address, 'http'),
  h2s: (address) => overHttp2(address, 'https'),
};

// One request and its reply, whole.
function ask(peer, path, options = {}) {
  return new Promise((resolve) => {
    const got = { status: 0, interim: [], links: [], headers: {}, parts: [] };
    const { body, part, waits, abortOnHead } = options;
    const request = peer.send(path, { ...options, isEmpty: body === undefined && part === undefined }, {
      interim(status, headers) {
        got.interim.push(status);
        if (headers.link) got.links.push(headers.link);
        if (status === 100 && waits) request.end(body);
      },
      head(status, headers) {
        Object.assign(got, { status, headers });
        if (!abortOnHead) return;
        request.abort();
        resolve(got);
      },
      data: (part) => got.parts.push(part),
      end(isWhole, trailers) {
        const data = Buffer.concat(got.parts);
        resolve({ ...got, isWhole, trailers, data, text: data.length < 4000 ? data.toString() : '' });
      },
    });
    if (part) request.write(part);
    else if (!waits) request.end(body);
  });
}

const json = async (...words) => JSON.parse((await ask(...words)).text);

async function until(condition) {
  const begun = Date.now();
  while (!(await condition())) {
    if (Date.now() - begun > 15000) return 'never';
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return 'yes';
}

// What the endpoint has seen of the request with this mark.
const has = (peer, what) => until(async () => (await json(peer, '/seen')).includes(what));

const shown = ({ status, isWhole, text }) => `${status} ${isWhole ? 'whole' : 'cut'} ${text}`.trim();

const CASES = {
  async get(peer) {
    const seen = await json(peer, '/head?a=b', { headers: { priority: 'u=1, i', 'x-own': 'a' } });
    const { version, method, url, headers } = seen;
    return `${version} ${method} ${url} via=${headers.via} priority=${headers.priority} x-own=${headers['x-own']}`;
  },
  async head(peer) {
    const got = await ask(peer, '/large', { method: 'HEAD' });
    return `${shown(got)} ${got.headers['content-length']}`;
  },
  async post(peer) {
    const seen = await json(peer, '/head', { method: 'POST', body: 'some data', headers: { 'content-length': '9' } });
    return `${seen.method} ${seen.length} ${seen.headers['content-length']} ${seen.headers['transfer-encoding']}`;
  },
  async 'post of unknown length'(peer) {
    const chunked = { 'transfer-encoding': 'chunked' };
    const seen = await json(peer, '/head', { method: 'POST', body: 'some data', headers: chunked });
    return `${seen.method} ${seen.length} ${seen.headers['content-length']}`;
  },
  async 'post of nothing'(peer) {
    const seen = await json(peer, '/head', { method: 'POST', body: '', headers: { 'content-length': '0' } });
    return `${seen.method} ${seen.length} ${seen.headers['content-length']}`;
  },
  async 'large up'(peer) {
    const headers = { 'content-length': String(LARGE) };
    const known = await json(peer, '/head', { method: 'PUT', body: large, headers });
    const chunked = { 'transfer-encoding': 'chunked' };
    const unknown = await json(peer, '/head', { method: 'PUT', body: large, headers: chunked });
    return `${known.sum === sum(large)} ${unknown.sum === sum(large)}`;
  },
  async 'large down'(peer) {
    const [known, unknown] = [await ask(peer, '/large'), await ask(peer, '/large-unknown')];
    return `${known.isWhole && known.data.equals(large)} ${unknown.isWhole && unknown.data.equals(large)}`;
  },
  async 'large both ways'(peer) {
    const chunked = { 'transfer-encoding': 'chunked' };
    const got = await ask(peer, '/echo', { method: 'POST', body: large, headers: chunked });
    return `${got.isWhole && got.data.equals(large)}`;
  },
  async 'many at once'(peer) {
    const all = await Promise.all(Array.from({ length: 40 }, (_, n) => json(peer, `/head?${n}`)));
    return all.every(({ url }, n) => url === `/head?${n}`);
  },
  async 'no content'(peer) {
    const got = await ask(peer, '/204');
    return `${shown(got)} ${got.headers['content-length']} ${got.headers['x-own']}`;
  },
  async 'not modified'(peer) {
    const got = await ask(peer, '/304');
    return `${shown(got)} ${got.headers.etag}`;
  },
  async 'empty reply'(peer) {
    return shown(await ask(peer, '/empty'));
  },
  async redirect(peer) {
    const got = await ask(peer, '/old/page?a', { method: 'POST', body: 'x', headers: { 'content-length': '1' } });
    return `${shown(got)} ${got.headers.location}`;
  },
  async 'no route'(peer) {
    const got = await ask(peer, '/nowhere/at/all');
    return `${shown(got)} ${got.headers['content-length']}`;
  },
  async 'early hints'(peer) {
    const got = await ask(peer, '/hints');
    return `${got.interim} ${got.links} ${shown(got)}`;
  },
  async 'trailers down'(peer) {
    const got = await ask(peer, '/trailers', { headers: { te: 'trailers' } });
    return `${shown(got)} ${got.trailers['x-sum']} ${got.trailers['x-more']}`;
  },
  async 'trailers up'(peer) {
    const options = { method: 'POST', body: 'data', trailers: { 'x-sum': '4' } };
    const headers = { 'transfer-encoding': 'chunked', trailer: 'x-sum' };
    const seen = await json(peer, '/head', { ...options, headers });
    return `${seen.length} ${seen.trailers['x-sum']}`;
  },
  async 'asks to go on'(peer) {
    const headers = { expect: '100-continue', 'content-length': '4' };
    const got = await ask(peer, '/head', { method: 'POST', body: 'data', headers, waits: true });
    return `${got.interim} ${got.status} ${JSON.parse(got.text).length}`;
  },
  async cookies(peer) {
    const seen = await json(peer, '/head', { headers: { cookie: ['a=1', 'b=2', 'c=3'] } });
    return seen.headers.cookie;
  },
  async fields(peer) {
    const { headers } = await ask(peer, '/fields');
    return `${headers['set-cookie']} "${headers['x-empty']}" ${headers['cache-control']}`;
  },
  async 'early reply'(peer) {
    const headers = { 'content-length': String(LARGE) };
    return shown(await ask(peer, '/early', { method: 'POST', headers, part: 'some of it' }));
  },
  async 'too large'(peer) {
    const send = (headers) => ask(peer, '/small/head', { method: 'POST', body: 'x'.repeat(2000), headers });
    const [known, unknown] = [await send({ 'content-length': '2000' }), await send({ 'transfer-encoding': 'chunked' })];
    return `${shown(known)}, ${shown(unknown)}`;
  },
  async 'cut short'(peer) {
    // A reset may overtake what was sent before it.
    const cuts = [await ask(peer, '/cut-length'), await ask(peer, '/cut')];
    const head = await ask(peer, '/cut-head');
    return `${cuts.map(({ isWhole, text }) => !isWhole && 'half'.startsWith(text))} ${head.status} ${head.isWhole}`;
  },
  async 'leaves before the reply'(peer, name) {
    const request = peer.send(`/never?${name}-1`, { isEmpty: true }, silent);
    request.end();
    const begun = await has(peer, `begins ${name}-1`);
    request.abort();
    return `${begun} ${await has(peer, `left ${name}-1`)}`;
  },
  async 'leaves within the reply'(peer, name) {
    await ask(peer, `/begins?${name}-2`, { abortOnHead: true });
    return has(peer, `left ${name}-2`);
  },
  async 'leaves within the request'(peer, name) {
    const headers = { 'content-length': '1000' };
    const request = peer.send(`/waits?${name}-3`, { method: 'POST', headers }, silent);
    request.write('some');
    const begun = await has(peer, `begins ${name}-3`);
    request.abort();
    return `${begun} ${await has(peer, `left ${name}-3`)}`;
  },
};

const silent = { interim() {}, head() {}, data() {}, end() {} };

(async () => {
  for (let at = 0; at < targets.length; at += 2) {
    const name = targets[at];
    const peer = OVER[name](targets[at + 1]);
    const only = process.env.ONLY;
    for (const [what, make] of Object.entries(CASES)) {
      if (only && only !== what) continue;
      console.log(`${name} ${what}: ${await make(peer, name).catch((error) => error)}`);
    }
    peer.close();
  }
})();
