import { describe, expect, it } from "vitest";
import { infer } from "../analysis/infer.ts";
import { parseModel } from "../graph/text.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import { atomically } from "./pass.ts";

describe("a pass that changes nothing, or fails", () => {
  const network = () =>
    parseModel(`opset 12
graph (x: float32[n, 2]) -> (y) {
  w: float32[2, 2] parameter = [1, 2, 3, 4]
  h = MatMul(x, w)
  y = Relu(h)
}`);

  it("leaves a model that the next one understands as if there had been none", async () => {
    const model = network();
    const failing = atomically(model, async () => {
      infer(model);
      throw new Error("no");
    });
    await expect(failing).rejects.toThrow("no");
    infer(model);
    expect(model.graph.value("h")?.type?.dims?.[1]).toBe(2);
  });

  it("leaves the operator sets, too, and not those that a pass around it has set", async () => {
    const model = network();
    const nothing = { changes: [], misses: [] };
    await atomically(model, async () => {
      model.header.opsets.set("", 21);
      await atomically(model, async () => {
        model.header.opsets.set("", 22);
        model.graph.addTensor("more", inMemory(float32([], [1])));
        return nothing;
      });
      expect(model.opsets.get("")).toBe(21);
      expect(model.graph.value("more")).toBeUndefined();
      return nothing;
    });
    expect(model.opsets.get("")).toBe(12);
  });
});
