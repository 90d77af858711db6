/**
 * Runs one file in one installed runtime: `node child.mjs <package folder> <model> <feeds.json> <outputs.json>`.
 * Plain JavaScript in a process of its own: a file that a runtime cannot take may end the process.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, model, feedsFile, outputsFile] = process.argv.slice(2);
const ort = createRequire(join(folder, "package.json"))(folder);
if (ort.env.wasm !== undefined) ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
const arrays = { int64: BigInt64Array, int32: Int32Array, float32: Float32Array, uint8: Uint8Array, bool: Uint8Array };
const feeds = Object.fromEntries(
  Object.entries(JSON.parse(readFileSync(feedsFile, "utf8"))).map(([name, { type, dims, base64 }]) => {
    const bytes = Uint8Array.from(Buffer.from(base64, "base64"));
    return [name, new ort.Tensor(type, new arrays[type](bytes.buffer), dims)];
  }),
);
const session = await ort.InferenceSession.create(ort.env.versions.web === undefined ? model : readFileSync(model));
const outputs = await session.run(feeds);
const numbers = Object.entries(outputs).map(([name, { data, dims }]) => [
  name,
  { dims, data: Array.from(data, Number) },
]);
writeFileSync(outputsFile, JSON.stringify(Object.fromEntries(numbers)));
