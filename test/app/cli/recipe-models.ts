/** A folder of models for recipes. */
import { writeFileSync } from "node:fs";
import { beforeAll } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { hidden, smallModels } from "./small-models.ts";

/** Writes a folder of recipes. */
export function recipeModels() {
  const { at } = smallModels();
  const models = (): string[] => ["dense", "faint"].map((name) => at(`${name}.onnx`));
  const running = (names: readonly string[], ...more: readonly string[]): string[] => [
    ...["compress", ...names, "--data", at("points.csv"), "-r", at("recipe.yaml"), ...more],
  ];

  beforeAll(async () => {
    await save(parseModel(hidden.replaceAll(/\b0([,\]])/g, "0.01$1")), at("dense.onnx"));
    await save(parseModel(hidden.replaceAll(/\b0([,\]])/g, "0.02$1")), at("faint.onnx"));
    writeFileSync(at("recipe.yaml"), "steps:\n  - prune: { amount: 10% }\n  - train: { epochs: 1 }\n");
  });
  return { at, models, running };
}
