/** A loss that is not significant. */
import { writeFileSync } from "node:fs";
import { beforeAll } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { smallModels } from "./small-models.ts";

/** Number of the 200 samples between the class boundary of the original and that after rounding `fc3` to 8 bits: too few to be significant. */
export const lost = 3;

/** Writes a model that loses 3 of 200 predictions, and its samples. */
export function slightLoss() {
  const { at } = smallModels();
  const data = (): readonly string[] => ["--data", at("close.csv")];

  beforeAll(async () => {
    const copies = JSON.stringify(Array.from({ length: 64 }, (_, row) => [row < 32 ? 1 : 0, row < 32 ? 0 : 1]));
    const kept = JSON.stringify(
      Array.from({ length: 64 }, (_, row) => Array.from({ length: 64 }, (_, column) => (row === column ? 1 : 0))),
    );
    const readOut = JSON.stringify(
      [
        [1, 0.2505],
        [0.2525, 1],
      ].map((pair) => Array.from({ length: 64 }, (_, column) => (column % 32 === 0 ? pair[column / 32] : 0))),
    );
    const text = `opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  fc1.weight: float32[64, 2] parameter = ${copies}
  fc2.weight: float32[64, 64] parameter = ${kept}
  fc3.weight: float32[2, 64] parameter = ${readOut}
  a = Gemm "fc1" (features, fc1.weight) {transB=1}
  b = Gemm "fc2" (a, fc2.weight) {transB=1}
  logits = Gemm "fc3" (b, fc3.weight) {transB=1}
}
`;
    await save(parseModel(text), at("close.onnx"));
    // The original answers the first class from a ratio of 1.0027 on, the rounded network from 1 on.
    const rows = Array.from({ length: 200 }, (_, row) => {
      const [ratio, label] = row % 67 === 0 ? [1.0013, 1] : row % 2 === 0 ? [1.5, 0] : [0.5, 1];
      return `${ratio},1,${label}`;
    });
    writeFileSync(at("close.csv"), `a,b,label\n${rows.join("\n")}\n`);
    writeFileSync(
      at("fallback.yaml"),
      "steps:\n  - quantize: { scheme: weights, rounder: nearest }\n    judge: fallback\n",
    );
  });
  return { at, data };
}
