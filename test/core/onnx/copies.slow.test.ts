/** Replacing a model and its compressed copies, while the disk fails or the process is killed at step k, for all k. */
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { expect, test, vi } from "vitest";
import { temporaryFolder } from "../../temporary.ts";
import type { Plan } from "./failing-disk.ts";

vi.mock("node:fs/promises", async (original) => {
  const { failing } = await import("./failing-disk.ts");
  return failing(await original());
});
vi.mock("node:fs", async (original) => {
  const { failingWrites } = await import("./failing-disk.ts");
  return failingWrites(await original());
});
// The setup of the tests has loaded modules with the real disk, so all modules are loaded again.
const { plan, startPlan } = await import("./failing-disk.ts");
vi.resetModules();
const { parseModel } = await import("../../../src/core/graph/text.ts");
const { save } = await import("../../../src/core/onnx/index.ts");

const modelOf = (value: number) =>
  parseModel(`opset 21
graph (x: float32[n, 400]) -> (y: float32[n, 400]) {
  w: float32[400] = random(seed ${value})
  y = Add(x, w)
}`);

const folder = temporaryFolder();
const path = join(folder, "o.onnx");
const external = (isExternal: boolean) => ({ precompress: ["gzip", "br"] as const, externalData: isExternal });

async function prepare(isExternal: boolean): Promise<void> {
  startPlan(0);
  for (const name of readdirSync(folder)) await rm(join(folder, name));
  await save(modelOf(1), path, external(isExternal));
}

/** Returns the contents of the files that are not temporary. */
const contents = (): ReadonlyMap<string, string> =>
  new Map(
    readdirSync(folder)
      .filter((name) => !name.endsWith(".tmp"))
      .map((name) => [name, readFileSync(join(folder, name), "base64")]),
  );

/** Returns the names of copies that are not copies of the file next to them. */
const staleCopies = (): readonly string[] =>
  readdirSync(folder).filter((name) => {
    const ending = name.slice(-3);
    if (name.endsWith(".tmp") || (ending !== ".gz" && ending !== ".br")) return false;
    const original = join(folder, name.slice(0, -3));
    const unpacked = (ending === ".gz" ? gunzipSync : brotliDecompressSync)(readFileSync(join(folder, name)));
    return !existsSync(original) || !unpacked.equals(readFileSync(original));
  });

/** Calls `check` after each step at which the disk fails. */
async function failEachStep(isExternal: boolean, failure: Partial<Plan>, check: () => void): Promise<void> {
  await prepare(isExternal);
  await save(modelOf(2), path, external(isExternal));
  const { length } = plan.log;
  expect(length).toBeGreaterThan(15);
  for (let at = 1; at <= length; at++) {
    await prepare(isExternal);
    startPlan(at, failure);
    await save(modelOf(2), path, external(isExternal)).catch(() => {});
    startPlan(0);
    check();
  }
}

test.each([
  ["is killed", { killed: true }],
  ["fails from this step on", { forever: true, code: "EIO" }],
  ["is full at this step", {}],
] as const)("no old copy is next to a new model, and no model is lost, if the disk %s", async (_, failure) => {
  for (const isExternal of [false, true])
    await failEachStep(isExternal, failure, () => {
      expect(staleCopies()).toEqual([]);
      expect(existsSync(path)).toBe(true);
    });
});

test("the model and all copies are the old ones after a failed write", async () => {
  await prepare(false);
  const before = contents();
  await save(modelOf(2), path, external(false));
  const after = contents();
  await failEachStep(false, {}, () => expect([before, after]).toContainEqual(contents()));
});

test("replaces a link that has the name of a copy, and does not follow it", async () => {
  await prepare(false);
  for (const ending of [".gz", ".br"]) {
    writeFileSync(join(folder, `target${ending}`), "other");
    rmSync(path + ending);
    symlinkSync(`target${ending}`, path + ending);
  }
  await save(modelOf(2), path, external(false));
  for (const ending of [".gz", ".br"]) {
    expect(lstatSync(path + ending).isFile()).toBe(true);
    expect(readFileSync(join(folder, `target${ending}`), "utf8")).toBe("other");
    rmSync(join(folder, `target${ending}`));
  }
  expect(staleCopies()).toEqual([]);
});
