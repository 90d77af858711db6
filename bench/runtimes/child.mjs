/**
 * Loads and runs files in one installed runtime, as its parent asks: `fork("child.mjs", [package folder])`.
 * Plain JavaScript in a process of its own: a file that a runtime cannot take may end the process, and an emulated Node takes no loader.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder] = process.argv.slice(2);
const ort = createRequire(join(folder, "package.json"))(folder);
if (ort.env.wasm !== undefined) ort.env.wasm.numThreads = 1;
ort.env.logLevel = "error";
let session;

const work = {
  async load({ path, optimize }) {
    await session?.release();
    session = undefined;
    session = await ort.InferenceSession.create(ort.env.versions.web === undefined ? path : readFileSync(path), {
      graphOptimizationLevel: optimize ? "all" : "disabled",
      logSeverityLevel: 4,
    });
  },
  async run({ feeds, names }) {
    const given = Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new ort.Tensor(type, data, dims)]);
    const outputs = await session.run(Object.fromEntries(given), ...(names === undefined ? [] : [names]));
    const plain = Object.entries(outputs).map(([name, { type, dims, data }]) => [
      name,
      // A Float16Array, where there are, is unknown to an older Node.
      { type, dims, data: type === "float16" ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data },
    ]);
    return Object.fromEntries(plain);
  },
};

process.on("message", async ({ kind, ...order }) => {
  const told = await work[kind](order).then(
    (answer) => ({ answer }),
    (error) => ({ error: String(error?.message ?? error) }),
  );
  process.send(told);
});
