/** Models to factorize, what they store and what they answer. */
import { cost as costOf } from "../../../src/core/analysis/cost.ts";
import { infer } from "../../../src/core/analysis/infer.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { toFloat64 } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { dimValue, elementCount } from "../../../src/core/tensor/dims.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { linear, network, relu } from "../../../src/learn/nn/index.ts";
import { value } from "../../find.ts";
import { topology } from "../../zoo/topologies.ts";

export { factorize } from "../../../src/techniques/factorize/factorize.ts";

/** A layer that can be exact at rank 1. */
export function rankOne(): Model {
  const model = parseModel(`opset 17
graph (x: float32[batch, 32]) -> (y: float32[batch, 32]) {
  fc.weight: float32[32, 32] = random(seed 1)
  y = MatMul(x, fc.weight)
}`);
  setWeight(model, "fc.weight", (at) => Math.sin(Math.floor(at / 32)) * (at % 32));
  return model;
}

export const mlp = (): Model =>
  network({ fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) }, { input: ["batch", 784], seed: 1 });

export const convolutions = (): Model =>
  parseModel(`opset 17
graph (x: float32[batch, 8, 12, 12]) -> (y: float32[batch, 4]) {
  a.weight: float32[16, 8, 3, 3] = random(seed 1)
  b.weight: float32[16, 16, 3, 3] = random(seed 2)
  c.weight: float32[24, 16, 1, 1] = random(seed 3)
  d.weight: float32[4, 24] = random(seed 4)
  h = Conv "a" (x, a.weight) {pads=[1, 1, 1, 1], strides=[2, 2]}
  i = Conv "b" (h, b.weight) {pads=[1, 1, 1, 1]}
  j = Conv "c" (i, c.weight)
  k = GlobalAveragePool(j)
  l = Flatten(k)
  y = Gemm "d" (l, d.weight) {transB=1}
}`);

/** Replaces the numbers of a stored value. */
export function setWeight(model: Model, name: string, numberAt: (index: number) => number): void {
  const stored = value(model, name);
  const shape = dims(model, name) ?? [];
  stored.tensor = inMemory(
    float32(
      [...shape],
      Float32Array.from({ length: elementCount(shape) }, (_, at) => numberAt(at)),
    ),
  );
}

/** Normal numbers for the inputs of a topology. */
export function inputsOf(name: string): Batch {
  const numbers = random(1, "inputs");
  return Object.fromEntries(
    Object.entries(topology(name).inputs).map(([input, dims]) => [
      input,
      float32(
        dims,
        Float32Array.from({ length: elementCount(dims) }, () => numbers.normal()),
      ),
    ]),
  );
}

export async function run(model: Model, feeds: Batch): Promise<readonly number[]> {
  const session = await createEngine().load(model);
  const outputs = await session.run(feeds);
  await session.release();
  return Object.values(outputs).flatMap((output) => [...toFloat64(output)]);
}

/** Returns the multiply-accumulates for one sample. */
export const macsOf = (model: Model): number => {
  const { macs } = costOf(model, infer(model));
  return typeof macs === "number" ? macs : (dimValue(macs ?? 0, { batch: 1 }) ?? Number.NaN);
};

/** How many numbers the model stores, besides dimensions. */
export const weightsOf = (model: Model): number =>
  [...model.graph.values()].reduce(
    (sum, { tensor }) => sum + (tensor === undefined || tensor.type === "int64" ? 0 : elementCount(tensor.dims)),
    0,
  );

export const listStoredNames = (model: Model): string[] =>
  [...model.graph.values()].flatMap(({ name, tensor }) => (tensor === undefined ? [] : [name])).toSorted();

export const dims = (model: Model, name: string) => model.graph.value(name)?.tensor?.dims;

/** The relative error that a change names. */
export const errorIn = (what = ""): number => Number(/relative error of weights ([\d.]+)/.exec(what)?.[1]);
