import { describe, expect, test } from "vitest";
import { infer } from "../../core/analysis/infer.ts";
import { allLayers } from "../../core/analysis/layers.ts";
import { allGraphs } from "../../core/graph/graph.ts";
import { parseModel } from "../../core/graph/text.ts";
import { encodedSize } from "../../core/onnx/encode.ts";
import { shortenNames } from "./shorten-names.ts";

const text = `opset 21
graph (image: float32[batch, 2], a: bool[]) -> (class_scores: float32[batch, 2]) {
  head.weight: float32[2, 2] parameter = [[1, 2], [3, 4]]
  "/encoder/shape": int64[2] = [0, 2]
  "/encoder/Relu_output_0" = Relu(image)
  "/encoder/Reshape_output_0" = Reshape("/encoder/Relu_output_0", "/encoder/shape")
  "/encoder/If_output_0" = If(a) {
    then_branch=graph () -> ("/encoder/then") { "/encoder/inner" = Neg("/encoder/Reshape_output_0") "/encoder/then" = Exp("/encoder/inner") },
    else_branch=graph () -> ("/encoder/else") { "/encoder/else" = Abs("/encoder/Reshape_output_0") }
  }
  class_scores = MatMul("/encoder/If_output_0", head.weight)
}`;

const namesIn = (model: ReturnType<typeof parseModel>): readonly string[] =>
  [...allGraphs(model.graph)].flatMap((graph) => [...graph.values()].map(({ name }) => name)).toSorted();

describe("short names", () => {
  test("replace those of computed values and sizes, also in subgraphs, and are distinct from other names", async () => {
    const model = parseModel(text);
    const size = await encodedSize(model);
    await shortenNames(model);
    expect(namesIn(model)).toEqual(
      [
        "image",
        "a",
        "class_scores",
        "head.weight",
        "/encoder/then",
        "/encoder/else",
        "b",
        "c",
        "d",
        "e",
        "f",
      ].toSorted(),
    );
    expect(await encodedSize(model)).toBeLessThan(size - 100);
  });

  test("keep the names of layers", async () => {
    const model = parseModel(text);
    const layerNames = (): readonly string[] => [...allLayers(model, infer(model))].map(({ name }) => name);
    const before = layerNames();
    await shortenNames(model);
    expect(layerNames()).toEqual(before);
  });

  test("change nothing the second time", async () => {
    const model = parseModel(text);
    await shortenNames(model);
    const names = namesIn(model);
    expect((await shortenNames(model)).changes).toEqual([]);
    expect(namesIn(model)).toEqual(names);
  });
});
