/** Tests the scheme "float16": half of the bytes, and float32 arithmetic. */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { fromNumbers, toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory, int64 } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { sgd, train } from "../../../src/learn/train/index.ts";
import { prune, remove } from "../../../src/techniques/prune/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { cnn, difference, layerNames, mlp, numbersFor, reopened, run, stored } from "./networks.ts";

const rounded = (values: readonly number[]): number[] => toNumbers(fromNumbers("float16", [values.length], values));

describe("float16 weights", () => {
  test("are the nearest float16 values, with the same names of tensors and layers", async () => {
    const model = mlp();
    const before = await stored(model, "fc1.weight");
    const { changes, misses } = await quantize(model, { scheme: "float16" });
    assertValid(model);
    expect(misses).toEqual([]);
    expect(changes.map(({ at }) => at)).toEqual(["fc1", "fc2"]);
    const after = await stored(model, "fc1.weight");
    expect(after.type).toBe("float16");
    expect(toNumbers(after)).toEqual(rounded(toNumbers(before)));
    expect(layerNames(model)).toEqual(layerNames(mlp()));
  });

  test("compute the same as float32 weights with rounded values", async () => {
    const model = cnn();
    const expected = cnn();
    for (const value of expected.graph.values()) {
      if (value.tensor?.type !== "float32" || !/weight/.test(value.name)) continue;
      const dense = await value.tensor.read();
      value.tensor = inMemory(float32(dense.dims, rounded(toNumbers(dense))));
    }
    await quantize(model, { scheme: "float16", layers: "conv*,fc" });
    const x = numbersFor([2, 3, 8, 8]);
    expect(difference(await run(expected, { x }), await run(model, { x }))).toBeLessThan(1e-3);
    expect(difference(await run(cnn(), { x }), await run(model, { x }))).toBeGreaterThan(0);
    expect(await run(await reopened(model), { x })).toEqual(await run(model, { x }));
  });

  test("in bfloat16 keep the range of float32, and are widened when read", async () => {
    const model = parseModel(`opset 11
graph (x: float32[n, 2]) -> (y: float32[n, 2]) {
  fc.weight: float32[2, 2] = [[1e-9, 2.001], [70000, 3e38]]
  y = MatMul(x, fc.weight)
}`);
    const weight = await stored(model, "fc.weight");
    const { changes, misses } = await quantize(model, { scheme: "bfloat16" });
    assertValid(model);
    expect([changes, misses]).toMatchObject([[{ at: "fc", what: "stored as bfloat16" }], []]);
    const after = await stored(model, "fc.weight");
    expect(after).toEqual(fromNumbers("bfloat16", [2, 2], toNumbers(weight)));
    const x = float32([2, 2], [1, 0, 0, 1]);
    for (const runtime of ["native", "wasm"] as const) {
      const session = await createEngine({ runtime }).load(await reopened(model), { threads: 1 });
      const { y } = await session.run({ x });
      await session.release();
      expect(y && toNumbers(y)).toEqual(toNumbers(after));
    }
    await expect(quantize(mlp(), { scheme: "bfloat16", rounder: "mse" })).rejects.toThrow(
      "bfloat16 always rounds to nearest",
    );
  });

  test("take half of the bytes, also in embedding tables", async () => {
    const model = parseModel(`opset 17
graph (ids: int64[n]) -> (y: float32[n, 64]) {
  table: float32[1000, 64] = random(seed 1)
  y = Gather(table, ids)
}`);
    const before = (await encodeToBytes(model)).length;
    expect((await quantize(model, { scheme: "float16" })).changes.map(({ at }) => at)).toEqual(["y"]);
    const after = (await encodeToBytes(model)).length;
    expect(after / before).toBeLessThan(0.51);
    expect(await run(model, { ids: int64([2], [1, 999]) })).toHaveLength(128);
  });

  test("are not used for values below the range of float16, or for scales", async () => {
    const model = parseModel(`opset 17
graph (x: float32[n, 2]) -> (y: float32[n, 2]) {
  fc.weight: float32[2, 2] = [[1e-9, 2e-9], [3e-9, 1e-9]]
  by: float32[] = 1e9
  h = MatMul(x, fc.weight)
  y = Mul(h, by)
}`);
    const { changes, misses } = await quantize(model, { scheme: "float16" });
    expect(changes).toEqual([]);
    expect(misses).toMatchObject([{ at: "fc", reason: "it is too small: float16 would lose 100 % of it" }]);
    const coded = mlp();
    await quantize(coded, { scheme: "weights" });
    const before = structureHash(coded);
    await quantize(coded, { scheme: "float16" });
    expect(structureHash(coded)).toBe(before);
  });

  test("take half of the bytes of a masked model, whose masks are folded in", async () => {
    const model = mlp();
    const before = (await encodeToBytes(mlp())).length;
    await prune(model, { amount: 0.5, keepMasks: true });
    const expected = model.clone();
    await remove(expected);
    await quantize(expected, { scheme: "float16" });
    await quantize(model, { scheme: "float16" });
    assertValid(model);
    expect([...model.graph.values()].filter(({ role }) => role?.kind === "mask")).toEqual([]);
    expect((await encodeToBytes(model)).length).toBeLessThan(before);
    const x = numbersFor([2, 12]);
    expect(await run(model, { x })).toEqual(await run(expected, { x }));
  });

  test("are used for the selected layers only", async () => {
    const model = mlp();
    await quantize(model, { scheme: "float16", layers: "fc2" });
    expect([(await stored(model, "fc1.weight")).type, (await stored(model, "fc2.weight")).type]).toEqual([
      "float32",
      "float16",
    ]);
  });

  test("are used beside an excepted node without a weight", async () => {
    const { changes } = await quantize(mlp(), { scheme: "float16", except: "Relu" });
    expect(changes.map(({ at }) => at)).toEqual(["fc1", "fc2"]);
  });

  test("are not used for values that would become infinite", async () => {
    const model = parseModel(`opset 17
graph (x: float32[n, 2]) -> (y: float32[n, 2]) {
  fc.weight: float32[2, 2] = [[1, 2], [3, 70000]]
  y = MatMul(x, fc.weight)
}`);
    const before = structureHash(model);
    const { changes, misses } = await quantize(model, { scheme: "float16" });
    expect(changes).toEqual([]);
    expect(misses).toMatchObject([{ at: "fc", reason: "it contains 7.00e+4; the largest float16 is 65,504" }]);
    expect(structureHash(model)).toBe(before);
  });
});

test.each(["float16", "bfloat16"] as const)(
  "training accumulates steps smaller than the last digit of a %s parameter",
  async (type) => {
    const weights = fromNumbers(type, [4, 2], [1, 1, 1, 1, 1, 1, 1, 1]);
    const network = (): ReturnType<typeof parseModel> => {
      const model = parseModel(`opset 17
graph (x: float32[n, 4]) -> (y: float32[n, 2]) {
  fc.weight: float32[4, 2] = ones
  w = Cast(fc.weight) {to=1}
  y = MatMul(x, w)
}`);
      const value = model.graph.value("fc.weight");
      if (value === undefined) throw new Error("no weight");
      value.tensor = inMemory(weights);
      value.type = { type, dims: [4, 2] };
      return model;
    };
    const data = memory("rows", {
      x: float32(
        [64, 4],
        Float32Array.from({ length: 256 }, (_, index) => Math.sin(index)),
      ),
      label: int64(
        [64],
        Array.from({ length: 64 }, (_, index) => Number(Math.sin(4 * index) > 0)),
      ),
    });
    const after = async (epochs: number): Promise<number[]> => {
      const model = network();
      await train(model, { data, epochs, batch: 16, optimizer: sgd(), learningRate: 1e-4, schedule: "constant" });
      const dense = await stored(model, "fc.weight");
      expect(dense.type).toBe(type);
      return toNumbers(dense);
    };
    expect(await after(1)).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
    expect(await after(200)).not.toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
  },
);
