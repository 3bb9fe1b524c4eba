// A small HTTP server on a port, for examples/managed-apps.toml: `node server.js PORT`.

const http = require("node:http");

const server = http.createServer((request, response) => {
  response.end(`Hello from Node ${process.env.FAIRWATER_INDEX}, process ${process.pid}.\n`);
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("listening"));
