/** Searches of `pith compress`. */
import { beforeAll } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { outliers } from "../../outliers.ts";
import { pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

/** Searches a small model, which lies in a folder of the test file. */
export function preparedSearch() {
  const { at } = smallModels();
  const searching = (out: string, ...more: readonly string[]) =>
    pith("compress", at("outliers.onnx"), "--data", at("points.csv"), ...more, "-o", out);

  beforeAll(async () => {
    await save(parseModel(outliers), at("outliers.onnx"));
  });
  return { at, searching };
}
