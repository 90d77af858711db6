/**
 * DFT of real (last axis 1) or complex (2) values: X[k] = Σ x[n]·e^(-2πi·kn/N), inverse with + and 1/N; `onesided` keeps the first N/2 + 1.
 * STFT: the DFT of windowed frames. MelWeightMatrix: triangular filters. The axis of DFT is an attribute (1) in opset 17, an input since 20 (-2).
 */
import { Miss } from "../errors.ts";
import { addDims, type Dim, floorDims, multiplyDims } from "../tensor/dims.ts";
import { defineOp, type Op } from "./define.ts";
import { constantIntegers, elementType, integer, wrapAxis } from "./shared/attributes.ts";
import { inert } from "./shared/inert.ts";
import { inferenceOnly, noRank } from "./shared/misses.ts";
import { need } from "./shared/rules.ts";

const spectrum = new Miss("each frequency depends on the whole signal");
const made = new Miss("depends on sizes only");

interface DftSettings {
  readonly axis: number;
  readonly inverse: boolean;
  readonly oneSided: boolean;
  /** Default: the length of the axis. */
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
  axes: spectrum,
  gradient: inferenceOnly,
});

const full = (s: DftSettings, size: Dim): Dim => (s.inverse && s.oneSided ? multiplyDims(addDims(size, -1), 2) : size);
const parts = (s: DftSettings): number => (s.inverse && s.oneSided ? 1 : 2);

function transformed(s: DftSettings, size: Dim): Dim {
  const length = s.length ?? full(s, size);
  return s.oneSided && !s.inverse ? addDims(floorDims(length, 2), 1) : length;
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
  axes: spectrum,
  gradient: inferenceOnly,
});

const frequencies = (s: StftSettings): number => (s.oneSided ? Math.floor(s.length / 2) + 1 : s.length);

export const MelWeightMatrix = inert(made, {
  name: "MelWeightMatrix",
  infer: (_, site) => {
    const [bins, length] = [site.inputs[0]?.elements?.[0], site.inputs[1]?.elements?.[0]];
    const type = elementType(site, "output_datatype", "float32");
    if (type === undefined) return new Miss("its type is not known");
    if (bins === undefined || length === undefined) return [{ type, dims: [site.open(0, 0), site.open(0, 1)] }];
    return [{ type, dims: [addDims(floorDims(length, 2), 1), bins] }];
  },
});

function windowFunction(name: "HannWindow" | "HammingWindow" | "BlackmanWindow"): Op {
  return inert(made, {
    name,
    read: (site) => ({ periodic: integer(site, "periodic", 1) !== 0 }),
    infer: (_, site) => {
      const type = elementType(site, "output_datatype", "float32");
      if (type === undefined) return new Miss("its type is not known");
      return [{ type, dims: [site.inputs[0]?.elements?.[0] ?? site.open(0, 0)] }];
    },
  });
}

export const signalOperators: readonly Op[] = [
  windowFunction("HannWindow"),
  windowFunction("HammingWindow"),
  windowFunction("BlackmanWindow"),
];
