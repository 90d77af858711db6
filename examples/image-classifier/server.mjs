/**
 * Serves the files of the current folder at http://localhost:8000, to this machine only. If a copy `FILE.br` exists, it is sent in place of FILE,
 * and the browser decompresses it. `node server.mjs 8080` uses another port.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const types = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

const server = createServer(async (request, response) => {
  try {
    // From the root, normalize removes each "..", also those that the address encodes (%2f), so no path leaves the folder.
    const path = join(process.cwd(), normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname)));
    const isCompressed = existsSync(`${path}.br`) && /\bbr\b/.test(request.headers["accept-encoding"] ?? "");
    const bytes = await readFile(isCompressed ? `${path}.br` : path);
    response.writeHead(200, {
      "Content-Type": types[extname(path)] ?? "application/octet-stream",
      "Content-Length": bytes.length,
      ...(isCompressed ? { "Content-Encoding": "br" } : {}),
    });
    response.end(bytes);
  } catch {
    response.writeHead(404).end("not found");
  }
});
server.listen(Number(process.argv[2] ?? 8000), "localhost", () =>
  console.log(`http://localhost:${server.address().port}/`),
);
