/** Runs a module in a real browser. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { findChromium, openPage } from "../src/app/cli/browser/chromium.ts";

export const root = fileURLToPath(new URL("../", import.meta.url));
const types: Readonly<Record<string, string>> = { ".wasm": "application/wasm", ".html": "text/html" };

/** Path of a browser; undefined if there is none. */
export const browser = await findChromium().catch(() => undefined);

const imports = {
  "onnxruntime-web/wasm": "/node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs",
  "#onnxruntime": "/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs",
  "@huggingface/transformers": "/node_modules/@huggingface/transformers/dist/transformers.min.js",
};

export interface PageFolders {
  /** Folder in which the imports of the module are resolved. */
  readonly modules: string;
  /** Folder that is served as /models/. */
  readonly models: string;
  /** Folder for the files of the browser. */
  readonly temporary: string;
  /** Called for each model file that the server sends. */
  readonly onSent?: (path: string, bytes: number) => void;
  /** Whether the server sends compressed copies (.br) to browsers that accept them. */
  readonly sendsCopies?: boolean;
}

/** Calls the default export of a module in a page, and returns the resolved result, as JSON. */
export async function inPage(
  text: string,
  { modules, models, temporary, onSent, sendsCopies }: PageFolders,
): Promise<unknown> {
  const { outputFiles } = await build({
    stdin: { contents: text, resolveDir: modules },
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    external: Object.keys(imports),
  });
  const page = `<!doctype html><script type="importmap">${JSON.stringify({ imports })}</script>`;
  const pages: Readonly<Record<string, string | undefined>> = { "/": page, "/module.mjs": outputFiles[0]?.text };
  const server = createServer(async (request, response) => {
    const [path = "/"] = (request.url ?? "/").split("?");
    response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
    response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    response.setHeader("Content-Type", types[extname(path === "/" ? "page.html" : path)] ?? "text/javascript");
    const [, model] = /^\/models\/(.*)$/.exec(path) ?? [];
    const file = model === undefined ? join(root, path) : join(models, model);
    const accepted = sendsCopies === true && /\bbr\b/.test(String(request.headers["accept-encoding"]));
    const copy = model !== undefined && accepted ? await readFile(`${file}.br`).catch(() => undefined) : undefined;
    if (copy !== undefined) response.setHeader("Content-Encoding", "br");
    const content = pages[path] ?? copy ?? (await readFile(file).catch(() => undefined));
    if (model !== undefined && content !== undefined) onSent?.(path, content.length);
    response.writeHead(content === undefined ? 404 : 200).end(content);
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  const opened = await openPage(temporary);
  try {
    await opened.page.goto(`http://127.0.0.1:${port}/`);
    const run = `import("/module.mjs").then(({ default: run }) => run()).then((result) => JSON.stringify(result))`;
    return JSON.parse(await Promise.race([opened.page.evaluate<string>(run), opened.failure]));
  } finally {
    await opened.close();
    server.closeAllConnections();
    server.close();
  }
}
