import { expect, test } from "vitest";
import { parseModel } from "../../../core/graph/text.ts";
import { float32 } from "../../../core/tensor/dense.ts";
import { createStep } from "../step.ts";
import { imitation } from "./imitation.ts";

/** A detector that outputs stored boxes and scores. */
const detector = (boxes: readonly number[], scores: readonly number[]) =>
  parseModel(`opset 18
graph (nothing: float32[N, 1, 1]) -> (y: float32[N, 3, 2]) {
  boxes: float32[1, 2, 2] parameter = ${JSON.stringify(boxes)}
  scores: float32[1, 1, 2] parameter = ${JSON.stringify(scores)}
  b = Add(boxes, nothing)
  s = Add(scores, nothing)
  y = Concat(b, s) {axis=1}
}`);

test("the loss of an output of several parts is the mean of the relative noise of its parts", async () => {
  const [original, student] = [detector([300, 400, 0, 0], [0.6, 0.8]), detector([300, 450, 0, 0], [0.6, 0.3])];
  const batch = { nothing: float32([1, 1, 1], [0]) };
  const step = await createStep(student, batch, { loss: imitation(original), parameters: ["boxes", "scores"] });
  try {
    // (50² / 500² + 0.5² / 1²) / 2
    expect(await step.run(batch)).toBeCloseTo((0.01 + 0.25) / 2, 5);
    const gradients = new Map(step.parameters.map(({ name, gradient }) => [name, [...gradient]]));
    expect(gradients.get("boxes")?.[1]).toBeCloseTo(50 / 500 ** 2, 6);
    expect(gradients.get("scores")?.[1]).toBeCloseTo(-0.5, 5);
  } finally {
    await step.release();
  }
});
