import { describe, expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import {
  type Identity,
  type InitialIdentity,
  requireSameTensors,
  requireSameTraining,
  trainedSizes,
} from "./checkpoint.ts";

const model = parseModel(`opset 21
graph (x: float32[n, 2]) -> (y: float32[n, 2]) {
  w: float32[2, 2] parameter = [[1, 2], [3, 4]]
  y = MatMul(x, w)
}
`);
const now: InitialIdentity = { nodes: 1, settings: { clip: null, weightDecay: 0.5 }, samples: null, first: "00000000" };
const trained = trainedSizes(model, ["w", "made on the way"]);
const same: Identity = { ...now, trained };

describe("the identity of a training", () => {
  test("accepts an equal identity, also after JSON", () => {
    expect(trained).toEqual({ w: "[2, 2]" });
    const reread = JSON.parse(JSON.stringify(same)) as Identity;
    expect(() => requireSameTraining({ path: "last.onnx" }, reread, now, model)).not.toThrow();
    expect(() => requireSameTensors({ path: "last.onnx" }, reread, trained)).not.toThrow();
    expect(() => requireSameTraining({ path: "last.onnx" }, { ...same, settings: {} }, now, model)).not.toThrow();
  });

  test.each<[Partial<InitialIdentity>, string]>([
    [{ nodes: 2 }, "is a checkpoint of another model: it has 2 nodes, not 1."],
    [{ settings: { clip: 1 } }, "was trained with `clip` 1, not without."],
    [{ settings: { weightDecay: null } }, "was trained without `weightDecay`, not with 0.5."],
    [{ samples: 20 }, "was trained on 20 samples, not a stream."],
    [{ first: "ffffffff" }, "was trained on other samples: the first sample differs"],
  ])("rejects %j", (before, message) => {
    expect(() => requireSameTraining({ path: "last.onnx" }, { ...same, ...before }, now, model)).toThrow(message);
  });

  test("rejects more or fewer tensors", () => {
    expect(() => requireSameTensors({ path: "last.onnx" }, { ...same, trained: {} }, trained)).toThrow(
      'without "w", which is trained now',
    );
    expect(() => requireSameTensors({ path: "last.onnx" }, same, {})).toThrow('with "w", which is not trained now');
  });
});
