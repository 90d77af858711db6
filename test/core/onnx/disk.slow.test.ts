/** Tests every writer while the disk fails at step k, for all k: old files stay complete, and no other files remain. */
import { createHash } from "node:crypto";
import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import { temporaryFolder } from "../../temporary.ts";

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
const { open, save } = await import("../../../src/core/onnx/index.ts");
const { writeFilesAtomically } = await import("../../../src/core/platform/node-write.ts");
const { float32, inMemory } = await import("../../../src/core/tensor/dense.ts");
const { richModel } = await import("./messages.ts");

let folder = "";
beforeEach(async () => {
  startPlan(0);
  folder = temporaryFolder();
});
afterEach(() => {
  startPlan(0);
});

type Contents = Readonly<Record<string, string>>;

async function contents(): Promise<Contents> {
  const digests: Record<string, string> = {};
  for (const name of (await readdir(folder)).sort()) digests[name] = digest(await readFile(join(folder, name)));
  return digests;
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const models = [1, 2].map((fill) => {
  const rich = richModel();
  const weights = new Float32Array(5_000).fill(fill);
  for (const name of ["one", "two"]) rich.graph.addTensor(name, inMemory(float32([weights.length], weights)));
  return rich;
});

function model(fill: number): Model {
  return models[fill - 1]?.clone() ?? richModel();
}

interface Writer {
  readonly name: string;
  /** Creates the files that exist before the write. */
  readonly prepare: () => Promise<void>;
  readonly write: () => Promise<void>;
  /** Minimum number of steps, so that the test covers the whole write. */
  readonly steps: number;
  /** Whether one rename replaces everything, so that even a disk that fails forever leaves no mixture of old and new. */
  readonly oneStep: boolean;
}

const path = (name = "model.onnx"): string => join(folder, name);
const text = (content: string): Uint8Array[] => [...content].map((letter) => new TextEncoder().encode(letter));

const writers: readonly Writer[] = [
  {
    name: "save to a new file",
    prepare: async () => {},
    write: () => save(model(2), path()),
    steps: 10,
    oneStep: true,
  },
  {
    name: "save over another model",
    prepare: () => save(model(1), path()),
    write: () => save(model(2), path()),
    steps: 10,
    oneStep: true,
  },
  {
    name: "save over the file that the model was opened from",
    prepare: () => save(model(1), path()),
    async write() {
      const opened = await open(path());
      opened.header.doc = "changed";
      await save(opened, path());
    },
    steps: 10,
    oneStep: true,
  },
  {
    name: "writeFilesAtomically",
    async prepare() {
      for (const name of ["a", "b"]) await writeFile(path(name), `old ${name}`);
    },
    write: () =>
      writeFilesAtomically([
        [path("a"), text("new a")],
        [path("b"), text("new b")],
        [path("c"), text("new c")],
      ]),
    steps: 25,
    oneStep: false,
  },
];

describe.each(writers)("$name", ({ prepare, write, steps, oneStep }) => {
  async function countSteps(): Promise<number> {
    startPlan(0, { partial: true });
    await write();
    const { length } = plan.log;
    startPlan(0);
    for (const name of await readdir(folder)) await rm(join(folder, name));
    await prepare();
    return length;
  }

  test("leaves everything unchanged if a single step fails", async () => {
    await prepare();
    const count = await countSteps();
    expect(count).toBeGreaterThanOrEqual(steps);
    const before = await contents();
    for (let at = 1; at <= count; at++) {
      startPlan(at, { partial: true });
      const attempt = write();
      const failed = plan.log;
      await attempt.then(
        // If a hard link fails, the writer copies the file instead, which is not a failure.
        () => expect(failed[at - 1]).toBe("link"),
        (error: unknown) =>
          expect(error).toMatchObject({
            code: "E_FILE",
            message: expect.stringMatching(/cannot be written: the disk is full/),
          }),
      );
      if (failed[at - 1] === "link") {
        startPlan(0);
        for (const name of await readdir(folder)) await rm(join(folder, name));
        await prepare();
      }
      expect(await contents()).toEqual(before);
    }
  });

  test("leaves each file old or new if all steps from one on fail", async () => {
    await prepare();
    const count = await countSteps();
    expect(count).toBeGreaterThanOrEqual(steps);
    const before = await contents();
    for (let at = 1; at <= count; at++) {
      startPlan(at, { forever: true, partial: true, code: "EIO" });
      await expect(write()).rejects.toMatchObject({ code: "E_FILE" });
      startPlan(0);
      const after = await contents();
      if (oneStep) expect(after).toEqual(before);
      else
        for (const [name, old] of Object.entries(before))
          expect([old, digest(Buffer.from(`new ${name}`))]).toContain(after[name]);
      if (oneStep) continue;
      for (const name of await readdir(folder)) await rm(join(folder, name));
      await prepare();
    }
  });

  test("completes on a disk that stores only a part of each write", async () => {
    await prepare();
    await write();
    const expected = await contents();
    for (const name of await readdir(folder)) await rm(join(folder, name));
    await prepare();
    startPlan(0, { partial: true });
    await write();
    expect(await contents()).toEqual(expected);
  });
});

test("save does not replace a read-only file", async () => {
  await writeFile(path(), "old");
  const { chmod } = await import("node:fs/promises");
  await chmod(path(), 0o444);
  await expect(save(model(1), path())).rejects.toMatchObject({
    code: "E_FILE",
    message: `"${path()}" cannot be written: the file is read-only.`,
  });
  expect([await readFile(path(), "utf8"), await readdir(folder)]).toEqual(["old", [basename(path())]]);
});

test("save keeps the permissions of a replaced file under any umask", async () => {
  await writeFile(path(), "old");
  const { chmod } = await import("node:fs/promises");
  await chmod(path(), 0o664);
  await save(model(1), path());
  expect((await stat(path())).mode & 0o777).toBe(0o664);
});
