/** Repeats disk-external.test.ts with several models or several data files in a folder. */
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
// Both modules get this plan before all other modules are loaded again.
await Promise.all([import("node:fs"), import("node:fs/promises")]);
vi.resetModules();
const { save } = await import("../../../src/core/onnx/index.ts");
const { savingOutside } = await import("./saving-outside.ts");
const { at, model, changeAndSave, toSave, testSaving } = savingOutside(plan, startPlan);

testSaving([
  {
    name: "over a model whose data file another open model also reads",
    async prepare() {
      await save(model(1), at("o.onnx"), toSave);
      await copyFile(at("o.onnx"), at("in.onnx"));
    },
    write: () => changeAndSave("in.onnx", "o.onnx"),
    before: { "o.onnx": 1, "in.onnx": 1 },
    after: ["in.onnx", "o.onnx", "o.onnx_data", "o.onnx_data_1"],
  },
  {
    name: "in several files over a model in several files",
    prepare: () => save(model(1), at("o.onnx"), { fileBytes: 2048 }),
    write: () => save(model(2), at("o.onnx"), { fileBytes: 2048 }),
    before: { "o.onnx": 1 },
    after: ["o.onnx", "o.onnx_data", "o.onnx_data_1"],
  },
]);
