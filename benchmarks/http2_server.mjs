// An HTTP/2 server that is not ours (Node's, over nghttp2, with its limits on rapid resets), for tests and benchmarks.
//
//   node http2_server.mjs KEY.pem CERT.pem [max concurrent streams]
//
// Prints its port. Paths:
//   /delay/MS       answers 200 after MS milliseconds
//   /text/N/MS      N lines of text, MS milliseconds apart
//   /echo           the request's body, as it comes
//   /size/BYTES     so many bytes at once
//   /stats          what it has seen, as JSON
import http2 from "node:http2";
import fs from "node:fs";

const [key, cert, most] = process.argv.slice(2);
const seen = { requests: 0, finished: 0, resets: 0, open: 0, connections: 0, live: 0, resetAtMs: {} };
const server = http2.createSecureServer({
  key: fs.readFileSync(key),
  cert: fs.readFileSync(cert),
  allowHTTP1: true,
  // In MB; what waits for a slow reader counts.
  maxSessionMemory: 200,
  settings: { maxConcurrentStreams: Number(most ?? 100) },
});
server.on("session", (session) => {
  seen.connections += 1;
  seen.live += 1;
  session.on("error", () => {});
  session.on("close", () => (seen.live -= 1));
});
server.on("request", (request, response) => {
  const [, what, first, second] = request.url.split("/");
  if (what === "stats") return response.end(JSON.stringify(seen));
  seen.requests += 1;
  seen.open += 1;
  let timer;
  const stream = response.stream ?? response;
  stream.on("error", () => {});
  stream.on("close", () => {
    clearTimeout(timer);
    clearInterval(timer);
    seen.open -= 1;
    if (response.writableEnded && (stream.rstCode ?? 0) === 0) return (seen.finished += 1);
    seen.resets += 1;
    const id = request.headers["x-request"];
    if (id) seen.resetAtMs[id] = Number(process.hrtime.bigint() / 1000n) / 1000;
  });
  if (what === "delay") {
    timer = setTimeout(() => response.end("ok"), Number(first));
  } else if (what === "text") {
    let left = Number(first);
    response.writeHead(200, { "content-type": "text/plain" });
    timer = setInterval(() => {
      response.write(`line ${left}\n`);
      if (--left <= 0) {
        clearInterval(timer);
        response.end();
      }
    }, Number(second));
  } else if (what === "echo") {
    request.pipe(response);
  } else if (what === "size") {
    response.end(Buffer.alloc(Number(first), "x"));
  } else {
    response.writeHead(404).end();
  }
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
