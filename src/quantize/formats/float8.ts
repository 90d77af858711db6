/**
 * 8-bit floats (E4M3: 4 exponent bits, 3 mantissa bits) with a scale per slice or per tensor:
 *
 *     h = Gemm(x, fc1.weight)       h = Gemm(x, DequantizeLinear(fc1.weight_quantized, fc1.weight_scale) {axis=0})       # float8e4m3fn
 *
 * Each slice uses the scale with the lower squared error: max|w| / 448, or std(w) / std(g) over all values g, as in ONNX
 * Runtime's quantizer. float8 suits weights with few large values. ONNX Runtime has no float8 product: on the CPU it dequantizes
 * in every run, which takes six times as long as the product.
 */
import { plainName } from "../../analysis/masks.ts";
import { Miss } from "../../errors.ts";
import { smallestScale } from "../../math/index.ts";
import { fromNumbers, toFloat32 } from "../../tensor/convert.ts";
import { deferred } from "../../tensor/deferred.ts";
import { alongAxis, elementCount } from "../../tensor/dims.ts";
import type { Dense } from "../../tensor/types.ts";
import { type Lacks, lackOf } from "../runtimes.ts";
import { scaleAxis, weightReader } from "../weight.ts";
import { numbersOf, type StoredCodes } from "./dequantize-linear.ts";
import { around, beside, type Form, type Format, oncePerRun } from "./format.ts";

const type = "float8e4m3fn";
const largestCode = 448;
const lacks: Lacks = {
  wasm: "onnxruntime-web 1.30 has no DequantizeLinear for it in every build",
  webgpu: "WebGPU of ONNX Runtime 1.30 has no DequantizeLinear for it",
};

export const inFloat8: Format = {
  what: "float8",
  formOf(layer, own) {
    if (own.weights !== "float8") return undefined;
    if (layer.role.kind === "lookup") return new Miss("no ONNX operator looks up rows of it", layer.name);
    return lackOf(lacks, own) ?? float8Form(own.perChannel);
  },
};

const stored = oncePerRun<StoredCodes>();

const float8Form = (perChannel: boolean): Form => ({
  bits: 8,
  opset: 19,
  text: () => `weight as float8 (E4M3), ${perChannel ? "per-channel scales" : "one scale"}`,
  async write(emit, { layer }, run) {
    const { node, role, effective, weight } = layer;
    const axis = perChannel ? scaleAxis(layer) : undefined;
    const name = plainName(weight);
    const codes = await stored(run, effective, `${axis}`, async () => {
      const read = await weightReader(run.model, layer, run.context.engine);
      const dense = await read();
      const scale = float8Scales(dense, axis);
      const store = beside(layer, run);
      return {
        codes: store.constant(await deferred(type, dense.dims, float8Codes(read, axis, scale)), `${name}_quantized`),
        scale: store.constant(fromNumbers("float32", axis === undefined ? [] : [scale.length], scale), `${name}_scale`),
      };
    });
    node.graph.setInput(node, role.input, numbersOf(around(emit, layer, run), name, codes, axis, effective.type?.type));
  },
});

const float8Codes =
  (read: () => Promise<Dense>, axis: number | undefined, scale: Float32Array) => async (): Promise<Dense> => {
    const dense = await read();
    const { inner, count } = slicesOf(dense, axis);
    const shares = toFloat32(dense).map((value, at) => value / (scale[Math.floor(at / inner) % count] ?? 1));
    return fromNumbers(type, dense.dims, shares);
  };

const slicesOf = ({ dims }: Dense, axis: number | undefined) =>
  axis === undefined ? { outer: 1, count: 1, inner: elementCount(dims) } : alongAxis(dims, axis);

const deviation = deviationOf(
  toFloat32({ type, dims: [256], data: Uint8Array.from({ length: 256 }, (_, code) => code) }).filter(Number.isFinite),
);

function deviationOf(numbers: Float32Array): number {
  const mean = numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
  return Math.sqrt(numbers.reduce((sum, value) => sum + (value - mean) ** 2, 0) / numbers.length);
}

export function float8Scales(dense: Dense, axis: number | undefined): Float32Array {
  const values = toFloat32(dense);
  const { outer, count, inner } = slicesOf(dense, axis);
  return Float32Array.from({ length: count }, (_, slice) => {
    const own = new Float32Array(outer * inner);
    for (let block = 0; block < outer; block++) {
      const start = (block * count + slice) * inner;
      own.set(values.subarray(start, start + inner), block * inner);
    }
    const whole = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / largestCode;
    const tried = [whole, deviationOf(own) / deviation].map(Math.fround).filter((scale) => scale >= smallestScale);
    const errors = tried.map((scale) => {
      const rounded = toFloat32(
        fromNumbers(
          type,
          [own.length],
          own.map((value) => value / scale),
        ),
      );
      return own.reduce((sum, value, at) => sum + (value - scale * (rounded[at] ?? 0)) ** 2, 0);
    });
    return tried[errors.indexOf(Math.min(...errors))] ?? 1;
  });
}
