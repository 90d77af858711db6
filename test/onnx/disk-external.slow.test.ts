/** The disk of disk-external.test.ts, where several models or several files share a folder. */
import { copyFile } from "node:fs/promises";
import { vi } from "vitest";

vi.mock("node:fs/promises", async (original) => {
  const { failing } = await import("./failing-disk.ts");
  return failing(await original());
});
vi.mock("node:fs", async (original) => {
  const { failingWrites } = await import("./failing-disk.ts");
  return failingWrites(await original());
});
const { plan, startPlan } = await import("./failing-disk.ts");
// Both get this plan, before the rest is loaded anew.
await Promise.all([import("node:fs"), import("node:fs/promises")]);
vi.resetModules();
const { save } = await import("../../src/core/onnx/index.ts");
const { savingOutside } = await import("./saving-outside.ts");
const { at, model, changeAndSave, toSave, testSaving } = savingOutside(plan, startPlan);

testSaving([
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
]);
