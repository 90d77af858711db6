/** Kills `pith quantize` on a folder at any moment, or starts it twice: files of authors are kept, and the next run completes. */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { beforeAll, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { temporaryFolder } from "../../temporary.ts";
import { json, program } from "./run.ts";

const root = temporaryFolder();
const source = join(root, "model");
const author = "by the author";

beforeAll(async () => {
  mkdirSync(join(source, "onnx"), { recursive: true });
  const network = parseModel(`opset 17
graph (x: float32[batch, 64]) -> (y: float32[batch, 64]) {
  a.weight: float32[64, 64] = random(seed 1)
  y = MatMul "a" (x, a.weight)
}`);
  await save(network, join(source, "onnx", "model.onnx"));
  for (const name of ["config.json", "tokenizer.json"]) writeFileSync(join(source, name), '{"of": "the source"}');
  writeFileSync(join(source, "LICENSE"), "Of the source\n");
});

const words = (out: string, ...more: readonly string[]): string[] => {
  return ["quantize", source, "--dtype", "q8,q4,fp16", "--force", "--precompress", "gzip,br", "-o", out, ...more];
};

/** Runs the program in a separate process group, which is killed after the given number of changes of the folder. */
async function run(
  out: string,
  line: readonly string[],
  changes = Number.POSITIVE_INFINITY,
): Promise<string | number | null> {
  const child = spawn(process.execPath, [program, ...line], { detached: true, stdio: "ignore" });
  let count = 0;
  const watcher = watch(out, { recursive: true }, () => {
    count++;
    if (count >= changes && child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
  });
  const end = await new Promise<string | number | null>((resolve) =>
    child.on("close", (code, by) => resolve(by ?? code)),
  );
  watcher.close();
  return end;
}

/** Returns an output folder with files of an author. */
function begun(name: string): string {
  const out = join(root, name);
  mkdirSync(join(out, "onnx"), { recursive: true });
  writeFileSync(join(out, "README.md"), `# ${author}\n`);
  writeFileSync(join(out, "tokenizer.json"), JSON.stringify({ author }));
  return out;
}

async function expectDone(out: string, ...more: readonly string[]): Promise<void> {
  const { code, files } = await json(...words(out, ...more));
  expect({ code, files }).toMatchObject({
    code: 0,
    files: Array.from({ length: 3 }, () => ({ bytes: expect.any(Number) })),
  });
  expect(await json(...words(out, ...more))).toMatchObject({ files: Array(3).fill({ verdict: "there" }) });
  const card = readFileSync(join(out, "README.md"), "utf8");
  expect(card.startsWith(`# ${author}\n\n<!-- pith`)).toBe(true);
  expect(card.match(/<!-- pith/g)).toHaveLength(1);
  expect(JSON.parse(readFileSync(join(out, "tokenizer.json"), "utf8"))).toEqual({ author });
  expect(JSON.parse(readFileSync(join(out, "config.json"), "utf8"))).toMatchObject({ author });
  for (const name of readdirSync(join(out, "onnx"))) {
    const [path, plain] = [join(out, "onnx", name), join(out, "onnx", name.replace(/\.(gz|br)$/, ""))];
    if (name.endsWith(".gz")) expect(gunzipSync(readFileSync(path))).toEqual(readFileSync(plain));
    if (name.endsWith(".br")) expect(brotliDecompressSync(readFileSync(path))).toEqual(readFileSync(plain));
  }
  const hiddenFiles = [...readdirSync(out), ...readdirSync(join(out, "onnx"))].filter((name) => name.startsWith("."));
  expect(hiddenFiles).toEqual([]);
}

test("completes a folder after kills at any moment, also with other settings", async () => {
  const out = begun("killed");
  const ends = new Set<string | number | null>();
  const moments = [1, 2, 4, 7, 11, 16, 22, 30, 40];
  for (const moment of moments) ends.add(await run(out, words(out), moment));
  writeFileSync(join(out, "config.json"), JSON.stringify({ author }));
  for (const moment of moments) ends.add(await run(out, words(out, "--chunk", "1kB"), moment));
  expect(ends).toContain("SIGKILL");
  await expectDone(out, "--chunk", "1kB");
});

test("rejects the second of two simultaneous runs, and mixes no files", async () => {
  const out = begun("twice");
  expect(await run(out, words(out))).toBe(0);
  writeFileSync(join(out, "config.json"), JSON.stringify({ author }));
  const both = [run(out, words(out, "--chunk", "1kB")), run(out, words(out, "--chunk", "1kB"))];
  expect((await Promise.all(both)).toSorted()).toEqual([0, 1]);
  await expectDone(out, "--chunk", "1kB");
});
