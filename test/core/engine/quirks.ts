/** How Pith works around the quirks of ONNX Runtime, and a model that shows each. Sources refer to a quirk by its id: `quirk "empty-window"`. */
import { createEngine } from "../../../src/core/engine/index.ts";
import { PithError } from "../../../src/core/errors.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { type QuirkId, quirks } from "../../../src/core/quirks.ts";
import { fromNumbers, toFloat64 } from "../../../src/core/tensor/convert.ts";
import { elementCount } from "../../../src/core/tensor/dims.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";

export interface Quirk {
  readonly remedy: string;
  /**
   * How it shows: an error or outputs of zeros with and without graph optimization, an error or other outputs only with it, a crash, or an error in
   * the build for WebGPU.
   */
  readonly shows:
    | "error"
    | "zeros"
    | "error if optimized"
    | "other outputs if optimized"
    | "crash"
    | "error for WebGPU";
  /** All inputs of the graph are float32, float16 or bool. */
  readonly model: string;
}

const shownQuirks: Readonly<Record<QuirkId, Quirk>> = {
  "dilated-average": {
    remedy: "leaves the pool in float",
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
  "two-bit-products": {
    remedy: "writes 2 bits as MatMulNBits only",
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
  "weight-in-branch": {
    remedy: "dequantizes in the graph of the weight",
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
  "axes-of-bias": {
    remedy: "adds these axes after the sum",
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
  "half-statistics": {
    remedy: "keeps such a node in float32",
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
  "cast-before-product": {
    remedy: "keeps the Transpose in float32",
    shows: "crash",
    model: `opset 17
graph (x: float16[2, 3, 4]) -> (y) {
  w: float16[4, 4] = random(seed 1)
  t = Transpose(x) {perm=[1, 0, 2]}
  y = MatMul(t, w)
}`,
  },
  "gap-in-outputs": {
    remedy: "verify reports the gap",
    shows: "crash",
    model: `opset 21
graph (x: float32[4]) -> (a: float32[1], c: float32[2]) {
  sizes: int64[3] = [1, 1, 2]
  a, _, c = Split(x, sizes) {axis=0}
}`,
  },
  "stored-padding": {
    remedy: "does not store such numbers",
    shows: "error if optimized",
    model: `opset 13
graph (x: float32[1, 1, 5, 5]) -> (y) {
  pads: int64[8] = [0, 0, 2, 2, 0, 0, 2, 2]
  p = Pad(x, pads)
  y = AveragePool(p) {kernel_shape=[2, 2], count_include_pad=1}
}`,
  },
  "padding-of-pool": {
    remedy: "does not merge a Pad into such a pool",
    shows: "error",
    model: `opset 13
graph (x: float32[1, 1, 5, 5]) -> (y) {
  y = MaxPool(x) {kernel_shape=[2, 2], pads=[2, 2, 2, 2]}
}`,
  },
  "empty-window": {
    remedy: "does not merge a Pad of an empty axis into the pool",
    shows: "error",
    model: `opset 13
graph (x: float32[1, 1, 0, 5]) -> (y) {
  y = MaxPool(x) {kernel_shape=[2, 2], pads=[1, 1, 1, 1]}
}`,
  },
  "empty-attention": {
    remedy: "does not fuse attention over an axis that can be empty",
    shows: "error",
    model: `opset 23
graph (q: float32[1, 1, 0, 4], k: float32[1, 1, 0, 4]) -> (y) {
  y = Attention(q, k, k)
}`,
  },
  "bfloat16-product": {
    remedy: "does not mask weights of this type",
    shows: "error",
    model: `opset 13
graph (x: float32[4]) -> (y) {
  a = Cast(x) {to=16}
  m = Mul(a, a)
  y = Cast(m) {to=1}
}`,
  },
  "level-in-branch": {
    remedy: "omits the attribute in float16 subgraphs",
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
  "odd-zero-points": {
    remedy: "divides rows into an even number of blocks",
    // The installed version no longer has it, so the difference from DequantizeLinear is 0.
    shows: "zeros",
    model: `opset 21, com.microsoft 1
graph (x: float32[1]) -> (y) {
  w: uint4[4, 48] = random(seed 1, from 0 to 16)
  s: float32[4, 3] = random(seed 2)
  z: uint4[4, 3] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
  rows: int64[4] = [0, 1, 2, 3]
  a = com.microsoft.GatherBlockQuantized(w, rows, s, z) {block_size=16, gather_axis=0, quantize_axis=1}
  b = DequantizeLinear(w, s, z) {axis=1, block_size=16}
  y = Sub(a, b)
}`,
  },
  "scales-of-rows": {
    remedy: "lets such a product read the value before rounding",
    shows: "error if optimized",
    model: `opset 17
graph (x: float32[3, 8]) -> (y) {
  s: float32[] = [0.01]
  z: int8[] = [0]
  w: int8[8, 4] = random(seed 1, from -100 to 100)
  ws: float32[8] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
  q = QuantizeLinear(x, s, z)
  d = DequantizeLinear(q, s, z)
  e = DequantizeLinear(w, ws) {axis=0}
  p = MatMul(d, e)
  r = QuantizeLinear(p, s, z)
  y = DequantizeLinear(r, s, z)
}`,
  },
  "web-bfloat16": {
    remedy: "rejects bfloat16 with WebGPU as target",
    shows: "error for WebGPU",
    model: `opset 13
graph (x: float32[4]) -> (y) {
  w: bfloat16[4] = random(seed 1)
  f = Cast(w) {to=1}
  y = Add(x, f)
}`,
  },
  "web-lookup": {
    remedy: "writes a lookup that all builds have",
    shows: "error for WebGPU",
    model: `opset 21, com.microsoft 1
graph (x: float32[1, 32]) -> (y) {
  w: uint8[4, 16] = random(seed 1, from 0 to 256)
  s: float32[4, 2] = random(seed 2)
  z: uint8[4, 1] = [17, 18, 19, 20]
  rows: int64[1] = [1]
  g = com.microsoft.GatherBlockQuantized(w, rows, s, z) {block_size=16, gather_axis=0, quantize_axis=1, bits=4}
  y = Add(x, g)
}`,
  },
};

/** Returns quirks by how they show, with their ids and texts. */
export const quirksThat = (predicate: (shows: Quirk["shows"]) => boolean) =>
  (Object.keys(quirks) as QuirkId[])
    .filter((id) => predicate(shownQuirks[id].shows))
    .map((id) => [id, quirks[id], shownQuirks[id]] as const);

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
