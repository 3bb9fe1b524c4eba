// A page with much to load, which asks for more, talks over a WebSocket, and then says what it has seen.
const crypto = require('crypto'), http = require('http');
const script = () => {
    const many = (count, ask) => Promise.all([...Array(count).keys()].map(ask));
    const post = number => fetch('/post/' + number, { method: 'POST', body: 'x'.repeat(50_000 + number) })
        .then(reply => reply.text()).then(text => text === String(50_000 + number));
    const talk = number => new Promise((resolve, reject) => {
        const socket = new WebSocket(`wss://${location.host}/socket/${number}`);
        socket.onopen = () => socket.send('hello ' + number);
        socket.onmessage = event => { resolve(event.data === 'hello ' + number); socket.close(); };
        socket.onerror = reject;
    });
    const load = number => new Promise(resolve => {
        const image = new Image();
        image.onload = () => resolve(true);
        image.src = '/image/' + number;
    });
    // The page counts as loaded when the last of it has come, for which the server waits for a word of ours.
    addEventListener('DOMContentLoaded', async () => {
        const good = [...await many(60, load), ...await many(20, post), ...await many(3, talk)].every(Boolean);
        const loaded = performance.getEntriesByType('resource');
        const page = performance.getEntriesByType('navigation');
        const protocols = new Set([...page, ...loaded].map(entry => entry.nextHopProtocol));
        document.body.textContent = `seen: ${[...protocols]} ${loaded.length} ${good}.`;
        await fetch('/done');
    });
};
const parts = [...Array(60).keys()].map(n => `<script src="/script/${n}"></script>`);
const page = `<!doctype html><link rel="icon" href="data:,"><script>(${script})()</script><img src="/last">${parts.join('')}`;
let last;
const image = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>';
const replies = { image: ['image/svg+xml', image], script: ['text/javascript', '1;' + ' '.repeat(20_000)] };
const server = http.createServer((request, reply) => {
    let length = 0;
    request.on('data', piece => { length += piece.length; });
    request.on('end', () => {
        if (request.url === '/last') { last = reply; return; }
        if (request.url === '/done') { last.end(); }
        const [type, text] = replies[request.url.split('/')[1]] || ['text/html', page];
        reply.setHeader('content-type', type);
        reply.end(request.method === 'POST' ? String(length) : text);
    });
});
server.on('upgrade', (request, socket) => {
    const guid = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
    const accept = crypto.createHash('sha1').update(request.headers['sec-websocket-key'] + guid).digest('base64');
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.on('error', () => {});
    socket.on('data', frame => {
        // Short ones only: opcode, length, mask, and as much text.
        const length = frame[1] & 127, text = frame.subarray(6, 6 + length).map((byte, at) => byte ^ frame[2 + at % 4]);
        if ((frame[0] & 15) === 8) { socket.end(Buffer.concat([Buffer.from([0x88, length]), text])); return; }
        socket.write(Buffer.concat([Buffer.from([0x81, length]), text]));
    });
});
server.listen(process.argv[2], '127.0.0.1');
