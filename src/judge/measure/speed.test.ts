import { expect, it } from "vitest";
import type { Engine } from "../../core/engine/index.ts";
import { PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { measureSpeed } from "./speed.ts";

const model = (op: string, weightBytes: number): Model => {
  const parsed = parseModel(`opset 21 graph (x: float32[4]) -> (y: float32[4]) { y = ${op}(x) }`);
  const weight = { type: "float32", dims: [weightBytes / 4], bytes: weightBytes, small: undefined } as const;
  const read = () => Promise.reject(new Error("The weight was read."));
  parsed.graph.addTensor("weight", { ...weight, stored: undefined, read });
  return parsed;
};

it("times models up to 4 GB, and says that larger ones are not timed", async () => {
  const engine: Engine = { load: () => Promise.reject(new PithError("E_ENGINE", "It was loaded.")) };
  const speedOf = (bytes: number) =>
    measureSpeed(model("Neg", 4), { model: model("Abs", bytes), path: "a.onnx" }, completeContext({ engine }));
  expect(await speedOf(4e9)).toMatchObject({ unmeasured: "It was loaded" });
  expect(await speedOf(4e9 + 4)).toMatchObject({ unmeasured: "the model has more than 4.00 GB" });
});
