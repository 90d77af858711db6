/** Serves Pith's modules, onnxruntime-web and models to one page under an unguessable address. Rejects other host names (DNS rebinding). */

import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { moduleExtension, root } from "#root";
import { PithError } from "../../errors.ts";
import { bytes } from "../../evaluate/numbers.ts";

export interface PageServer {
  readonly address: string;
  close(): Promise<void>;
}

export interface PageOptions {
  readonly runtime: "wasm" | "webgpu";
  readonly runtimes?: string | undefined;
  /** Readable files by their paths below the page's address. */
  readonly files: ReadonlyMap<string, string>;
  /** Receives the page's response and returns the next order. */
  next(told: Uint8Array): Promise<Uint8Array>;
  onProgress(done: number, total: number | undefined): void;
  onFailure(text: string): void;
}

/** `src` or `dist`. */
const code = fileURLToPath(root());
const extension = moduleExtension();
const require = createRequire(import.meta.url);

/** Maximum bytes of a response; a page cannot hold more in one buffer. */
const mostTold = 2 ** 31;
const mostText = 2 ** 16;

const libraries = ["valibot"];

const types: Readonly<Record<string, string>> = {
  ".ts": "text/javascript",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".wasm": "application/wasm",
};

export async function servePage(options: PageOptions): Promise<PageServer> {
  const runtimes = options.runtimes ?? runtimeFolder();
  const token = randomBytes(16).toString("hex");
  let host = "";
  const server = createServer((request, response) => {
    if (request.headers.host !== host) return notFound(response);
    answer(request, response, token, runtimes, options).catch(() => {
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.on("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  host = `127.0.0.1:${port}`;
  return {
    address: `http://${host}/${token}/?runtime=${options.runtime}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Looks in the current project, then next to its transformers.js, then next to Pith. */
function runtimeFolder(): string {
  const project = createRequire(join(process.cwd(), "package.json"));
  const transformers = () => createRequire(project.resolve("@huggingface/transformers"));
  for (const from of [() => project, transformers, () => require]) {
    try {
      return join(from().resolve("onnxruntime-web"), "..");
    } catch {}
  }
  throw new PithError("E_ENGINE_MISSING", "A browser runs models with onnxruntime-web, which is not installed.", {
    hint: "npm install onnxruntime-web",
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  token: string,
  runtimes: string,
  options: PageOptions,
): Promise<void> {
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  response.setHeader("Cache-Control", "no-store");
  const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
  const [, given, ...parts] = path.split("/");
  const rest = parts.join("/");
  if (given !== token || parts.some(leadsElsewhere)) return notFound(response);
  if (request.method === "POST") {
    const isTold = rest === "told";
    const body = await bodyOf(request, isTold ? mostTold : mostText);
    if (body === undefined) {
      response.writeHead(413, { Connection: "close" }).end();
      if (isTold) options.onFailure(`its outputs take more than ${bytes(mostTold)}.`);
      return;
    }
    if (isTold) {
      response.writeHead(200, { "Content-Type": "application/octet-stream" }).flushHeaders();
      response.end(await options.next(body));
      return;
    }
    const text = body.toString();
    if (rest === "progress") options.onProgress(...(JSON.parse(text) as [done: number, total: number | undefined]));
    if (rest === "failed") options.onFailure(text);
    response.writeHead(204).end();
    return;
  }
  if (rest === "") return send(response, "text/html", page(options.runtime));
  const [area, ...inside] = parts;
  const file = options.files.get(rest);
  if (file !== undefined) return sendFile(request, response, file);
  if (area === "code" && extname(rest) === extension)
    return send(response, "text/javascript", await moduleText(join(code, ...inside)));
  const library = area === "lib" ? libraries.find((name) => name === inside.join("/")) : undefined;
  if (library !== undefined) return sendFile(request, response, fileURLToPath(import.meta.resolve(library)));
  if (area === "ort") return sendFile(request, response, join(runtimes, ...inside));
  return notFound(response);
}

function leadsElsewhere(part: string): boolean {
  return part === ".." || /[\\:]/.test(part);
}

async function bodyOf(request: IncomingMessage, most: number): Promise<Buffer | undefined> {
  if (Number(request.headers["content-length"] ?? 0) > most) return undefined;
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.byteLength;
    if (length > most) return undefined;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function page(runtime: PageOptions["runtime"]): string {
  const ort = runtime === "webgpu" ? "./ort/ort.webgpu.min.mjs" : "./ort/ort.wasm.min.mjs";
  const platform = `./code/platform/browser${extension}`;
  const imports = {
    "#platform": platform,
    "#root": `./code/platform/root${extension}`,
    "#onnxruntime": ort,
    "onnxruntime-web": ort,
    ...Object.fromEntries(libraries.map((name) => [name, `./lib/${name}`])),
  };
  return `<!doctype html><meta charset="utf-8"><title>pith</title>
<script>
addEventListener("error", ({ message, target }) => {
  fetch("failed", { method: "POST", body: message ?? target.src + " cannot be loaded" });
}, true);
</script>
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module" src="code/cli/browser/page${extension}"></script>
`;
}

/** The parts of TypeScript in use; TypeScript is installed if Pith runs from source. */
interface Transpiler {
  readonly ModuleKind: Readonly<Record<"ESNext", number>>;
  readonly ScriptTarget: Readonly<Record<"ES2022", number>>;
  transpileModule(
    text: string,
    options: { readonly compilerOptions: Readonly<Record<string, number | boolean>> },
  ): { readonly outputText: string };
}

/** Strips the types if Pith runs from source. */
async function moduleText(path: string): Promise<string> {
  const text = await readFile(path, "utf8");
  if (extension !== ".ts") return text;
  const { transpileModule, ModuleKind, ScriptTarget }: Transpiler = require("typescript");
  return transpileModule(text, {
    compilerOptions: { module: ModuleKind.ESNext, target: ScriptTarget.ES2022, verbatimModuleSyntax: true },
  }).outputText;
}

async function sendFile(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
  const { size, mtimeMs } = await stat(path);
  response.setHeader("Content-Type", types[extname(path)] ?? "application/octet-stream");
  response.setHeader("Accept-Ranges", "bytes");
  response.setHeader("ETag", `"${size}-${mtimeMs}"`);
  const asked = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  const [start, end] = asked === null ? [0, size - 1] : [Number(asked[1]), Math.min(size - 1, Number(asked[2]))];
  if (asked !== null && start > end) {
    response.writeHead(416, { "Content-Range": `bytes */${size}` }).end();
    return;
  }
  if (asked !== null) response.setHeader("Content-Range", `bytes ${start}-${end}/${size}`);
  response.setHeader("Content-Length", end - start + 1);
  response.writeHead(asked === null ? 200 : 206);
  if (size === 0) response.end();
  else
    createReadStream(path, { start, end })
      .on("error", () => response.destroy())
      .pipe(response);
}

function send(response: ServerResponse, type: string, text: string): void {
  response.writeHead(200, { "Content-Type": type }).end(text);
}

function notFound(response: ServerResponse): void {
  response.writeHead(404).end();
}
