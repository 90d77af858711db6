/** Saving with the weights in a file of their own, with the disk failing, gone, or the process killed at step k, for all k. */
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Model } from "../../src/graph/model.ts";
import { temporaryFolder } from "../temporary.ts";

vi.mock("node:fs/promises", async (original) => {
  const { failing } = await import("./failing-disk.ts");
  return failing(await original());
});
vi.mock("node:fs", async (original) => {
  const { failingWrites } = await import("./failing-disk.ts");
  return failingWrites(await original());
});
const { plan, startPlan } = await import("./failing-disk.ts");
vi.resetModules();
const { encodeToBytes, open, save } = await import("../../src/onnx/index.ts");
const { float32, inMemory } = await import("../../src/tensor/dense.ts");
const { Model: NewModel } = await import("../../src/graph/model.ts");

let folder = "";
const at = (name: string): string => join(folder, name);

beforeEach(() => {
  startPlan(0);
  folder = temporaryFolder();
});

const weights = ["first", "second"];
const lengthOf = (fill: number): number => 300 + 100 * fill;

/** A model of which every weight says which it is. The layout differs from model to model, so no data file does for another's. */
function model(fill: number): Model {
  const made = new NewModel();
  const length = lengthOf(fill);
  for (const name of weights)
    made.graph.addTensor(name, inMemory(float32([length], new Float32Array(length).fill(fill))));
  return made;
}

/** Which of the models lies at a path, all of it. */
async function fillAt(name: string): Promise<number> {
  const { graph } = await open(at(name));
  const found = new Set<number>();
  for (const weight of weights) {
    const dense = await graph.value(weight)?.tensor?.read();
    if (dense?.type !== "float32") throw new Error(`"${weight}" is not there`);
    for (const value of dense.data) found.add(value);
    expect(dense.data.length).toBe(lengthOf(dense.data[0] ?? Number.NaN));
  }
  expect(found.size).toBe(1);
  return [...found][0] ?? Number.NaN;
}

/** Opens one model, gives it the weights of the other, and saves it. */
async function changeAndSave(from: string, to: string): Promise<void> {
  const opened = await open(at(from));
  const other = model(2);
  for (const name of weights) {
    const [own, value] = [opened.graph.ownValue(name), other.graph.ownValue(name)];
    if (own !== undefined && value?.tensor !== undefined) own.tensor = value.tensor;
  }
  await save(opened, at(to), toSave);
}

const toSave = { externalData: true } as const;

interface Case {
  readonly name: string;
  readonly prepare: () => Promise<void>;
  readonly write: () => Promise<void>;
  /** The models there before, and which they are. */
  readonly before: Readonly<Record<string, number>>;
  /** Files once all has been done. */
  readonly after: readonly string[];
}

const cases: readonly Case[] = [
  {
    name: "where there was no file",
    prepare: async () => {},
    write: () => save(model(2), at("o.onnx"), toSave),
    before: {},
    after: ["o.onnx", "o.onnx_data"],
  },
  {
    name: "onto the model and the data that it was opened from",
    prepare: () => save(model(1), at("o.onnx"), toSave),
    write: () => changeAndSave("o.onnx", "o.onnx"),
    before: { "o.onnx": 1 },
    after: ["o.onnx", "o.onnx_data"],
  },
  {
    name: "onto a model whose data another one of the folder reads, which is open",
    async prepare() {
      await save(model(1), at("o.onnx"), toSave);
      await copyFile(at("o.onnx"), at("in.onnx"));
    },
    write: () => changeAndSave("in.onnx", "o.onnx"),
    before: { "o.onnx": 1, "in.onnx": 1 },
    after: ["in.onnx", "o.onnx", "o.onnx_data", "o.onnx_data_1"],
  },
  {
    name: "in several files, onto a model in as many",
    prepare: () => save(model(1), at("o.onnx"), { fileBytes: 2048 }),
    write: () => save(model(2), at("o.onnx"), { fileBytes: 2048 }),
    before: { "o.onnx": 1 },
    after: ["o.onnx", "o.onnx_data", "o.onnx_data_1"],
  },
];

describe.each(cases)("external data is saved $name", ({ prepare, write, before, after }) => {
  async function startAnew(): Promise<void> {
    startPlan(0);
    for (const name of await readdir(folder)) await rm(at(name));
    await prepare();
  }

  async function contents(): Promise<Readonly<Record<string, string>>> {
    const found: Record<string, string> = {};
    for (const name of (await readdir(folder)).sort()) found[name] = (await readFile(at(name))).toString("base64");
    return found;
  }

  async function countSteps(): Promise<number> {
    await startAnew();
    startPlan(0);
    await write();
    const { length } = plan.log;
    startPlan(0);
    expect((await readdir(folder)).sort()).toEqual(after);
    expect(await fillAt("o.onnx")).toBe(2);
    return length;
  }

  async function expectWhole(): Promise<void> {
    for (const [name, fill] of Object.entries(before)) {
      const now = await fillAt(name);
      if (name === "o.onnx") expect([fill, 2]).toContain(now);
      else expect(now).toBe(fill);
    }
  }

  test.each([
    ["fails", {}],
    ["is gone", { forever: true }],
  ] as const)("on a disk that %s at each step in turn: all is as it was, or the new model is there", async (_, how) => {
    const count = await countSteps();
    expect(count).toBeGreaterThanOrEqual(18);
    await startAnew();
    let old = await contents();
    for (let step = 1; step <= count; step++) {
      startPlan(step, how);
      const failed = await write().then(
        () => undefined,
        (error: unknown) => error,
      );
      startPlan(0);
      if (failed !== undefined) {
        expect(failed).toMatchObject({ code: "E_FILE", message: expect.stringMatching(/cannot be written/) });
        expect(await contents()).toEqual(old);
        continue;
      }
      expect(await fillAt("o.onnx")).toBe(2);
      await expectWhole();
      await write();
      expect((await readdir(folder)).sort()).toEqual(after);
      await startAnew();
      old = await contents();
    }
  });

  test("by a process that is killed at each step in turn: every model is whole", async () => {
    const count = await countSteps();
    for (let step = 1; step <= count; step++) {
      await startAnew();
      startPlan(step, { killed: true });
      await write().catch(() => {});
      startPlan(0);
      await expectWhole();
      // The next save does as if nothing had been: the names are those that there were to be.
      await write();
      expect(await fillAt("o.onnx")).toBe(2);
      await expectWhole();
      const kept = (await readdir(folder)).filter((name) => !/\.[0-9a-f]{12}(\.tmp)?$/.test(name));
      expect(kept.sort()).toEqual(after);
    }
  });
});

test("a data file that no model of the folder reads stays: whose it is nobody can tell", async () => {
  await save(model(1), at("o.onnx"), toSave);
  await rm(at("o.onnx"));
  const before = await readFile(at("o.onnx_data"));
  await save(model(2), at("o.onnx"), toSave);
  expect(Buffer.compare(await readFile(at("o.onnx_data")), before)).toBe(0);
  expect(await fillAt("o.onnx")).toBe(2);
});

test("a model stays readable whose files are replaced after it was opened", async () => {
  await save(model(1), at("o.onnx"), toSave);
  const opened = await open(at("o.onnx"));
  await save(model(2), at("o.onnx"), toSave);
  await save(opened, at("copy.onnx"));
  expect(await fillAt("copy.onnx")).toBe(1);
  await save(opened, at("o.onnx"), toSave);
  expect(await fillAt("o.onnx")).toBe(1);
  expect((await readdir(folder)).sort()).toEqual(["copy.onnx", "o.onnx", "o.onnx_data"]);
});

test("two models that share a data file both keep it when one of them is saved", async () => {
  await save(model(1), at("a.onnx"), toSave);
  await copyFile(at("a.onnx"), at("b.onnx"));
  await save(await open(at("b.onnx")), at("b.onnx"), toSave);
  expect((await readdir(folder)).sort()).toEqual(["a.onnx", "a.onnx_data", "b.onnx", "b.onnx_data"]);
  await rm(at("b.onnx"));
  await copyFile(at("a.onnx"), at("b.onnx"));
  await save(model(2), at("a.onnx"), toSave);
  expect([await fillAt("a.onnx"), await fillAt("b.onnx")]).toEqual([2, 1]);
});

test("one whose weights go into its own file leaves none beside it but those that another model reads", async () => {
  await save(model(1), at("a.onnx"), toSave);
  const opened = await open(at("a.onnx"));
  await copyFile(at("a.onnx"), at("b.onnx"));
  await save(model(2), at("a.onnx"));
  expect([await fillAt("a.onnx"), await fillAt("b.onnx")]).toEqual([2, 1]);
  await save(await open(at("b.onnx")), at("c.onnx"), toSave);
  await save(await open(at("c.onnx")), at("c.onnx"));
  expect((await readdir(folder)).sort()).toEqual(["a.onnx", "a.onnx_data", "b.onnx", "c.onnx"]);
  await save(opened, at("c.onnx"));
  expect(await fillAt("c.onnx")).toBe(1);
});

test("beside a model that cannot be read to its end nothing is replaced: it may need any file", async () => {
  await save(model(1), at("o.onnx"), toSave);
  const [old, data] = [await readFile(at("o.onnx")), await readFile(at("o.onnx_data"))];
  const place = { location: "elsewhere", offset: 0, length: 7 };
  await writeFile(at("damaged.onnx"), await encodeToBytes(model(1), { place: () => place }));
  await save(model(2), at("o.onnx"), toSave);
  expect(await fillAt("o.onnx")).toBe(2);
  expect(Buffer.compare(await readFile(at("o.onnx_data")), data)).toBe(0);
  await writeFile(at("o.onnx"), old);
  expect(await fillAt("o.onnx")).toBe(1);
});

test("what is no model at all reads nothing", async () => {
  await save(model(1), at("o.onnx"), toSave);
  await writeFile(at("pointer.onnx"), "version https://git-lfs.github.com/spec/v1\n");
  await save(model(2), at("o.onnx"), toSave);
  expect((await readdir(folder)).sort()).toEqual(["o.onnx", "o.onnx_data", "pointer.onnx"]);
});

test("a link becomes a file, with its weights beside it; what it led to stays what it was", async () => {
  const { symlink } = await import("node:fs/promises");
  await mkdir(at("blobs"));
  await mkdir(at("snapshot"));
  await save(model(1), at("blobs/m.onnx"), toSave);
  for (const name of ["m.onnx", "m.onnx_data"]) await symlink(join("..", "blobs", name), at(`snapshot/${name}`));
  expect(await fillAt("snapshot/m.onnx")).toBe(1);
  await changeAndSave("snapshot/m.onnx", "snapshot/m.onnx");
  expect([await fillAt("snapshot/m.onnx"), await fillAt("blobs/m.onnx")]).toEqual([2, 1]);
  expect((await readdir(at("snapshot"))).sort()).toEqual(["m.onnx", "m.onnx_data"]);
});

describe("weights in several files", () => {
  test("are called <file>_data, <file>_data_1, …, and none is larger than asked", async () => {
    await save(model(2), at("model.onnx"), { fileBytes: 2048 });
    expect((await readdir(folder)).toSorted()).toEqual(["model.onnx", "model.onnx_data", "model.onnx_data_1"]);
    for (const name of ["model.onnx_data", "model.onnx_data_1"])
      expect((await readFile(at(name))).length).toBeLessThanOrEqual(2048);
    expect(await fillAt("model.onnx")).toBe(2);
  });

  test("take the places of those of the model that is replaced, and what is left over goes", async () => {
    await save(model(2), at("model.onnx"), { fileBytes: 2048 });
    await save(model(3), at("model.onnx"), { fileBytes: 2048 });
    expect((await readdir(folder)).toSorted()).toEqual(["model.onnx", "model.onnx_data", "model.onnx_data_1"]);
    expect(await fillAt("model.onnx")).toBe(3);
    await save(model(1), at("model.onnx"), { externalData: true });
    expect((await readdir(folder)).toSorted()).toEqual(["model.onnx", "model.onnx_data"]);
    expect(await fillAt("model.onnx")).toBe(1);
  });

  test("are none of a model that is small enough; a tensor that is larger has a file of its own", async () => {
    await save(model(2), at("whole.onnx"), { fileBytes: 100_000 });
    expect(await readdir(folder)).toEqual(["whole.onnx"]);
    await save(model(2), at("model.onnx"), { fileBytes: 1200 });
    expect((await readdir(folder)).length).toBe(4);
    expect(await fillAt("model.onnx")).toBe(2);
  });
});
