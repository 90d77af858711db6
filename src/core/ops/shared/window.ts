/** Sliding windows of convolution and pooling: output sizes and `auto_pad`. */

import { Miss } from "../../errors.ts";
import { addDims, ceilDims, type Dim, extremeDims, floorDims } from "../../tensor/dims.ts";
import type { AxisLink, Site } from "../define.ts";
import { integer, integers, text } from "./attributes.ts";

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
  const fill = (value: number, count = kernel.length): number[] => new Array<number>(count).fill(value);
  const autoPad = text(site, "auto_pad", "NOTSET");
  return {
    kernel,
    strides: integers(site, "strides") ?? fill(1),
    dilations: integers(site, "dilations") ?? fill(1),
    pads: autoPad === "VALID" ? fill(0, 2 * kernel.length) : (integers(site, "pads") ?? fill(0, 2 * kernel.length)),
    autoPad,
    ceil: integer(site, "ceil_mode", 0) !== 0,
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
export const channelAxes = (): readonly AxisLink[] => [
  { from: ["in0", 0], to: ["out0", 0] },
  { from: ["in0", 1], to: ["out0", 1] },
];

export const padding = ({ autoPad, pads }: Pick<Window, "autoPad" | "pads">) =>
  autoPad.startsWith("SAME") ? { auto_pad: autoPad } : { pads };

export function extent(window: Window, axis: number): number {
  return ((window.kernel[axis] ?? 1) - 1) * (window.dilations[axis] ?? 1) + 1;
}

export function windowDims(window: Window, spatial: readonly Dim[]): readonly Dim[] {
  const rank = window.kernel.length;
  return spatial.map((size, axis) => {
    const stride = window.strides[axis] ?? 1;
    if (window.autoPad.startsWith("SAME")) return ceilDims(size, stride);
    const padded = addDims(size, (window.pads[axis] ?? 0) + (window.pads[rank + axis] ?? 0) - extent(window, axis));
    if (!window.ceil) return addDims(floorDims(padded, stride), 1);
    const steps = addDims(ceilDims(padded, stride), 1);
    const [before, after] = [window.pads[axis] ?? 0, window.pads[rank + axis] ?? 0];
    // The last window must start inside the input or its left padding; only large strides can violate this.
    if (after + stride <= extent(window, axis)) return steps;
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
  return Array.from({ length: sizes.output }, (_, place) => {
    const start = place * (window.strides[axis] ?? 1) - padding.before;
    const taps = Array.from(
      { length: window.kernel[axis] ?? 1 },
      (_, tap) => start + tap * (window.dilations[axis] ?? 1),
    );
    return taps.filter((at) => at >= first && at < end).length;
  });
}

/** Returns ConvTranspose settings that spread window outputs over the input; `output_padding` and `pads` correct the size. */
export function spreadSettings(
  window: Window,
  spatial: readonly number[],
  out: readonly number[],
): { readonly pads: readonly number[]; readonly output_padding: readonly number[] } {
  const given = explicitPads(window, spatial);
  const rank = spatial.length;
  const pads = [...given];
  const rest = spatial.map((size, axis) => {
    const covered = ((out[axis] ?? 1) - 1) * (window.strides[axis] ?? 1) + extent(window, axis);
    const beyond = covered - (given[axis] ?? 0) - size;
    pads[rank + axis] = Math.max(given[rank + axis] ?? 0, beyond);
    return (pads[rank + axis] ?? 0) - beyond;
  });
  return { pads, output_padding: rest };
}

/** Returns explicit pads for fixed sizes, with `auto_pad` resolved. */
export function explicitPads(window: Window, spatial: readonly number[]): readonly number[] {
  if (!window.autoPad.startsWith("SAME")) return window.pads;
  const total = spatial.map((size, axis) => {
    const stride = window.strides[axis] ?? 1;
    return Math.max(0, (Math.ceil(size / stride) - 1) * stride + extent(window, axis) - size);
  });
  return bothSides(window.autoPad, total);
}

/** Splits padding over both sides; SAME_UPPER puts an odd one at the end, SAME_LOWER at the start. */
export function bothSides(autoPad: string, total: readonly number[]): readonly number[] {
  const small = total.map((pad) => Math.floor(pad / 2));
  const large = total.map((pad) => Math.ceil(pad / 2));
  return autoPad === "SAME_UPPER" ? [...small, ...large] : [...large, ...small];
}
