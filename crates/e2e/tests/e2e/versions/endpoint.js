// An endpoint that answers by path, the same over each version. Arguments: h1, h1s, h2 or h2s, and for TLS the files of
// a certificate and its key. Prints what it sees end, and tells it to those who ask for /seen.
'use strict';
const { createHash } = require('crypto');
const { readFileSync } = require('fs');
const [kind, cert, key] = process.argv.slice(1);
const files = cert && { cert: readFileSync(cert), key: readFileSync(key) };
const LARGE = 2 << 20;
const seen = [];

function see(what) {
  seen.push(what);
  console.log(what);
}

// 2 MiB of which no part is like another.
const large = Buffer.alloc(LARGE);
for (let at = 0; at < LARGE; at += 4) large.writeUInt32BE(Math.imul(at, 2654435761) >>> 0, at);

function whole(req) {
  return new Promise((resolve) => {
    const parts = [];
    req.on('data', (part) => parts.push(part));
    req.on('end', () => resolve(Buffer.concat(parts)));
  });
}

const ANSWERS = {
  // What came of the request, as JSON.
  async '/head'(req, res) {
    const body = await whole(req);
    const sum = createHash('sha256').update(body).digest('hex');
    const text = JSON.stringify({
      version: req.httpVersion, method: req.method, url: req.url, headers: req.headers, length: body.length, sum,
      trailers: req.trailers,
    });
    res.writeHead(200, { 'content-length': Buffer.byteLength(text) });
    res.end(text);
  },
  '/large'(req, res) {
    res.writeHead(200, { 'content-length': LARGE });
    res.end(large);
  },
  '/large-unknown'(req, res) {
    res.writeHead(200);
    for (let at = 0; at < LARGE; at += 50000) res.write(large.subarray(at, at + 50000));
    res.end();
  },
  '/echo'(req, res) {
    res.writeHead(200);
    req.pipe(res);
  },
  '/204'(req, res) {
    res.writeHead(204, { 'x-own': '1' });
    res.end();
  },
  // An error with a page of its own, of which nobody needs all.
  '/fails'(req, res) {
    res.writeHead(500, { 'content-type': 'text/html', 'x-own': '1' });
    res.end(large);
  },
  '/304'(req, res) {
    res.writeHead(304, { etag: '"a"' });
    res.end();
  },
  '/empty'(req, res) {
    res.writeHead(200);
    res.end();
  },
  '/hints'(req, res) {
    res.writeEarlyHints({ link: '</a.css>; rel=preload' });
    res.writeHead(200, { 'content-length': 2 });
    res.end('hi');
  },
  '/trailers'(req, res) {
    res.writeHead(200, { trailer: 'x-sum, x-more' });
    res.write('some ');
    res.addTrailers({ 'x-sum': '9', 'x-more': 'yes' });
    res.end('text');
  },
  '/fields'(req, res) {
    res.writeHead(200, { 'set-cookie': ['a=1', 'b=2'], 'x-empty': '', 'cache-control': 'no-store', 'content-length': 0 });
    res.end();
  },
  // Before the request is whole.
  '/early'(req, res) {
    res.writeHead(200, { 'content-length': 5 });
    res.end('early');
  },
  '/cut-length'(req, res) {
    res.writeHead(200, { 'content-length': 10 });
    res.write('half', () => cut(res));
  },
  '/cut'(req, res) {
    res.writeHead(200);
    res.write('half', () => cut(res));
  },
  '/cut-head'(req, res) {
    cut(res);
  },
  '/never'() {},
  '/begins'(req, res) {
    res.writeHead(200);
    res.write('begun');
  },
  async '/waits'(req) {
    await whole(req);
  },
  '/seen'(req, res) {
    const text = JSON.stringify(seen);
    res.writeHead(200, { 'content-length': Buffer.byteLength(text) });
    res.end(text);
  },
};

// In HTTP/2 the stream alone is lost.
function cut(res) {
  if (res.stream) res.stream.close(2);
  else res.socket.destroy();
}

function answer(req, res) {
  const [path, query] = req.url.split('?');
  if (path !== '/seen' && query) see(`begins ${query}`);
  res.on('close', () => {
    if (!res.writableEnded && query) see(`left ${query}`);
  });
  req.on('error', () => {});
  res.on('error', () => {});
  ANSWERS[path](req, res);
}

const server = {
  h1: () => require('http').createServer(answer),
  h1s: () => require('https').createServer(files, answer),
  h2: () => require('http2').createServer(answer),
  h2s: () => require('http2').createSecureServer(files, answer),
}[kind]();
// On a port of its own, or on a Unix socket.
const { SOCKET } = process.env;
server.listen(SOCKET ? { path: SOCKET } : { port: 0, host: '127.0.0.1' }, () => {
  console.log(`listens on ${SOCKET ? `unix:${SOCKET}` : `127.0.0.1:${server.address().port}`}`);
});
