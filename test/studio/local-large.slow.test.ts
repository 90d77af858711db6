/** `pith studio` with a model of 500 MB, which the native runtime quantizes. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { save } from "../../src/core/onnx/index.ts";
import { temporaryFolder } from "../temporary.ts";
import { downloadModel, run } from "./actions.ts";
import { installStudio } from "./served.ts";
import { browser } from "./studio.ts";

/** Two dense layers of 250 MB each. */
const text = `opset 21
graph (x: float32[batch, 7900]) -> (y: float32[batch, 7900]) {
  "first.weight": float32[7900, 7900] = random(seed 1)
  "second.weight": float32[7900, 7900] = random(seed 2)
  h = MatMul "first/MatMul" (x, "first.weight")
  r = Relu(h)
  y = MatMul "second/MatMul" (r, "second.weight")
}`;

describe.skipIf(browser === undefined || process.platform === "win32")("pith studio", () => {
  const serve = installStudio();

  test("quantizes a model of 500 MB on this computer", async () => {
    const model = join(temporaryFolder(), "large.onnx");
    await save(parseModel(text), model);
    expect(statSync(model).size).toBeGreaterThan(490e6);
    await serve([model], async ({ page, errors }) => {
      page.setDefaultTimeout(240_000);
      await page.getByRole("heading", { level: 1, name: /^499 MB\./ }).waitFor();
      await run(page, "int8 weights");
      const bytes = await downloadModel(page);
      expect(bytes.length / statSync(model).size).toBeCloseTo(0.25, 2);
      expect(errors).toEqual([]);
    });
  });
});
