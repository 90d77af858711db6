/** A model with a layer that quantization ruins. */
import { beforeAll } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { outliers } from "../../outliers.ts";
import { smallModels } from "./small-models.ts";

/** Writes a model with outliers into a folder of the test file. */
export function ruinedModel() {
  const { at, folder } = smallModels();
  const data = (): readonly string[] => ["--data", at("points.csv")];
  const words = (...more: readonly string[]): string[] => [
    "quantize",
    at("outliers.onnx"),
    "-o",
    at("out.onnx"),
    ...more,
  ];

  beforeAll(async () => {
    await save(parseModel(outliers), at("outliers.onnx"));
  });
  return { at, folder, data, words };
}
