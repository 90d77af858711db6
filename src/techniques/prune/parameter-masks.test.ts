import { describe, expect, test } from "vitest";
import { infer } from "../../core/analysis/infer.ts";
import { layers } from "../../core/analysis/layers.ts";
import { PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel, printModel } from "../../core/graph/text.ts";
import { toNumbers } from "../../core/tensor/convert.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { customFromMask, isPruned, prune, remove } from "./index.ts";

const gemm = `opset 21
graph (x: float32[batch, 3]) -> (y: float32[batch, 2]) {
  fc1.weight: float32[2, 3] = [[1, -2, 3], [-4, 5, -6]]
  fc1.bias: float32[2] = [0.5, -0.25]
  y = Gemm "fc1" (x, fc1.weight, fc1.bias) {transB=1}
}`;

async function failure(action: Promise<unknown>): Promise<string> {
  const error = await action.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof PithError)) throw new Error("no PithError", { cause: error });
  return `${error.code} ${error.message}`;
}

async function numbers(model: Model, name: string): Promise<number[] | undefined> {
  const tensor = model.graph.value(name)?.tensor;
  return tensor === undefined ? undefined : toNumbers(await tensor.read());
}

describe("a mask in the graph", () => {
  test("is reported by the name of its layer if the weight has a generated name", async () => {
    const text = gemm.replaceAll("fc1.weight", "val_62").replaceAll("fc1.bias", "val_63");
    const net = parseModel(text);
    expect((await prune(net, { amount: 0.5, keepMasks: true })).changes.map(({ at }) => at)).toEqual(["fc1"]);
    expect((await remove(net, { layers: "fc1" })).changes.map(({ at }) => at)).toEqual(["fc1"]);
  });

  test("is a Mul with the weight's old name, and is printed with roles", async () => {
    const net = parseModel(gemm);
    const { changes, misses } = await prune(net, { layers: "fc1", amount: 0.5, keepMasks: true });
    expect(changes).toEqual([{ at: "fc1", what: "3 of 6 pruned, 3 of 6 left", decidedBy: "global" }]);
    expect(misses).toEqual([]);
    expect(printModel(net)).toBe(`opset 21
graph (x: float32[batch, 3]) -> (y: float32[batch, 2]) {
  fc1.bias: float32[2] = [0.5, -0.25]
  fc1.weight_orig: float32[2, 3] parameter = [1, -2, 3, -4, 5, -6]
  fc1.weight_mask: float32[2, 3] mask = [0, 0, 0, 1, 1, 1]
  fc1.weight: float32[2, 3] = Mul(fc1.weight_orig, fc1.weight_mask)
  y = Gemm "fc1" (x, fc1.weight, fc1.bias) {transB=1}
}
`);
  });

  test("can be pruned further and folded after the model was written and read", async () => {
    const net = parseModel(gemm);
    await prune(net, { layers: "fc1", amount: 0.33, keepMasks: true });
    const reopened = parseModel(printModel(net));
    expect(isPruned(reopened)).toBe(true);
    await prune(reopened, { layers: "fc1", amount: 0.5, keepMasks: true });
    expect(await numbers(reopened, "fc1.weight_mask")).toEqual([0, 0, 0, 0, 1, 1]);
    await remove(reopened, { layers: "fc1" });
    expect(await numbers(reopened, "fc1.weight")).toEqual([0, 0, 0, 0, 5, -6]);
    expect(reopened.graph.value("fc1.weight")?.role).toEqual({ kind: "parameter" });
    expect(reopened.graph.nodeCount).toBe(1);
    expect(reopened.graph.value("fc1.weight_mask")).toBeUndefined();
    expect(isPruned(reopened)).toBe(false);
  });

  test("does not change the name of the layer", async () => {
    const net = parseModel(gemm);
    await customFromMask(net, { layers: "fc1", mask: float32([2, 3], [1, 1, 1, 1, 1, 1]) });
    expect(layers(net, infer(net)).map((layer) => [layer.name, layer.weight.name])).toEqual([
      ["fc1", "fc1.weight_orig"],
    ]);
  });

  test("has the type of the parameter", async () => {
    const net = parseModel(`opset 21
graph (x: float16[1, 2]) -> (y: float16[1, 1]) {
  fc.weight: float16[2, 1] = [1, 2]
  y = MatMul (x, fc.weight)
}`);
    await prune(net, { layers: "fc", amount: 0.5, keepMasks: true });
    expect(net.graph.value("fc.weight_mask")?.tensor?.type).toBe("float16");
    await remove(net);
    expect(await numbers(net, "fc.weight")).toEqual([0, 2]);
  });

  test("is shared by all nodes that read the weight, also in a subgraph", async () => {
    const net = parseModel(`opset 21
graph (x: float32[1, 2], flag: bool[]) -> (y, z, w) {
  fc.weight: float32[2, 2] = [[1, 2], [3, 4]]
  y = MatMul (x, fc.weight)
  z = MatMul (x, fc.weight)
  w = If(flag) {then_branch=graph () -> (a) { a = MatMul(x, fc.weight) }, else_branch=graph () -> (b) { b = Neg(y) }}
}`);
    const { changes } = await prune(net, { amount: 0.25, keepMasks: true });
    expect(changes.length).toBe(1);
    const product = net.graph.value("fc.weight");
    expect(product?.producer?.op).toBe("Mul");
    expect([...(product?.uses ?? [])].map(({ node }) => node.op)).toEqual(["MatMul", "MatMul", "MatMul"]);
    await remove(net);
    expect(net.graph.value("fc.weight")?.uses.size).toBe(3);
  });

  test("precedes the nodes that read it", async () => {
    const net = parseModel(gemm);
    await prune(net, { amount: 0.5, keepMasks: true });
    net.graph.sort();
    expect([...net.graph.nodes()].map((node) => node.op)).toEqual(["Mul", "Gemm"]);
  });
});

describe("prune, customFromMask and remove", () => {
  test("reject an unknown layer by name", async () => {
    expect(await failure(prune(parseModel(gemm), { layers: "fc9", amount: 1 }))).toMatch(/^E_NAME .*"fc9"/);
  });

  test("reject a mask with invalid values, with another shape, or for an unselected layer", async () => {
    const net = parseModel(gemm);
    expect(await failure(customFromMask(net, { mask: float32([2, 3], [0, 1, 2, 0, 0, 0]) }))).toMatch(
      /^E_OPTION .*0 and 1/,
    );
    expect(await failure(customFromMask(net, { mask: float32([3, 2], [0, 1, 1, 0, 0, 0]) }))).toMatch(
      /^E_SHAPE_MISMATCH/,
    );
    expect(await failure(customFromMask(net, { mask: { fc2: float32([1], [1]) } }))).toMatch(/^E_OPTION .*"fc1"/);
    expect(isPruned(net)).toBe(false);
  });

  test("accept a mask of integers", async () => {
    const net = parseModel(gemm);
    await customFromMask(net, { mask: { fc1: int64([2, 3], [0, 1, 1, 0, 1, 1]) } });
    expect(await numbers(net, "fc1.weight_mask")).toEqual([0, 1, 1, 0, 1, 1]);
  });

  test("skip an integer weight", async () => {
    const net = parseModel(`opset 21
graph (x: float32[1, 2]) -> (y) {
  fc.weight_quantized: int8[2, 2] = [[1, 2], [3, 4]]
  scale: float32[] = 0.5
  fc.weight = DequantizeLinear (fc.weight_quantized, scale)
  y = MatMul (x, fc.weight)
}`);
    const { changes, misses } = await prune(net, { layers: "fc", amount: 0.5 });
    expect(changes).toEqual([]);
    expect(misses).toEqual([{ at: "fc", reason: "its weight is quantized already" }]);
  });

  test("skip a bfloat16 weight with a Cast, because ONNX Runtime would not load its mask", async () => {
    const net = parseModel(`opset 17
graph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {
  fc.weight: bfloat16[2, 2] = [1, 2, 3, 4]
  w = Cast (fc.weight) {to=1}
  y = MatMul "fc" (x, w)
}`);
    for (const scope of ["uniform", "global"]) {
      const { changes, misses } = await prune(net, { amount: 0.5, scope });
      expect(changes).toEqual([]);
      expect(misses).toEqual([{ at: "fc", reason: "its weight is bfloat16, not float32 or float64 or float16" }]);
    }
  });

  test("skip constants of the computation unless they are selected by name", async () => {
    const net = parseModel(`opset 17
graph (x: float32[batch, 8]) -> (y: float32[batch, 3]) {
  fc1.weight: float32[8, 4] = random(seed 1)
  fc2.weight: float32[4, 3] = random(seed 2)
  ones: float32[4, 1] = [1, 1, 1, 1]
  h = MatMul "fc1" (x, fc1.weight)
  squares = Mul (h, h)
  sum = MatMul "sum" (squares, ones)
  norm = Sqrt (sum)
  normed = Div (h, norm)
  y = MatMul "fc2" (normed, fc2.weight)
}`);
    for (const scope of ["uniform", "global"]) {
      const { changes, misses } = await prune(net.clone(), { amount: 0.5, scope });
      expect(changes.map(({ at }) => at)).toEqual(["fc1", "fc2"]);
      expect(misses).toEqual([{ at: "sum", reason: "its weight contains constants, which are not trained" }]);
    }
    await prune(net, { amount: 0.5 });
    expect(await numbers(net, "ones")).toEqual([1, 1, 1, 1]);
    await prune(net, { amount: 0.5, layers: "sum" });
    expect(await numbers(net, "ones")).toEqual([0, 0, 1, 1]);
  });

  test("skip both weights of a tied pair", async () => {
    const net = parseModel(`opset 21
graph (x: float32[1, 2]) -> (y) {
  a.weight: float32[2, 2] parameter = [[1, 2], [3, 4]]
  b.weight: float32[2, 2] tied(a.weight, transposed) = [[1, 3], [2, 4]]
  h = MatMul (x, a.weight)
  y = MatMul (h, b.weight)
}`);
    const { misses } = await prune(net, { amount: 0.5 });
    expect(misses.map(({ at, reason }) => [at, reason])).toEqual([
      ["a", 'its weight is tied to "b.weight"'],
      ["b", 'its weight is tied to "a.weight"'],
    ]);
  });

  test("reject removing a missing mask that is named, and skip it otherwise", async () => {
    const net = parseModel(gemm);
    expect(await failure(remove(net, { layers: "fc1" }))).toBe('E_OPTION Nothing to remove: "fc1" is not pruned.');
    expect((await remove(net)).misses.map(({ reason }) => reason)).toEqual(["the model has no masks"]);
  });
});

test("random importance follows the seed, also on a pruned model", async () => {
  const draw = async (seed: number): Promise<string> => {
    const net = parseModel(gemm);
    for (let round = 0; round < 2; round++)
      await prune(net, { amount: 0.34, importance: "random", keepMasks: true }, { seed });
    return String(await numbers(net, "fc1.weight_mask"));
  };
  expect(await draw(3)).toBe(await draw(3));
  const all = await Promise.all(Array.from({ length: 10 }, (_, seed) => draw(seed)));
  expect(new Set(all).size).toBeGreaterThan(3);
});
