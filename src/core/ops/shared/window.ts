/** Sliding windows of convolutions and pools, and the output sizes and pads that follow. */

import { addDims, ceilDims, type Dim, extremeDims, floorDims, Miss } from "#graph";
import type { AxisLink, Site } from "../define.ts";
import { readFlag, readIntegers, readString } from "./attributes.ts";
import { range } from "./shapes.ts";

export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Padding at the starts of all axes, then at the ends, if `autoPad` is NOTSET or VALID. */
  readonly pads: readonly number[];
  readonly autoPad: string;
  readonly roundsUp: boolean;
}

export function readWindow(site: Site, kernel: readonly number[]): Window {
  const autoPad = readString(site, "auto_pad", "NOTSET");
  const pads = autoPad === "VALID" ? undefined : readIntegers(site, "pads");
  return {
    kernel,
    strides: readIntegers(site, "strides") ?? kernel.map(() => 1),
    dilations: readIntegers(site, "dilations") ?? kernel.map(() => 1),
    pads: pads ?? [...kernel, ...kernel].map(() => 0),
    autoPad,
    roundsUp: readFlag(site, "ceil_mode"),
  };
}

export function readPool(site: Site): Window | Miss {
  const kernel = readIntegers(site, "kernel_shape");
  return kernel === undefined ? new Miss("has no kernel_shape") : readWindow(site, kernel);
}

export const poolDims = (window: Window, dims: readonly Dim[]): readonly Dim[] => [
  ...dims.slice(0, 2),
  ...windowDims(window, dims.slice(2)),
];

export const globalPoolDims = (dims: readonly Dim[]): readonly Dim[] => dims.map((dim, axis) => (axis < 2 ? dim : 1));

/** Links samples and channels. */
export const channelAxes = (channelAxis = 1): readonly AxisLink[] =>
  [0, channelAxis].map((axis) => ({ from: ["in0", axis], to: ["out0", axis] }));

export const padAttributes = ({ autoPad, pads }: Pick<Window, "autoPad" | "pads">) =>
  autoPad.startsWith("SAME") ? { auto_pad: autoPad } : { pads };

/** The attributes of a MaxPool. AveragePool has `dilations` since opset 19. */
export const poolAttributes = ({ kernel, strides, dilations, roundsUp, ...window }: Window) => ({
  kernel_shape: kernel,
  strides,
  dilations,
  ceil_mode: roundsUp ? 1 : 0,
  ...padAttributes(window),
});

/** Returns the number of input positions from the first to the last tap. */
export function kernelExtent(window: Window, axis: number): number {
  return ((window.kernel[axis] ?? 1) - 1) * (window.dilations[axis] ?? 1) + 1;
}

export const totalPads = ({ kernel, pads }: Window, axis: number): number =>
  (pads[axis] ?? 0) + (pads[kernel.length + axis] ?? 0);

export function windowDims(window: Window, spatial: readonly Dim[]): readonly Dim[] {
  return spatial.map((size, axis) => {
    const stride = window.strides[axis] ?? 1;
    if (window.autoPad.startsWith("SAME")) return ceilDims(size, stride);
    const extent = kernelExtent(window, axis);
    const paddedRest = addDims(size, totalPads(window, axis) - extent);
    if (!window.roundsUp) return addDims(floorDims(paddedRest, stride), 1);
    const steps = addDims(ceilDims(paddedRest, stride), 1);
    const [before = 0, after = 0] = [window.pads[axis], window.pads[window.kernel.length + axis]];
    // The last window must start inside of the input or the padding before it.
    if (after + stride <= extent) return steps;
    return extremeDims("min", [steps, ceilDims(addDims(size, before), stride)]);
  });
}

/** Returns the number of input positions that each window along an axis covers. */
export function windowCounts(
  window: Window,
  axis: number,
  sizes: { readonly input: number; readonly output: number },
  padding: { readonly before: number; readonly after: number; readonly isCounted: boolean },
): readonly number[] {
  const [first, end] = padding.isCounted ? [-padding.before, sizes.input + padding.after] : [0, sizes.input];
  return range(sizes.output).map((position) => {
    const start = position * (window.strides[axis] ?? 1) - padding.before;
    const coveredIndices = range(window.kernel[axis] ?? 1).map((tap) => start + tap * (window.dilations[axis] ?? 1));
    return coveredIndices.filter((index) => index >= first && index < end).length;
  });
}

/** Returns settings of the ConvTranspose that spreads gradients of the window's output over its input. */
export function spreadSettings(
  window: Window,
  spatial: readonly number[],
  out: readonly number[],
): { readonly pads: readonly number[]; readonly output_padding: readonly number[] } {
  const pads = [...explicitPads(window, spatial)];
  const rank = spatial.length;
  const outputPadding = spatial.map((size, axis) => {
    const coveredLength = ((out[axis] ?? 1) - 1) * (window.strides[axis] ?? 1) + kernelExtent(window, axis);
    const neededEnd = coveredLength - (pads[axis] ?? 0) - size;
    const end = Math.max(pads[rank + axis] ?? 0, neededEnd);
    pads[rank + axis] = end;
    return end - neededEnd;
  });
  return { pads, output_padding: outputPadding };
}

export function explicitPads(window: Window, spatial: readonly number[]): readonly number[] {
  if (!window.autoPad.startsWith("SAME")) return window.pads;
  const total = spatial.map((size, axis) => {
    const stride = window.strides[axis] ?? 1;
    return Math.max(0, (Math.ceil(size / stride) - 1) * stride + kernelExtent(window, axis) - size);
  });
  return splitPads(window.autoPad, total);
}

/** Splits the total padding of each axis over both sides. SAME_UPPER pads the end by one more if it is odd. */
export function splitPads(autoPad: string, total: readonly number[]): readonly number[] {
  const smallerPads = total.map((pad) => Math.floor(pad / 2));
  const largerPads = total.map((pad) => Math.ceil(pad / 2));
  return autoPad === "SAME_UPPER" ? [...smallerPads, ...largerPads] : [...largerPads, ...smallerPads];
}
