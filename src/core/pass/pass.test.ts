import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { infer } from "../analysis/infer.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { parseModel } from "../graph/text.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import { definePass } from "./pass.ts";
import { modelOption } from "./path-options.ts";
import { atomically } from "./run-pass.ts";

const network = () =>
  parseModel(`opset 12
graph (x: float32[n, 2]) -> (y) {
  w: float32[2, 2] parameter = [1, 2, 3, 4]
  h = MatMul(x, w)
  y = Relu(h)
}`);

describe("a pass on a model that another pass changes", () => {
  const nothing = { changes: [], misses: [] };
  const options = v.strictObject({});
  const simple = definePass({ id: "simple", summary: "", options, run: async () => nothing });
  const nested = definePass({
    id: "nested",
    summary: "",
    options,
    run: async (model, _, context) => simple(model, {}, { ...context, log: () => {} }),
  });

  it("throws until the other pass has finished", async () => {
    const model = network();
    const context = { seed: 1 };
    const first = nested(model, {}, context);
    await expect(simple(model, {}, context)).rejects.toThrow("simple: another pass is changing this model.");
    await expect(simple(model.clone(), {}, context)).resolves.toBe(nothing);
    await expect(first).resolves.toBe(nothing);
    await expect(simple(model)).resolves.toBe(nothing);
  });

  it("runs after the other pass has failed", async () => {
    const model = network();
    const run = async (): Promise<typeof nothing> => Promise.reject(new Error("no"));
    await expect(definePass({ id: "failing", summary: "", options, run })(model)).rejects.toThrow("no");
    await expect(nested(model)).resolves.toBe(nothing);
  });
});

describe("models in options of a pass", () => {
  const received: (Model | undefined)[] = [];
  const comparing = definePass({
    id: "comparing",
    summary: "",
    reference: "original",
    options: v.strictObject({
      original: v.optional(modelOption()),
      others: v.optional(v.array(modelOption())),
      note: v.optional(v.string()),
    }),
    async run(_model, { original, others = [], note }) {
      received.splice(0, received.length, original, ...others);
      return { changes: [], misses: [new Miss(note ?? "")] };
    },
  });
  const models = new Map(["original", "a.onnx", "b.onnx"].map((name) => [name, network()]));
  const open = async (name: string): Promise<Model> => {
    const model = models.get(name);
    if (model === undefined) throw new PithError("E_FILE", `There is no ${name}.`);
    return model;
  };

  it("opens named models before the run, but not other texts", async () => {
    const model = network();
    await comparing(network(), { original: "a.onnx", others: ["b.onnx", model], note: "a.onnx" }, { open });
    expect(received).toEqual([models.get("a.onnx"), models.get("b.onnx"), model]);
    await expect(comparing(network(), { original: "c.onnx" }, { open })).rejects.toThrow("There is no c.onnx.");
  });

  it("uses the original that the context knows by default", async () => {
    await comparing(network(), {}, { open });
    expect(received).toEqual([models.get("original")]);
    await comparing(network(), {}, { open: async () => open("") });
    expect(received).toEqual([undefined]);
  });
});

describe("atomically", () => {
  it("restores a model that can be inferred after the pass fails", async () => {
    const model = network();
    const failing = atomically(model, async () => {
      infer(model);
      throw new Error("no");
    });
    await expect(failing).rejects.toThrow("no");
    infer(model);
    expect(model.graph.value("h")?.type?.dims?.[1]).toBe(2);
  });

  it("restores the operator sets if nothing changed, but not those of an outer pass", async () => {
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
