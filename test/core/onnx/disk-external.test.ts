/** Saves weights to a separate file while the disk fails, is removed, or the process is killed at step k, for all k. */
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";

vi.mock("node:fs/promises", async (original) => {
  const { failing } = await import("./failing-disk.ts");
  return failing(await original());
});
vi.mock("node:fs", async (original) => {
  const { failingWrites } = await import("./failing-disk.ts");
  return failingWrites(await original());
});
const { plan, startPlan } = await import("./failing-disk.ts");
// Both modules get this plan before all other modules are loaded again.
await Promise.all([import("node:fs"), import("node:fs/promises")]);
vi.resetModules();
const { encodeToBytes } = await import("../../../src/core/onnx/encode.ts");
const { open, save } = await import("../../../src/core/onnx/index.ts");
const { savingOutside } = await import("./saving-outside.ts");
const { at, folder, model, fillAt, changeAndSave, toSave, testSaving } = savingOutside(plan, startPlan);

testSaving([
  {
    name: "to a new file",
    prepare: async () => {},
    write: () => save(model(2), at("o.onnx"), toSave),
    before: {},
    after: ["o.onnx", "o.onnx_data"],
  },
  {
    name: "over the model and the data that it was opened from",
    prepare: () => save(model(1), at("o.onnx"), toSave),
    write: () => changeAndSave("o.onnx", "o.onnx"),
    before: { "o.onnx": 1 },
    after: ["o.onnx", "o.onnx_data"],
  },
]);

test("keeps a data file that no model of the folder reads", async () => {
  await save(model(1), at("o.onnx"), toSave);
  await rm(at("o.onnx"));
  const before = await readFile(at("o.onnx_data"));
  await save(model(2), at("o.onnx"), toSave);
  expect(Buffer.compare(await readFile(at("o.onnx_data")), before)).toBe(0);
  expect(await fillAt("o.onnx")).toBe(2);
});

test("keeps an opened model readable after its files are replaced", async () => {
  await save(model(1), at("o.onnx"), toSave);
  const opened = await open(at("o.onnx"));
  await save(model(2), at("o.onnx"), toSave);
  await save(opened, at("copy.onnx"));
  expect(await fillAt("copy.onnx")).toBe(1);
  await save(opened, at("o.onnx"), toSave);
  expect(await fillAt("o.onnx")).toBe(1);
  expect((await readdir(folder())).sort()).toEqual(["copy.onnx", "o.onnx", "o.onnx_data"]);
});

test("keeps a shared data file if one of its two models is saved", async () => {
  await save(model(1), at("a.onnx"), toSave);
  await copyFile(at("a.onnx"), at("b.onnx"));
  await save(await open(at("b.onnx")), at("b.onnx"), toSave);
  expect((await readdir(folder())).sort()).toEqual(["a.onnx", "a.onnx_data", "b.onnx", "b.onnx_data"]);
  await rm(at("b.onnx"));
  await copyFile(at("a.onnx"), at("b.onnx"));
  await save(model(2), at("a.onnx"), toSave);
  expect([await fillAt("a.onnx"), await fillAt("b.onnx")]).toEqual([2, 1]);
});

test("save without external data removes the old data files, except those of other models", async () => {
  await save(model(1), at("a.onnx"), toSave);
  const opened = await open(at("a.onnx"));
  await copyFile(at("a.onnx"), at("b.onnx"));
  await save(model(2), at("a.onnx"));
  expect([await fillAt("a.onnx"), await fillAt("b.onnx")]).toEqual([2, 1]);
  await save(await open(at("b.onnx")), at("c.onnx"), toSave);
  await save(await open(at("c.onnx")), at("c.onnx"));
  expect((await readdir(folder())).sort()).toEqual(["a.onnx", "a.onnx_data", "b.onnx", "c.onnx"]);
  await save(opened, at("c.onnx"));
  expect(await fillAt("c.onnx")).toBe(1);
});

test("replaces no data file next to an unreadable model, which can need any file", async () => {
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

test("ignores files that are not models", async () => {
  await save(model(1), at("o.onnx"), toSave);
  await writeFile(at("pointer.onnx"), "version https://git-lfs.github.com/spec/v1\n");
  await save(model(2), at("o.onnx"), toSave);
  expect((await readdir(folder())).sort()).toEqual(["o.onnx", "o.onnx_data", "pointer.onnx"]);
});

test("replaces a link by a file with external data, and keeps the link's target", async () => {
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

describe("saving external data in several files", () => {
  test("names them <file>_data, <file>_data_1, …, each within the limit", async () => {
    await save(model(2), at("model.onnx"), { fileBytes: 2048 });
    expect((await readdir(folder())).toSorted()).toEqual(["model.onnx", "model.onnx_data", "model.onnx_data_1"]);
    for (const name of ["model.onnx_data", "model.onnx_data_1"])
      expect((await readFile(at(name))).length).toBeLessThanOrEqual(2048);
    expect(await fillAt("model.onnx")).toBe(2);
  });

  test("replaces the data files of the old model and removes the remaining ones", async () => {
    await save(model(2), at("model.onnx"), { fileBytes: 2048 });
    await save(model(3), at("model.onnx"), { fileBytes: 2048 });
    expect((await readdir(folder())).toSorted()).toEqual(["model.onnx", "model.onnx_data", "model.onnx_data_1"]);
    expect(await fillAt("model.onnx")).toBe(3);
    await save(model(1), at("model.onnx"), { externalData: true });
    expect((await readdir(folder())).toSorted()).toEqual(["model.onnx", "model.onnx_data"]);
    expect(await fillAt("model.onnx")).toBe(1);
  });

  test("uses no data file for a small model, and separate files for large tensors", async () => {
    await save(model(2), at("whole.onnx"), { fileBytes: 100_000 });
    expect(await readdir(folder())).toEqual(["whole.onnx"]);
    await save(model(2), at("model.onnx"), { fileBytes: 1200 });
    expect((await readdir(folder())).length).toBe(4);
    expect(await fillAt("model.onnx")).toBe(2);
  });
});
