/**
 * Spectra. DFT along an axis of numbers that are real (last axis 1) or complex (last axis 2): X[k] = Σ x[n]·e^(-2πi·kn/N), its inverse with
 * + and 1/N; `onesided` keeps the first N/2 + 1. STFT: that of frames of a signal, each weighed by a window. MelWeightMatrix: triangles over
 * frequencies. As primitives a product with cosines and sines, and a convolution with them.
 * Opset history: the axis of DFT is an attribute (1) in 17, an input since 20 (-2).
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { addDims, type Dim, floorDims, multiplyDims } from "../tensor/dims.ts";
import { defineOp, type Op } from "./define.ts";
import { constantIntegers, elementType, integer, wrapAxis } from "./shared/attributes.ts";
import { noRank } from "./shared/misses.ts";
import { inverse, need, sameAxes, typeOf } from "./shared/rules.ts";

interface DftSettings {
  readonly axis: number;
  readonly inverse: boolean;
  readonly oneSided: boolean;
  /** Given; undefined: that of the axis. */
  readonly length: Dim | undefined;
}

export const DFT = defineOp<DftSettings>({
  name: "DFT",
  sameType: 0,
  read: (site) => {
    const rank = site.inputs[0]?.dims?.length;
    if (rank === undefined) return noRank;
    const axisInput = site.inputs[2];
    const given = site.version < 20 ? integer(site, "axis", 1) : axisInput === undefined ? -2 : axisInput.elements?.[0];
    if (typeof given !== "number") return new Miss("its axis is computed at run time");
    const length = site.inputs[1];
    if (length !== undefined && length.elements?.[0] === undefined)
      return new Miss("its length is computed at run time");
    return {
      axis: wrapAxis(given, rank),
      inverse: integer(site, "inverse", 0) !== 0,
      oneSided: integer(site, "onesided", 0) !== 0,
      length: length?.elements?.[0],
    };
  },
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    if (dims === undefined) return [{ type, dims }];
    const out = transformed(s, dims[s.axis] as Dim);
    return [
      { type, dims: dims.map((dim, axis) => (axis === s.axis ? out : axis === dims.length - 1 ? parts(s) : dim)) },
    ];
  },
  axes: (s, _, dims) => {
    const but = (axis: number): boolean => axis === s.axis || axis === dims.length - 1;
    return sameAxes(dims, { but, why: "each frequency depends on the whole axis" });
  },
  lower: (s, emit, [x]) => {
    const dims = x?.type?.dims;
    const [size, width] = [dims?.[s.axis], dims?.at(-1)];
    if (x === undefined || dims === undefined || typeof size !== "number" || typeof width !== "number")
      return new Miss("the length of its axis is not known");
    const length = s.length ?? full(s, size);
    const count = transformed(s, size);
    if (typeof length !== "number" || typeof count !== "number") return new Miss("its length is not known");
    if (s.inverse && s.oneSided) return new Miss("inverts a one-sided spectrum");
    if (length * count > largest) return new Miss("its axis is too long to be written out");
    const type = typeOf(x);
    if (type !== "float32" && type !== "float64" && type !== "float16") return new Miss(`transforms ${type}`);
    const last = dims.length - 1;
    const others = dims.map((_, axis) => axis).filter((axis) => axis !== s.axis && axis !== last);
    const perm = [...others, s.axis, last];
    // Places that are left out, or past the end (0), take no part: so many rows of the matrix.
    const used = Math.min(size, length);
    const cut = used === size ? x : emit.Slice([x, [0], [used], [s.axis]]);
    const turned = emit.Transpose([cut], { perm });
    const keep = others.map(() => 0);
    const rows = emit.Reshape([turned, [...keep, used * width]]);
    const matrix = emit.constant(
      fromNumbers(type, [used * width, count * 2], waves(used, count, length, width, s.inverse)),
      "waves",
    );
    const product = emit.Reshape([emit.MatMul([rows, matrix]), [...keep, count, 2]]);
    return [emit.Transpose([product], { perm: inverse(perm) })];
  },
});

/** Beyond this many pairs of place and frequency a matrix is no primitive form any more. */
const largest = 2 ** 21;

const full = (s: DftSettings, size: Dim): Dim => (s.inverse && s.oneSided ? multiplyDims(addDims(size, -1), 2) : size);
const parts = (s: DftSettings): number => (s.inverse && s.oneSided ? 1 : 2);

function transformed(s: DftSettings, size: Dim): Dim {
  const length = s.length ?? full(s, size);
  return s.oneSided && !s.inverse ? addDims(floorDims(length, 2), 1) : length;
}

/** Rows: places, real (and imaginary) part; columns: frequencies, real and imaginary part. */
function waves(places: number, count: number, length: number, width: number, inverse: boolean): number[] {
  const rows: number[] = [];
  const [sign, scale] = inverse ? [1, 1 / length] : [-1, 1];
  for (let place = 0; place < places; place++) {
    for (let part = 0; part < width; part++) {
      for (let frequency = 0; frequency < count; frequency++) {
        const angle = (2 * Math.PI * ((place * frequency) % length)) / length;
        const [cos, sin] = [Math.cos(angle) * scale, Math.sin(angle) * scale * sign];
        // (a + bi)(cos + i·sin): the real part gives cos and sin, the imaginary one -sin and cos.
        rows.push(...(part === 0 ? [cos, sin] : [-sin, cos]));
      }
    }
  }
  return rows;
}

interface StftSettings {
  readonly step: number;
  readonly length: number;
  readonly oneSided: boolean;
}

export const STFT = defineOp<StftSettings>({
  name: "STFT",
  sameType: 0,
  read: (site) => {
    const [step] = constantIntegers(site.inputs[1]) ?? [];
    const given = site.inputs[3] === undefined ? site.inputs[2]?.dims?.[0] : constantIntegers(site.inputs[3])?.[0];
    if (step === undefined || typeof given !== "number") return new Miss("its frames are not known before the run");
    return { step, length: given, oneSided: integer(site, "onesided", 1) !== 0 };
  },
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    if (dims === undefined) return [{ type, dims }];
    const frames = addDims(floorDims(addDims(dims[1] as Dim, -s.length), s.step), 1);
    return [{ type, dims: [dims[0] as Dim, frames, frequencies(s), 2] }];
  },
  axes: () => [
    { from: ["in0", 0], to: ["out0", 0] },
    { refuses: ["in0", 1], reason: "frames overlap" },
  ],
  // Each frequency is a pair of kernels, cosine and sine times the window; frames are where they are applied.
  lower: (s, emit, [x, , window]) => {
    const width = x?.type?.dims?.length === 2 ? 1 : x?.type?.dims?.[2];
    if (x === undefined || typeof width !== "number") return noRank;
    const count = frequencies(s);
    if (s.length * count > largest) return new Miss("its frames are too long to be written out");
    const type = typeOf(x);
    if (type !== "float32" && type !== "float64" && type !== "float16") return new Miss(`transforms ${type}`);
    const flat = fromNumbers(type, [s.length * width, count * 2], waves(s.length, count, s.length, width, false));
    // places × parts × (frequencies · 2) → (frequencies · 2) × parts × places
    const open = emit.Reshape([emit.constant(flat, "waves"), [s.length, width, count * 2]]);
    const kernels = emit.Transpose([open], { perm: [2, 1, 0] });
    const weighed = window === undefined ? kernels : emit.Mul([kernels, padded(emit, window, s.length)]);
    const signal = emit.Transpose([emit.Reshape([x, [0, -1, width]])], { perm: [0, 2, 1] });
    const spectrum = emit.Conv([signal, weighed], { kernel_shape: [s.length], strides: [s.step] });
    const apart = emit.Reshape([spectrum, [0, count, 2, -1]]);
    return [emit.Transpose([apart], { perm: [0, 3, 1, 2] })];
  },
});

const frequencies = (s: StftSettings): number => (s.oneSided ? Math.floor(s.length / 2) + 1 : s.length);

/** A window shorter than the frames is followed by zeros. */
function padded(emit: Emit, window: Value, length: number): Value {
  const size = window.type?.dims?.[0];
  if (size === length || typeof size !== "number") return window;
  return emit.Pad([window, [0, length - size]]);
}

export const MelWeightMatrix = defineOp({
  name: "MelWeightMatrix",
  infer: (_, site) => {
    const [bins, length] = [site.inputs[0]?.elements?.[0], site.inputs[1]?.elements?.[0]];
    const type = elementType(site, "output_datatype", "float32");
    if (type === undefined) return new Miss("its type is not known");
    if (bins === undefined || length === undefined) return [{ type, dims: [site.open(0, 0), site.open(0, 1)] }];
    return [{ type, dims: [addDims(floorDims(length, 2), 1), bins] }];
  },
  axes: new Miss("is made from numbers"),
  gradient: new Miss("depends on no tensor that could be trained"),
});

function windowFunction(name: "HannWindow" | "HammingWindow" | "BlackmanWindow"): Op {
  return defineOp({
    name,
    read: (site) => ({ periodic: integer(site, "periodic", 1) !== 0 }),
    infer: (_, site) => {
      const type = elementType(site, "output_datatype", "float32");
      if (type === undefined) return new Miss("its type is not known");
      return [{ type, dims: [site.inputs[0]?.elements?.[0] ?? site.open(0, 0)] }];
    },
    axes: new Miss("is made from a number"),
    gradient: new Miss("depends on no tensor that could be trained"),
  });
}

export const signalOperators: readonly Op[] = [
  windowFunction("HannWindow"),
  windowFunction("HammingWindow"),
  windowFunction("BlackmanWindow"),
];
