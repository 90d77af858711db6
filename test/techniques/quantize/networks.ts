/** Networks and helpers that the tests of quantization share. */
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { createEngine, type LoadOptions } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { toFloat64 } from "../../../src/core/tensor/convert.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch, Dense } from "../../../src/core/tensor/types.ts";

/** Two fully connected layers, one with its weight transposed. */
export const mlp = (): Model =>
  parseModel(`opset 17
graph (x: float32[batch, 12]) -> (y: float32[batch, 5]) {
  fc1.weight: float32[16, 12] = random(seed 1)
  fc1.bias: float32[16] = random(seed 2)
  fc2.weight: float32[16, 5] = random(seed 3)
  fc2.bias: float32[5] = random(seed 4)
  h = Gemm "fc1" (x, fc1.weight, fc1.bias) {transB=1}
  a = Relu(h)
  m = MatMul "second" (a, fc2.weight)
  y = Add(m, fc2.bias)
}`);

/** Convolutions with a shortcut, pooling and a fully connected layer. */
export const cnn = (): Model =>
  parseModel(`opset 17
graph (x: float32[batch, 3, 8, 8]) -> (y: float32[batch, 4]) {
  conv1.weight: float32[6, 3, 3, 3] = random(seed 1)
  conv1.bias: float32[6] = random(seed 2)
  conv2.weight: float32[6, 6, 3, 3] = random(seed 3)
  conv2.bias: float32[6] = random(seed 4)
  conv3.weight: float32[6, 1, 3, 3] = random(seed 5)
  fc.weight: float32[4, 6] = random(seed 6)
  fc.bias: float32[4] = random(seed 7)
  h1 = Conv "conv1" (x, conv1.weight, conv1.bias) {pads=[1, 1, 1, 1]}
  a1 = Relu "relu1" (h1)
  p1 = MaxPool "pool" (a1) {kernel_shape=[2, 2], strides=[2, 2]}
  h2 = Conv "conv2" (p1, conv2.weight, conv2.bias) {pads=[1, 1, 1, 1]}
  s = Add "shortcut" (h2, p1)
  a2 = Relu "relu2" (s)
  h3 = Conv "conv3" (a2, conv3.weight) {pads=[1, 1, 1, 1], group=6}
  g = GlobalAveragePool "average" (h3)
  f = Flatten "flatten" (g)
  y = Gemm "fc" (f, fc.weight, fc.bias) {transB=1}
}`);

/** Numbers for the input `x`, normally distributed. */
export function numbersFor(dims: readonly number[], seed = 7): Dense<"float32"> {
  const numbers = random(seed);
  return float32(
    dims,
    Array.from({ length: elementCount(dims) }, () => numbers.normal()),
  );
}

/** Returns the first output's elements. */
export async function run(model: Model, feeds: Batch, options: LoadOptions = {}): Promise<Float64Array> {
  return (await runDense(model, feeds, options)).data;
}

/** Returns the first output's dimensions and elements. */
async function runDense(
  model: Model,
  feeds: Batch,
  options: LoadOptions = {},
): Promise<{ readonly dims: readonly number[]; readonly data: Float64Array }> {
  const session = await createEngine().load(model, options);
  try {
    const output = (await session.run(feeds))[model.graph.outputs[0]?.name ?? ""];
    if (output === undefined) throw new Error("no output");
    return { dims: [...output.dims], data: toFloat64(output).slice() };
  } finally {
    await session.release();
  }
}

/** ‖a - b‖ / ‖a‖. */
export function difference(a: Float64Array, b: Float64Array): number {
  const norm = (values: Float64Array): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return norm(a.map((value, index) => value - (b[index] ?? Number.NaN))) / norm(a);
}

export function layerNames(model: Model): string[] {
  return layers(model, infer(model)).map(({ name }) => name);
}

/** Written and read back. */
export async function reopened(model: Model): Promise<Model> {
  return open(await encodeToBytes(model));
}

export function operators(model: Model): string[] {
  return [...model.graph.nodes()].map(({ op }) => op);
}

export async function stored(model: Model, name: string): Promise<Dense> {
  const tensor = model.graph.value(name)?.tensor;
  if (tensor === undefined)
    throw new Error(
      `"${name}" is not stored; there are ${[...model.graph.values()].map((value) => value.name).join(", ")}`,
    );
  return tensor.read();
}

/** Biases so large that weight scales must grow, a clamp that cannot vanish, a stored operand, and a weight that is not transposed. */
const extremes = (): Model =>
  parseModel(`opset 17
graph (x: float32[batch, 4, 6, 6]) -> (y: float32[batch, 3]) {
  c1.weight: float32[4, 4, 3, 3] = random(seed 21, from -0.00001 to 0.00001)
  c1.bias: float32[4] = [3000, -2, 0.5, 90000]
  k: float32[1, 4, 1, 1] = random(seed 3)
  fc.weight: float32[144, 3] = random(seed 6)
  fc.bias: float32[3] = random(seed 7)
  h1 = Conv "c1" (x, c1.weight, c1.bias) {pads=[1, 1, 1, 1]}
  s = Add "add1" (h1, k)
  a = Relu "relu1" (s)
  b = Relu "relu2" (h1)
  m = MaxPool "pool" (b) {kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]}
  t = Add "add2" (a, m)
  f = Flatten "flatten" (t)
  y = Gemm "fc" (f, fc.weight, fc.bias)
}`);

/** The networks that ONNX Runtime's quantizer was asked about, and numbers to measure ranges on. */
export const compared = { mlp, cnn, extremes } as const;

export function calibration(name: keyof typeof compared): Dense<"float32"> {
  const dims = { mlp: [32, 12], cnn: [32, 3, 8, 8], extremes: [32, 4, 6, 6] };
  return numbersFor(dims[name], 9);
}
