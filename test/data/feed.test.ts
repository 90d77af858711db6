/** Tests the threads that prepare batches in the built package: in a separate program, and without threads. */
import { execFile, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { expect, inject, onTestFinished, test } from "vitest";
import type { Batch } from "../../src/core/tensor/types.ts";
import type * as data from "../../src/data/index.ts";
import type * as feed from "../../src/data/prefetch/feed.ts";

const module = (name: string): string => JSON.stringify(pathToFileURL(`${inject("compiled")}/data/${name}.js`).href);

/** Reads noise through two threads repeatedly, and prints the number of threads after the first batch. */
const program = `
  const { augmented, memory, preprocess, presets } = await import(${module("index")});
  const { createFeed } = await import(${module("prefetch/feed")});
  const { readyWorkers } = await import(${module("prefetch/workers")});
  const images = memory("images", { image: { type: "uint8", dims: [64, 3, 32, 32], data: new Uint8Array(64 * 3072) } });
  const input = { name: "x", type: { type: "float32", dims: [16, 3, 32, 32] } };
  const seen = augmented(preprocess(images, input, presets.unit), { crop: 4 }, { seed: 1 });
  const feed = createFeed(seen, Array.from({ length: 1000 }, (_, epoch) => ({ size: 16, shuffle: epoch })), { threads: 2 });
  for (let used = 0; used < Number(process.argv[1]); )
    for await (const batch of feed.batches()) if (used++ === 0) console.log(readyWorkers());
  process.exitCode = 7;
`;
const words = (batches: number): readonly string[] => ["--input-type=module", "--eval", program, String(batches)];

test("a program ends after its last batch although threads are running", async () => {
  const ended = promisify(execFile)(process.execPath, words(5));
  await expect(ended).rejects.toMatchObject({ code: 7, stdout: "2\n", stderr: "" });
});

test.skipIf(process.platform !== "linux")(
  "preparation threads leave no process behind if the program is killed",
  async () => {
    const child = spawn(process.execPath, words(1_000_000), { stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(() => {
      child.kill("SIGKILL");
    });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    expect(await lines.next()).toMatchObject({ value: "2" });
    const { pid } = child;
    expect(childrenOf(pid)).toEqual([]);
    child.kill("SIGKILL");
    await new Promise((resolve) => child.on("exit", resolve));
    expect(() => readFileSync(`/proc/${pid}/stat`)).toThrow("ENOENT");
  },
);

/** Returns the processes whose parent is the given process. */
function childrenOf(parent: number | undefined): readonly string[] {
  return readdirSync("/proc").filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      // The program name in parentheses can contain any characters. The state and the parent follow it.
      const [, after = ""] = /\) . (\d+)/.exec(readFileSync(`/proc/${name}/stat`, "utf8")) ?? [];
      return Number(after) === parent;
    } catch {
      return false;
    }
  });
}

test("a browser bundle prepares equal batches without threads", async () => {
  const bundled = await build({
    stdin: {
      contents: 'export * from "./index.ts"; export { prefetched } from "./prefetch/feed.ts";',
      resolveDir: fileURLToPath(new URL("../../src/data", import.meta.url)),
      loader: "ts",
    },
    bundle: true,
    write: false,
    metafile: true,
    format: "esm",
    platform: "browser",
    conditions: ["pith-source"],
    logLevel: "silent",
  });
  expect(bundled.errors).toEqual([]);
  expect(Object.keys(bundled.metafile.inputs).filter((name) => /platform\/node-|thread-entry/.test(name))).toEqual([]);
  const [file] = bundled.outputFiles;
  const loaded: typeof data & Pick<typeof feed, "prefetched"> = await import(
    `data:text/javascript;base64,${Buffer.from(file?.contents ?? []).toString("base64")}`
  );
  const read = async (threads: number): Promise<Batch[]> => {
    const images = loaded.memory("images", {
      image: { type: "uint8", dims: [6, 3, 4, 4], data: Uint8Array.from({ length: 288 }, (_, at) => at % 251) },
    });
    const input = { name: "x", type: { type: "float32" as const, dims: [2, 3, 4, 4] } };
    const ready = loaded.preprocess(images, input, loaded.presets.imagenet);
    const batches: Batch[] = [];
    for await (const batch of loaded.prefetched(ready, { size: 2, shuffle: 4 }, { threads })) batches.push(batch);
    return batches;
  };
  expect(await read(0)).toHaveLength(3);
  expect(await read(2)).toEqual(await read(0));
});
