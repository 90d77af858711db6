/** Bundles a program, and runs it in Chromium if there is one. */
import { createReadStream } from "node:fs";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { findChromium, openPage } from "../../../src/app/cli/browser/chromium.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { temporaryFolder } from "../../temporary.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));

const runtime = dirname(createRequire(import.meta.url).resolve("onnxruntime-web"));

export const program = await findChromium().catch(() => undefined);

/** A model whose first weight is so large that it is computed lazily, on each read. */
export const model = await encodeToBytes(
  parseModel(`opset 21
graph (x: float32[batch, 784]) -> (y: float32[batch, 10]) {
  fc1.weight: float32[784, 512] = random(seed 1)
  fc2.weight: float32[512, 10] = random(seed 2)
  h = MatMul "fc1" (x, fc1.weight)
  a = Relu (h)
  y = MatMul "fc2" (a, fc2.weight)
}`),
);

export const smaller = `
import { encodeToBytes, open } from "pith";
import { prune } from "pith/prune";
import { quantize } from "pith/quantize";
const model = await open(new URL("model.onnx", location.href));
await prune(model, { amount: 0.5, keepMasks: true });
await quantize(model, { scheme: "weights" });
const answer = await encodeToBytes(model);`;

export const running = `
import { open } from "pith";
import { createEngine } from "pith/engine";
const session = await createEngine().load(await open(new URL("model.onnx", location.href)));
const { y } = await session.run({ x: { type: "float32", dims: [1, 784], data: new Float32Array(784) } });
const answer = Uint8Array.from(y.dims);`;

/** Responds as servers that compress whole files but not ranges, with the same ETag for both. */
function sendZipped({ range, "if-none-match": etag }: IncomingHttpHeaders, response: ServerResponse): void {
  const [, start = 0, end = 0] = (/^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? []).map(Number);
  const headers = { etag: 'W/"1"', "cache-control": "no-cache", "last-modified": "Mon, 01 Jan 2024 10:00:00 GMT" };
  if (etag === headers.etag) return void response.writeHead(304, headers).end();
  if (range === undefined) response.writeHead(200, { ...headers, "content-encoding": "gzip" }).end(gzipSync(model));
  else
    response
      .writeHead(206, { ...headers, "content-range": `bytes ${start}-${end}/${model.length}` })
      .end(model.subarray(start, end + 1));
}

/** Returns the files of a bundle by name. The first one is the entry that the page loads. */
/** @param callsPasses whether modules count that are loaded with the first call of a pass. */
export async function bundled(code: string, callsPasses = false) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: `${code}\nexport { answer };`, resolveDir: root },
    bundle: true,
    splitting: true,
    minify: true,
    write: false,
    metafile: true,
    outdir: join(root, "out"),
    format: "esm",
    platform: "browser",
    conditions: ["pith-source"],
    external: ["#onnxruntime", "onnxruntime-web"],
    logLevel: "silent",
  });
  const outputs = new Map(Object.entries(metafile.outputs).map(([path, output]) => [path.split("/").at(-1), output]));
  const work = /(core\/pass\/run-pass|techniques\/(prune|quantize)\/run)\.ts$/;
  const called = [...outputs].flatMap(([name, { entryPoint = "" }]) =>
    callsPasses && work.test(entryPoint) ? (name ?? []) : [],
  );
  const atOnce = new Set(["stdin.js", ...called]);
  for (const name of atOnce) {
    for (const { path, kind } of outputs.get(name)?.imports ?? []) {
      if (kind === "import-statement") atOnce.add(path.split("/").at(-1) ?? "");
    }
  }
  const inputs = [...atOnce].flatMap((name) => Object.entries(outputs.get(name)?.inputs ?? {}));
  const external = (name: string) =>
    (outputs.get(name)?.imports ?? []).filter((imported) => imported.external === true);
  return {
    /** External modules that are imported at once, and by any file. */
    external: {
      atOnce: [...atOnce]
        .flatMap(external)
        .filter(({ kind }) => kind === "import-statement")
        .map(({ path }) => path),
      ever: [...outputs.keys()].flatMap((name) => external(name ?? "")).map(({ path }) => path),
    },
    files: new Map(outputFiles.map(({ path, contents }) => [`/${path.split("/").at(-1)}`, contents])),
    modules: inputs.flatMap(([name, { bytesInOutput }]) => (bytesInOutput > 0 ? [name] : [])),
    bytes: [...atOnce].reduce((sum, name) => sum + (outputs.get(name)?.bytes ?? 0), 0),
  };
}

/** Runs the code in a page. @returns the requests to the server, and the result of the page. */
export async function visited(code: string): Promise<{ readonly asked: readonly string[]; readonly answer: Buffer }> {
  const { files } = await bundled(code);
  const asked: string[] = [];
  const at = (name: string): string => `/ort/${name}`;
  const imports = { "#onnxruntime": at("ort.wasm.min.mjs"), "onnxruntime-web": at("ort.wasm.min.mjs") };
  const page = `<!doctype html><script type="importmap">${JSON.stringify({ imports })}</script>`;
  const send = (request: IncomingMessage, response: ServerResponse): void => {
    const path = request.url ?? "/";
    asked.push(path);
    const types = { html: "text/html", onnx: "application/octet-stream", wasm: "application/wasm" };
    const end = path === "/" ? "html" : (path.split(".").at(-1) ?? "");
    response.setHeader("content-type", types[end as keyof typeof types] ?? "text/javascript");
    if (path === "/model.onnx") response.end(model);
    else if (path === "/zipped.onnx") sendZipped(request.headers, response);
    else if (path === "/") response.end(page);
    else if (path.startsWith("/ort/")) createReadStream(join(runtime, path.slice(5))).pipe(response);
    else response.end(files.get(path));
  };
  const server = createServer(send);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const { page: tab, failure: lost, close } = await openPage(temporaryFolder());
  try {
    await tab.goto(`http://127.0.0.1:${port}/`);
    const run = `import("/stdin.js").then(({ answer }) => answer.toBase64())`;
    const answer = await Promise.race([tab.evaluate<string>(run), lost]);
    return { asked, answer: Buffer.from(answer, "base64") };
  } finally {
    await close();
    server.closeAllConnections();
    server.close();
  }
}

export const ofRuntime = (asked: readonly string[]): readonly string[] =>
  asked.filter((path) => path.startsWith("/ort/"));
