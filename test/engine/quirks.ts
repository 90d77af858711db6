/**
 * Errors and limits of ONNX Runtime on the CPU that Pith works around: what happens, what Pith does, and a model that shows it.
 * Sources refer to a quirk by its id: `quirk "dilated-average"`.
 */
import { createEngine } from "../../src/core/engine/index.ts";
import { PithError } from "../../src/core/errors.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { fromNumbers, toFloat64 } from "../../src/core/tensor/convert.ts";
import { elementCount } from "../../src/core/tensor/dims.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Batch } from "../../src/core/tensor/types.ts";

export interface Quirk {
  readonly id: string;
  /** Versions of onnxruntime-node in which it was seen. */
  readonly versions: string;
  readonly happens: string;
  readonly remedy: string;
  /** Files of `src` with the remedy. */
  readonly sources: readonly string[];
  /** How it shows: an error or outputs of zeros with and without graph optimization, an error or other outputs only with it, or a crash. */
  readonly shows: "error" | "zeros" | "error if optimized" | "other outputs if optimized" | "crash";
  /** All inputs of the graph are float32, float16 or bool. */
  readonly model: string;
}

export const quirks: readonly Quirk[] = [
  {
    id: "dilated-average",
    versions: "1.30",
    happens: "fuses a dilated AveragePool between quantized values into QLinearAveragePool, which has no dilations",
    remedy: "leaves the pool in float",
    sources: ["core/ops/pool.ts"],
    shows: "error if optimized",
    model: `opset 19
graph (x: float32[1, 1, 5, 5]) -> (y) {
  s: float32[] = [0.01]
  z: uint8[] = [128]
  q = QuantizeLinear(x, s, z)
  d = DequantizeLinear(q, s, z)
  p = AveragePool(d) {kernel_shape=[2, 2], dilations=[2, 2]}
  r = QuantizeLinear(p, s, z)
  y = DequantizeLinear(r, s, z)
}`,
  },
  {
    id: "two-bit-products",
    versions: "1.30",
    happens: "computes wrong products with 2-bit weights of DequantizeLinear if outputs % 4 ≠ 0",
    remedy: "writes 2 bits as MatMulNBits only",
    sources: ["techniques/quantize/formats/blocked-dequantize-linear.ts"],
    shows: "other outputs if optimized",
    model: `opset 25
graph (x: float32[1, 32]) -> (y) {
  w: uint2[32, 6] = random(seed 1, from 0 to 4)
  s: float32[1, 6] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
  z: uint2[1, 6] = [2, 2, 2, 2, 2, 2]
  d = DequantizeLinear(w, s, z) {axis=0, block_size=32}
  y = MatMul(x, d)
}`,
  },
  {
    id: "weight-in-branch",
    versions: "1.30",
    happens: "does not find the outer weight of a DequantizeLinear that a MatMul in a branch reads",
    remedy: "dequantizes in the graph of the weight",
    sources: ["techniques/quantize/formats/format.ts"],
    shows: "error if optimized",
    model: `opset 21
graph (x: float32[1, 8], flag: bool[]) -> (y) {
  w: uint8[8, 8] = random(seed 1, from 0 to 256)
  s: float32[] = [0.1]
  z: uint8[] = [128]
  y = If(flag) {then_branch=graph () -> (t) {
    d = DequantizeLinear(w, s, z)
    t = MatMul(x, d)
  }, else_branch=graph () -> (e) { e = Identity(x) }}
}`,
  },
  {
    id: "axes-of-bias",
    versions: "1.30",
    happens: "fuses an integer product with a sum, and loses the additional axes of the bias",
    remedy: "adds these axes after the sum",
    sources: ["core/ops/rules/layout.ts"],
    shows: "other outputs if optimized",
    model: `opset 17
graph (x: float32[3, 8]) -> (y) {
  w: int8[8, 4] = random(seed 1, from -100 to 100)
  ws: float32[] = [0.1]
  b: float32[1, 1, 4] = [1, 2, 3, 4]
  q, s, z = DynamicQuantizeLinear(x)
  i = MatMulInteger(q, w, z)
  f = Cast(i) {to=1}
  t = Mul(s, ws)
  p = Mul(f, t)
  y = Add(p, b)
}`,
  },
  {
    id: "half-statistics",
    versions: "1.30",
    happens: "overwrites the stored float16 statistics of a BatchNormalization in training mode",
    remedy: "keeps such a node in float32",
    sources: ["core/ops/batch-norm.ts"],
    shows: "other outputs if optimized",
    model: `opset 15
graph (x: float16[4, 2]) -> (y, m, v) {
  s: float16[2] = [1, 1]
  b: float16[2] = [0, 0]
  mean: float16[2] = [0, 0]
  var: float16[2] = [1, 1]
  y, m, v = BatchNormalization(x, s, b, mean, var) {training_mode=1, momentum=0.5}
}`,
  },
  {
    id: "cast-before-product",
    versions: "1.24 to 1.30",
    happens: "crashes on x64 where a Cast stands between a Transpose of the batch axis and a matrix product",
    remedy: "keeps the Transpose in float32",
    sources: ["core/ops/layout.ts"],
    shows: "crash",
    model: `opset 17
graph (x: float16[2, 3, 4]) -> (y) {
  w: float16[4, 4] = random(seed 1)
  t = Transpose(x) {perm=[1, 0, 2]}
  y = MatMul(t, w)
}`,
  },
  {
    id: "gap-in-outputs",
    versions: "1.30",
    happens: "crashes on a Split whose outputs have a gap",
    remedy: "verify reports the gap",
    sources: ["core/graph/schema.ts"],
    shows: "crash",
    model: `opset 21
graph (x: float32[4]) -> (a: float32[1], c: float32[2]) {
  sizes: int64[3] = [1, 1, 2]
  a, _, c = Split(x, sizes) {axis=0}
}`,
  },
  {
    id: "stored-padding",
    versions: "1.30",
    happens: "fuses a Pad with stored numbers into a pool, and rejects the padding if it is as large as the window",
    remedy: "does not store such numbers",
    sources: ["rewrite/clean-up/fold-shapes.ts"],
    shows: "error if optimized",
    model: `opset 13
graph (x: float32[1, 1, 5, 5]) -> (y) {
  pads: int64[8] = [0, 0, 2, 2, 0, 0, 2, 2]
  p = Pad(x, pads)
  y = AveragePool(p) {kernel_shape=[2, 2], count_include_pad=1}
}`,
  },
  {
    id: "padding-of-pool",
    versions: "1.30",
    happens: "rejects a pool whose padding is as large as its window",
    remedy: "does not merge a Pad into such a pool",
    sources: ["core/ops/entry.ts"],
    shows: "error",
    model: `opset 13
graph (x: float32[1, 1, 5, 5]) -> (y) {
  y = MaxPool(x) {kernel_shape=[2, 2], pads=[2, 2, 2, 2]}
}`,
  },
  {
    id: "empty-window",
    versions: "1.30",
    happens: "rejects a pool over an empty axis",
    remedy: "does not merge a Pad of an empty axis into the pool",
    sources: ["core/ops/rules/layout.ts"],
    shows: "error",
    model: `opset 13
graph (x: float32[1, 1, 0, 5]) -> (y) {
  y = MaxPool(x) {kernel_shape=[2, 2], pads=[1, 1, 1, 1]}
}`,
  },
  {
    id: "empty-attention",
    versions: "1.30",
    happens: "rejects an Attention without queries",
    remedy: "does not fuse attention over an axis that can be empty",
    sources: ["core/ops/rules/attention.ts"],
    shows: "error",
    model: `opset 23
graph (q: float32[1, 1, 0, 4], k: float32[1, 1, 0, 4]) -> (y) {
  y = Attention(q, k, k)
}`,
  },
  {
    id: "bfloat16-product",
    versions: "1.30",
    happens: "has no Mul of bfloat16",
    remedy: "does not mask weights of this type",
    sources: ["core/analysis/weight-needs.ts"],
    shows: "error",
    model: `opset 13
graph (x: float32[4]) -> (y) {
  a = Cast(x) {to=16}
  m = Mul(a, a)
  y = Cast(m) {to=1}
}`,
  },
  {
    id: "level-in-branch",
    versions: "1.24 to 1.30",
    happens:
      "computes zeros for a float16 MatMulNBits with accuracy_level in a branch, next to operators without float16 kernel",
    remedy: "omits the attribute in float16 subgraphs",
    sources: ["core/ops/entry.ts", "techniques/quantize/formats/matmul-nbits.ts"],
    shows: "zeros",
    model: `opset 21, com.microsoft 1
graph (x: float16[1, 32], flag: bool[]) -> (y) {
  w: uint8[8, 1, 16] = random(seed 1, from 0 to 256)
  s: float16[8, 1] = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
  y = If(flag) {then_branch=graph () -> (t) {
    h = Tanh(x)
    m = com.microsoft.MatMulNBits(h, w, s) {K=32, N=8, bits=4, block_size=32, accuracy_level=4}
    t = Tanh(m)
  }, else_branch=graph () -> (f) { f = Cast(flag) {to=10} }}
}`,
  },
];

/** Runs the model of a quirk on random inputs. */
export async function runQuirk({ model: text }: Pick<Quirk, "model">, optimize: boolean): Promise<Batch> {
  const model = parseModel(text);
  const numbers = random(1, "quirk");
  const feeds = Object.fromEntries(
    model.graph.inputs.map(({ name, type }) => {
      if (type === undefined) throw new Error(`"${name}" has no type`);
      const dims = (type.dims ?? []).map(Number);
      const values = Array.from({ length: elementCount(dims) }, () => numbers.uniform(-1, 1));
      if (type.type === "bool") return [name, { type: "bool", dims, data: Uint8Array.of(1) } as const];
      return [name, fromNumbers(type.type === "float16" ? "float16" : "float32", dims, values)];
    }),
  );
  const session = await createEngine().load(model, { optimize });
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
}

/** Returns how a model behaves that does not crash: with and without graph optimization. */
export async function behaviorOf(quirk: Quirk): Promise<Quirk["shows"] | "as it should"> {
  const [optimized, unoptimized] = [await outputsOf(quirk, true), await outputsOf(quirk, false)];
  if (unoptimized === undefined) return optimized === undefined ? "error" : "as it should";
  if (optimized === undefined) return "error if optimized";
  const areEqual = Object.entries(optimized).every(([name, { dims, numbers }]) => {
    const other = unoptimized[name];
    const isNear = numbers.every((number, index) => Math.abs(number - (other?.numbers[index] ?? Number.NaN)) < 0.05);
    return isNear && String(dims) === String(other?.dims);
  });
  if (!areEqual) return "other outputs if optimized";
  return Object.values(optimized).every(({ numbers }) => numbers.every((number) => number === 0))
    ? "zeros"
    : "as it should";
}

async function outputsOf(quirk: Quirk, optimize: boolean) {
  try {
    const outputs = Object.entries(await runQuirk(quirk, optimize));
    return Object.fromEntries(
      outputs.map(([name, output]) => [name, { dims: output.dims, numbers: [...toFloat64(output)] }]),
    );
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    return undefined;
  }
}
