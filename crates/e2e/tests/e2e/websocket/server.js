// A server of WebSockets that does what the path says. Arguments: h1, h1s, h2 or h2s, "without" where HTTP/2 has none, and
// for TLS the files of a certificate and its key. With h2s and "without" it speaks HTTP/1.1 as well.
'use strict';
const { readFileSync } = require('fs');
const { WebSocket, WebSocketServer } = require('ws');
const [kind, has, cert, key] = process.argv.slice(1);
const files = cert && { cert: readFileSync(cert), key: readFileSync(key) };
const OPTIONS = { maxPayload: 64 << 20, allowSynchronousEvents: true, skipUTF8Validation: false };
const settings = { enableConnectProtocol: has === 'with' };

function serve(ws, path, headers) {
  const [what, ...words] = path.split('/').slice(1);
  const echo = (data, isBinary) => ws.send(data, { binary: isBinary });
  let count = 0;
  ws.on('error', () => {});
  ws.on('close', (code, reason) => console.log(`closed ${path} ${code} ${reason}`));
  switch (what) {
    case 'fields':
      return ws.send(words.map((name) => `${name}=${headers[name]}`).join(' '));
    case 'pings':
      ws.on('pong', () => ws.send('pong came'));
      return ws.ping('are you there');
    case 'talk':
      for (let n = 0; n < 200; n += 1) ws.send(String(n).repeat(100));
      return ws.on('message', () => {
        count += 1;
        if (count === 200) ws.send('all came');
      });
    case 'close':
      return ws.on('message', () => ws.close(Number(words[0]), words[1]));
    case 'drop':
      return ws.on('message', () => ws.terminate());
    default:
      return ws.on('message', echo);
  }
}

// RFC 8441: a stream in place of a connection.
function onStream(stream, headers) {
  const path = headers[':path'];
  stream.on('error', () => {});
  if (headers[':method'] !== 'CONNECT' || headers[':protocol'] !== 'websocket') {
    if (kind === 'h2' || has === 'with') {
      stream.respond({ ':status': 200 });
      stream.end(`${headers[':method']} ${path}`);
    }
    return;
  }
  if (path === '/refuse') {
    stream.respond({ ':status': 403 });
    stream.end('not you\n');
    return;
  }
  const asked = (headers['sec-websocket-protocol'] || '').split(/, */);
  const protocol = ['b', 'c'].find((name) => asked.includes(name));
  stream.respond({ ':status': 200, ...(protocol && { 'sec-websocket-protocol': protocol }) });
  const ws = new WebSocket(null, undefined, { autoPong: true, closeTimeout: 20000 });
  ws.setSocket(stream, Buffer.alloc(0), OPTIONS);
  serve(ws, path, headers);
}

const upgrades = new WebSocketServer({
  noServer: true,
  ...OPTIONS,
  handleProtocols: (asked) => ['b', 'c'].find((name) => asked.has(name)) || false,
});

function onUpgrade(req, socket, head) {
  if (req.url === '/refuse') {
    socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 8\r\nconnection: close\r\n\r\nnot you\n');
    return;
  }
  upgrades.handleUpgrade(req, socket, head, (ws) => serve(ws, req.url, req.headers));
}

// A page that sends over a WebSocket what it says, and tells what has come back.
const PAGE = `<!doctype html><script>
const socket = new WebSocket('wss://' + location.host + '/echo');
socket.onopen = () => socket.send('from a page');
socket.onmessage = ({ data }) => fetch('/told?' + encodeURIComponent(data));
socket.onerror = () => fetch('/told?error');
</script>`;

function onRequest(req, res) {
  if (req.url.startsWith('/told?')) console.log(`told ${decodeURIComponent(req.url.slice(6))}`);
  res.writeHead(200, { 'content-type': 'text/html' });
  res.end(req.url === '/page' ? PAGE : '');
}

const http2 = require('http2');
const server = {
  h1: () => require('http').createServer(onRequest),
  h1s: () => require('https').createServer(files),
  h2: () => http2.createServer({ settings }),
  h2s: () => http2.createSecureServer({ ...files, settings, allowHTTP1: has !== 'with' }),
}[kind]();
server.on('stream', onStream);
server.on('upgrade', onUpgrade);
server.listen(0, '127.0.0.1', () => console.log(`listens on 127.0.0.1:${server.address().port}`));
