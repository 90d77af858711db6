/**
 * DFT and STFT, for inference only. DFT: X[k] = Σ x[n]·e^(-2πi·kn/N) of real (last axis of size 1) or complex (size 2) values. STFT is the DFT of
 * windowed frames.
 */
import { addDims, floorDims, Miss, multiplyDims } from "#graph";
import { constantIntegersOf, readFlag, readInteger, wrapAxis } from "./shared/attributes.ts";
import { defineInert } from "./shared/inert.ts";
import { inferenceOnly, noRank } from "./shared/misses.ts";
import { inferShape } from "./shared/shapes.ts";

export const DFT = defineInert(inferenceOnly, {
  name: "DFT",
  sameType: 0,
  read: (site) => {
    const rank = site.inputs[0]?.dims?.length;
    if (rank === undefined) return noRank;
    const [, length, axisInput] = site.inputs;
    const axis =
      site.version < 20 ? readInteger(site, "axis", 1) : axisInput === undefined ? -2 : axisInput.elements?.[0];
    if (typeof axis !== "number") return new Miss("its axis is computed at run time");
    if (length !== undefined && length.elements?.[0] === undefined)
      return new Miss("its length is computed at run time");
    return {
      axis: wrapAxis(axis, rank),
      inverse: readFlag(site, "inverse"),
      oneSided: readFlag(site, "onesided"),
      length: length?.elements?.[0],
    };
  },
  infer: ({ axis, inverse, oneSided, length }, site) =>
    inferShape(site, (dims) => {
      const size = dims[axis] ?? 1;
      const isReal = inverse && oneSided;
      const points = length ?? (isReal ? multiplyDims(addDims(size, -1), 2) : size);
      const frequencies = oneSided && !inverse ? addDims(floorDims(points, 2), 1) : points;
      return dims.with(-1, isReal ? 1 : 2).with(axis, frequencies);
    }),
});

export const STFT = defineInert(inferenceOnly, {
  name: "STFT",
  sameType: 0,
  read: (site) => {
    const [step] = constantIntegersOf(site.inputs[1]) ?? [];
    const length = site.inputs[3] === undefined ? site.inputs[2]?.dims?.[0] : constantIntegersOf(site.inputs[3])?.[0];
    if (step === undefined || typeof length !== "number") return new Miss("its frames are not known before the run");
    return { step, length, oneSided: readFlag(site, "onesided", true) };
  },
  infer: ({ step, length, oneSided }, site) =>
    inferShape(site, ([batch = 1, samples = 1]) => {
      const frames = addDims(floorDims(addDims(samples, -length), step), 1);
      return [batch, frames, oneSided ? Math.floor(length / 2) + 1 : length, 2];
    }),
});
