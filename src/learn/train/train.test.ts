import { describe, expect, it } from "vitest";
import { type GoldenTensor, golden, goldenNumbers } from "../../../test/shared.ts";
import { structureHash } from "../../core/graph/structure-hash.ts";
import { parseModel } from "../../core/graph/text.ts";
import { encodeToBytes } from "../../core/onnx/encode.ts";
import { open } from "../../core/onnx/index.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { float32, inMemory, int64 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { memory } from "../../data/index.ts";
import { linear, network, relu } from "../nn/index.ts";
import type { Loss } from "./loss.ts";
import { crossEntropy } from "./losses/cross-entropy.ts";
import { sgd } from "./optimizers.ts";
import { createStep } from "./step.ts";
import { train } from "./train.ts";

/** Returns points of three classes, each scattered around a corner. */
function corners(count: number) {
  const numbers = random(3, "corners");
  const labels = Array.from({ length: count }, () => numbers.integer(3));
  const points = labels.flatMap((label) => [0, 1, 2].map((axis) => numbers.normal(axis === label ? 2 : 0, 0.5)));
  return memory("corners", { input: float32([count, 3], points), label: int64([count], labels) });
}

const data = corners(240);
const net = () => network({ fc1: linear(3, 8), relu: relu(), fc2: linear(8, 3) }, { input: ["batch", 3], seed: 1 });

describe("train", () => {
  it.each(["adam", "sgd"] as const)("lowers the loss with %s", async (optimizer) => {
    const { history } = await train(net(), { data, epochs: 8, batch: 16, optimizer, learningRate: 0.05 });
    expect(history).toHaveLength(8);
    expect(history[7]?.loss).toBeLessThan(0.4 * (history[0]?.loss ?? 0));
  });

  it("trains on a share of the samples for a share of a pass", async () => {
    const { training, history } = await train(net(), { data, epochs: 0.25, batch: 16 });
    expect([training?.samples, history.length]).toEqual([Math.ceil((data.count ?? 0) / 4), 1]);
    await expect(train(net(), { data, epochs: 1.5 })).rejects.toMatchObject({ code: "E_OPTION" });
  });

  it("is reproducible by the seed", async () => {
    const weights = async (seed: number) => {
      const model = net();
      await train(model, { data, epochs: 2, batch: 32 }, { seed });
      return (await model.graph.value("fc1.weight")?.tensor?.read())?.data;
    };
    const [first, again, other] = [await weights(1), await weights(1), await weights(2)];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });

  it("trains only the selected layers", async () => {
    const model = net();
    const before = model.graph.value("fc1.weight")?.tensor;
    const { changes } = await train(model, { data, epochs: 1, layers: "fc2" });
    expect(changes.map(({ at }) => at)).toEqual(["fc2.weight", "fc2.bias"]);
    expect(model.graph.value("fc1.weight")?.tensor).toBe(before);
  });

  it("trains a weight in a Constant node", async () => {
    const text = (weight: string) => `opset 21
graph (input: float32[batch, 3]) -> (y) {
  ${weight}
  y = MatMul(input, w)
}`;
    const inNode = parseModel(text("w = Constant() {value=float32[3, 3] [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}"));
    const stored = parseModel(text("w: float32[3, 3] = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]"));
    const losses = async (model: typeof stored) =>
      (await train(model, { data, epochs: 2, batch: 16 })).history.map(({ loss }) => loss);
    expect(await losses(inNode)).toEqual(await losses(stored));
    expect(await inNode.graph.value("w")?.tensor?.read()).toEqual(await stored.graph.value("w")?.tensor?.read());
    expect([...inNode.graph.nodes()].map(({ op }) => op)).toEqual(["MatMul"]);
  });

  it("excludes layers by except but trains their normalization", async () => {
    const model = parseModel(`opset 21
graph (input: float32[batch, 3, 2]) -> (y) {
  conv.weight: float32[3, 3, 1] = random(seed 1)
  bn.scale: float32[3] = ones
  bn.shift: float32[3] = zeros
  bn.mean: float32[3] = zeros
  bn.variance: float32[3] = ones
  fc.weight: float32[3, 6] = random(seed 2)
  c = Conv "conv" (input, conv.weight)
  n = BatchNormalization "bn" (c, bn.scale, bn.shift, bn.mean, bn.variance)
  f = Flatten (n)
  y = Gemm "fc" (f, fc.weight) {transB=1}
}`);
    const points = memory("points", {
      input: float32([6, 3, 2], new Float32Array(36).fill(0.5)),
      label: int64([6], [0, 1, 2, 0, 1, 2]),
    });
    const { changes } = await train(model, { data: points, epochs: 1, except: "conv" });
    expect(changes.map(({ at }) => at).toSorted()).toEqual(["bn.scale", "bn.shift", "fc.weight"]);
  });

  it("reuses one loss for several models", async () => {
    const loss = crossEntropy();
    const continued = net();
    continued.graph.rename(continued.graph.outputs[0] ?? continued.graph.addValue("none"), "target");
    await train(continued, { data, epochs: 1, batch: 16, loss });
    const { history } = await train(net(), { data, epochs: 1, batch: 32, loss });
    expect(history[0]?.steps).toBe(7);
  });

  it("trains a weight that is read twice, once transposed, as one", async () => {
    const model = parseModel(`opset 21
graph (input: float32[batch, 3]) -> (y) {
  w: float32[3, 3] = random(seed 1)
  h = MatMul "there" (input, w)
  wt = Transpose (w) {perm=[1, 0]}
  y = MatMul "back" (h, wt)
}`);
    const { history, changes } = await train(model, { data, epochs: 4, batch: 16, learningRate: 0.05 });
    expect(changes.map(({ at }) => at)).toEqual(["w"]);
    expect(history[3]?.loss).toBeLessThan(history[0]?.loss ?? 0);
    expect([...model.graph.nodes()].map(({ op }) => op)).toEqual(["MatMul", "Transpose", "MatMul"]);
  });

  it("trains float64 networks in float64", async () => {
    const model = parseModel(`opset 21
graph (input: float64[batch, 3]) -> (y) {
  w: float64[3, 3] = random(seed 1)
  y = MatMul (input, w)
}`);
    const { history } = await train(model, { data, epochs: 4, batch: 16, learningRate: 0.05 });
    expect(history[3]?.loss).toBeLessThan(history[0]?.loss ?? 0);
    expect(model.graph.value("w")?.tensor?.type).toBe("float64");
  });

  it("trains a float16 network and stores float16 weights", async () => {
    const model = parseModel(`opset 21
graph (input: float16[batch, 3]) -> (y) {
  w: float16[3, 3] = zeros
  y = MatMul (input, w)
}`);
    const { history } = await train(model, { data, epochs: 4, batch: 16, learningRate: 0.05 });
    expect(history[3]?.loss).toBeLessThan(0.5 * (history[0]?.loss ?? 0));
    expect(model.graph.value("w")?.tensor?.type).toBe("float16");
  });

  it("rejects integer weights by type", async () => {
    const model = parseModel(`opset 21
graph (input: int32[batch, 3]) -> (y: int32[batch, 3]) {
  w: int32[3, 3] = zeros
  y = MatMul (input, w)
}`);
    await expect(train(model, { data })).rejects.toMatchObject({
      code: "E_TYPE_MISMATCH",
      message: expect.stringContaining("its weights are int32"),
    });
  });

  it("trains a checkpoint as an ordinary model", async () => {
    const model = net();
    await train(model, { data, epochs: 1 });
    const reopened = await open(await encodeToBytes(model));
    expect(reopened.graph.value("fc1.weight")?.role).toEqual({ kind: "parameter" });
    const { history } = await train(reopened, { data, epochs: 1 });
    expect(history[0]?.loss).toBeGreaterThan(0);
  });

  it("reports progress", async () => {
    const reports: (readonly [number, number | undefined])[] = [];
    const texts: string[] = [];
    await train(
      net(),
      { data, epochs: 2, batch: 80 },
      { progress: (done, total) => reports.push([done, total]), log: ({ text }) => texts.push(text) },
    );
    expect(reports.at(-1)).toEqual([6, 6]);
    expect(texts).toHaveLength(2);
  });

  it("stops between steps on the signal", async () => {
    const controller = new AbortController();
    const progress = () => controller.abort();
    await expect(train(net(), { data, epochs: 9 }, { signal: controller.signal, progress })).rejects.toMatchObject({
      code: "E_STOPPED",
    });
  });

  it("fails with the step if the loss is NaN", async () => {
    await expect(train(net(), { data, epochs: 5, optimizer: "sgd", learningRate: 1e30 })).rejects.toMatchObject({
      code: "E_DIVERGED",
    });
  });

  it("leaves the model unchanged if the loss becomes NaN in a later epoch", async () => {
    const model = net();
    const before = structureHash(model);
    const schedule = (step: number): number => (step < 4 ? 1 : 1e30);
    const failed = train(model, { data, epochs: 5, batch: 80, optimizer: "sgd", learningRate: 0.1, schedule });
    await expect(failed).rejects.toMatchObject({ code: "E_DIVERGED" });
    expect(structureHash(model)).toBe(before);
  });

  it("rejects labels outside the classes", async () => {
    const wrong = memory("wrong", { input: float32([2, 3], [1, 2, 3, 4, 5, 6]), label: int64([2], [0, 3]) });
    await expect(train(net(), { data: wrong })).rejects.toMatchObject({
      code: "E_DATA",
      message: expect.stringContaining("expected a class from 0 to 2"),
    });
  });

  it("rejects data without labels", async () => {
    const bare = memory("bare", { input: float32([2, 3], [1, 2, 3, 4, 5, 6]) });
    await expect(train(net(), { data: bare })).rejects.toMatchObject({ code: "E_DATA" });
  });

  it("rejects a batch size that a constant of the model contradicts", async () => {
    const model = parseModel(`opset 21
graph (input: float32[1, 3]) -> (y: float32[1, 3]) {
  shape: int64[2] = [1, 3]
  w: float32[3, 3] = random(seed 1)
  r = Reshape (input, shape)
  y = MatMul (r, w)
}`);
    await expect(train(model, { data, batch: 4 })).rejects.toMatchObject({ code: "E_SHAPE_MISMATCH" });
  });

  it("trains old models with batch 1 at any batch size", async () => {
    const model = parseModel(`opset 9
graph (input: float32[1, 3, 1]) -> (y: float32[1, 3]) {
  w: float32[3, 3] = random(seed 1)
  b: float32[3] = zeros
  f = Flatten (input) {axis=1}
  y = Gemm (f, w, b) {transB=1}
}`);
    const { history } = await train(model, { data, epochs: 6, batch: 16, learningRate: 0.05 });
    expect(history[5]?.loss).toBeLessThan(history[0]?.loss ?? 0);
    expect(model.opsets.get("")).toBe(9);
    expect(model.graph.inputs[0]?.type?.dims).toEqual([1, 3, 1]);
  });
});

interface MaskedRun {
  readonly weight: GoldenTensor;
  readonly mask: GoldenTensor;
  readonly x: GoldenTensor;
  readonly steps: readonly { readonly grad: GoldenTensor; readonly orig: GoldenTensor }[];
}

const masked = golden<{ training: MaskedRun }>("prune-compat")?.training;

describe.skipIf(masked === undefined)("a masked weight trained with momentum and decay", () => {
  it("moves as in PyTorch: the mask applies to the gradient but not to the decay", async () => {
    if (masked === undefined) return;
    const model = parseModel(`opset 21
graph (x: float32[3, 7]) -> (y) {
  weight_orig: float32[5, 7] parameter = zeros
  weight_mask: float32[5, 7] mask = ones
  weight = Mul (weight_orig, weight_mask)
  y = Gemm (x, weight) {transB=1}
}`);
    const put = (name: string, tensor: GoldenTensor) => {
      const value = model.graph.value(name);
      if (value !== undefined) value.tensor = inMemory(float32(tensor.shape, goldenNumbers(tensor)));
    };
    put("weight_orig", masked.weight);
    put("weight_mask", masked.mask);
    const sumOfSquares: Loss = {
      name: "sum of squares",
      build: ({ emit, outputs }) => {
        const [y] = outputs.values();
        if (y === undefined) throw new Error("no output");
        return { value: emit.ReduceSum([emit.Mul([y, y])], { keepdims: 0 }), feeds: () => ({}) };
      },
    };
    const batch = { x: float32(masked.x.shape, goldenNumbers(masked.x)) };
    const step = await createStep(model, batch, { loss: sumOfSquares }, completeContext());
    const optimizer = sgd({ momentum: 0.9, weightDecay: 0.01 });
    for (const expected of masked.steps) {
      await step.run(batch);
      optimizer.update(step.parameters, 0.1);
      const [parameter] = step.parameters;
      goldenNumbers(expected.orig).forEach((value, index) => {
        expect(Math.abs((parameter?.values[index] ?? Number.NaN) - value)).toBeLessThan(
          1e-4 * Math.max(1, Math.abs(value)),
        );
      });
    }
    await step.release();
  });
});

describe("momentum carried by the step graph", () => {
  it("yields the same weights as momentum in the optimizer", async () => {
    const [batch] = [
      {
        input: float32(
          [16, 3],
          new Float32Array(48).map((_, i) => Math.cos(i)),
        ),
        label: int64(
          [16],
          Array.from({ length: 16 }, (_, i) => i % 3),
        ),
      },
    ];
    const trained = async (carry: number | undefined) => {
      const step = await createStep(net(), batch, { loss: crossEntropy(), carry });
      const optimizer = sgd({ momentum: 0.9 });
      for (let index = 0; index < 6; index++) {
        await step.run(batch);
        optimizer.update(step.parameters, 0.1 / (1 + index));
      }
      await step.release();
      return step.parameters.map(({ values, carried }) => ({ values: Array.from(values), carried }));
    };
    const [inGraph, separate] = [await trained(sgd({ momentum: 0.9 }).carry), await trained(undefined)];
    inGraph.forEach(({ values, carried }, index) => {
      expect([carried, separate[index]?.carried]).toEqual([true, false]);
      values.forEach((value, position) => {
        expect(value).toBeCloseTo(separate[index]?.values[position] ?? Number.NaN, 5);
      });
    });
  });

  it("computes no gradient for a parameter that only selects between others", async () => {
    const model = parseModel(`opset 21
graph (input: float32[batch, 3]) -> (y) {
  w: float32[3, 3] = random(seed 1)
  gate: float32[3, 3] parameter = random(seed 2)
  zero: float32[] = [0]
  h = MatMul (input, w)
  g = MatMul (input, gate)
  open = Greater (g, zero)
  y = Where (open, h, zero)
}`);
    const messages: string[] = [];
    const log = ({ id, text }: { id: string; text: string }): void => void (id === "untrained" && messages.push(text));
    const { changes } = await train(model, { data, epochs: 1, optimizer: "sgd" }, { log });
    expect(changes.map(({ at }) => at)).toEqual(["w"]);
    expect(messages).toEqual([
      expect.stringContaining('"gate" is not trained: the loss depends on it only through Where "'),
    ]);
  });

  it("is applied by the optimizer with weight decay", () => {
    expect(sgd({ momentum: 0.9, weightDecay: 0.01 }).carry).toBeUndefined();
    expect(sgd().carry).toBeUndefined();
  });
});
