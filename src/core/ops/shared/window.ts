/** Sliding windows of convolution and pooling: output sizes and `auto_pad`. */

import { Miss } from "../../errors.ts";
import { addDims, ceilDims, type Dim, extremeDims, floorDims } from "../../tensor/dims.ts";
import type { AxisLink, Site } from "../define.ts";
import { flag, integers, text } from "./attributes.ts";
import { range } from "./rules.ts";

export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** The starts of all axes, then the ends; only valid if `autoPad` is NOTSET or VALID. */
  readonly pads: readonly number[];
  readonly autoPad: string;
  readonly ceil: boolean;
}

export function readWindow(site: Site, kernel: readonly number[]): Window {
  const autoPad = text(site, "auto_pad", "NOTSET");
  const pads = autoPad === "VALID" ? undefined : integers(site, "pads");
  return {
    kernel,
    strides: integers(site, "strides") ?? kernel.map(() => 1),
    dilations: integers(site, "dilations") ?? kernel.map(() => 1),
    pads: pads ?? [...kernel, ...kernel].map(() => 0),
    autoPad,
    ceil: flag(site, "ceil_mode"),
  };
}

export function readPool(site: Site): Window | Miss {
  const kernel = integers(site, "kernel_shape");
  return kernel === undefined ? new Miss("has no kernel_shape") : readWindow(site, kernel);
}

export const pooledDims = (window: Window, dims: readonly Dim[]): readonly Dim[] => [
  ...dims.slice(0, 2),
  ...windowDims(window, dims.slice(2)),
];

export const globallyPooled = (dims: readonly Dim[]): readonly Dim[] => dims.map((dim, axis) => (axis < 2 ? dim : 1));

/** Samples and channels pass through; positions do not. */
export const channelAxes = (channelAxis = 1): readonly AxisLink[] =>
  [0, channelAxis].map((axis) => ({ from: ["in0", axis], to: ["out0", axis] }));

export const padding = ({ autoPad, pads }: Pick<Window, "autoPad" | "pads">) =>
  autoPad.startsWith("SAME") ? { auto_pad: autoPad } : { pads };

/** Returns the equivalent attributes of MaxPool. */
export const poolAttributes = ({ kernel, strides, dilations, ceil, ...window }: Window) => ({
  kernel_shape: kernel,
  strides,
  dilations,
  ceil_mode: ceil ? 1 : 0,
  ...padding(window),
});

export function extent(window: Window, axis: number): number {
  return ((window.kernel[axis] ?? 1) - 1) * (window.dilations[axis] ?? 1) + 1;
}

/** Returns the pads of an axis in total. */
export const bothPads = ({ kernel, pads }: Window, axis: number): number =>
  (pads[axis] ?? 0) + (pads[kernel.length + axis] ?? 0);

export function windowDims(window: Window, spatial: readonly Dim[]): readonly Dim[] {
  return spatial.map((size, axis) => {
    const stride = window.strides[axis] ?? 1;
    if (window.autoPad.startsWith("SAME")) return ceilDims(size, stride);
    const reach = extent(window, axis);
    const padded = addDims(size, bothPads(window, axis) - reach);
    if (!window.ceil) return addDims(floorDims(padded, stride), 1);
    const steps = addDims(ceilDims(padded, stride), 1);
    const [before = 0, after = 0] = [window.pads[axis], window.pads[window.kernel.length + axis]];
    // The last window must start inside the input or its left padding; only large strides can violate this.
    if (after + stride <= reach) return steps;
    return extremeDims("min", [steps, ceilDims(addDims(size, before), stride)]);
  });
}

/** Returns the number of input positions that each window along an axis covers, including padding if requested. */
export function windowCounts(
  window: Window,
  axis: number,
  sizes: { readonly input: number; readonly output: number },
  padding: { readonly before: number; readonly after: number; readonly counts: boolean },
): readonly number[] {
  const [first, end] = padding.counts ? [-padding.before, sizes.input + padding.after] : [0, sizes.input];
  return range(sizes.output).map((position) => {
    const start = position * (window.strides[axis] ?? 1) - padding.before;
    const covered = range(window.kernel[axis] ?? 1).map((tap) => start + tap * (window.dilations[axis] ?? 1));
    return covered.filter((index) => index >= first && index < end).length;
  });
}

/** Returns ConvTranspose settings that spread window outputs over the input; `output_padding` and `pads` correct the size. */
export function spreadSettings(
  window: Window,
  spatial: readonly number[],
  out: readonly number[],
): { readonly pads: readonly number[]; readonly output_padding: readonly number[] } {
  const pads = [...explicitPads(window, spatial)];
  const rank = spatial.length;
  const outputPadding = spatial.map((size, axis) => {
    const covered = ((out[axis] ?? 1) - 1) * (window.strides[axis] ?? 1) + extent(window, axis);
    const beyond = covered - (pads[axis] ?? 0) - size;
    const end = Math.max(pads[rank + axis] ?? 0, beyond);
    pads[rank + axis] = end;
    return end - beyond;
  });
  return { pads, output_padding: outputPadding };
}

/** Returns explicit pads for fixed sizes, with `auto_pad` resolved. */
export function explicitPads(window: Window, spatial: readonly number[]): readonly number[] {
  if (!window.autoPad.startsWith("SAME")) return window.pads;
  const total = spatial.map((size, axis) => {
    const stride = window.strides[axis] ?? 1;
    return Math.max(0, (Math.ceil(size / stride) - 1) * stride + extent(window, axis) - size);
  });
  return splitOverSides(window.autoPad, total);
}

/** Splits total padding over both sides. For an odd total, SAME_UPPER pads the end by one more, SAME_LOWER the start. */
export function splitOverSides(autoPad: string, total: readonly number[]): readonly number[] {
  const small = total.map((pad) => Math.floor(pad / 2));
  const large = total.map((pad) => Math.ceil(pad / 2));
  return autoPad === "SAME_UPPER" ? [...small, ...large] : [...large, ...small];
}
