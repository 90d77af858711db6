/**
 * Selects the fastest form of the kernel gradient of a convolution (`weight-gradient-forms.ts`), as measured on x64 with AVX-512:
 * "rows" for few channels, because products of single taps are too narrow; "channels last" with strides, or for many channels on small images;
 * "channel by channel" for depthwise kernels on small images; "samples in blocks" is multithreaded, unlike slices.
 */
import { type Emit, elementCount, type Value } from "#graph";
import type { Contribution } from "../define.ts";
import type { ChannelBlocks } from "./channel-blocks.ts";
import type { ConvSettings } from "./convolution.ts";
import { reshapeTo, sizesOf, typeOf } from "./shapes.ts";
import {
  type FormWriter,
  shapesOf,
  writeByChannel,
  writeByRows,
  writeByTaps,
  writeChannelsLast,
  writeDepthwiseInBlocks,
  writeOneProduct,
  writeSamplesInBlocks,
} from "./weight-gradient-forms.ts";
import { explicitPads } from "./window.ts";

export const forms = [
  "taps",
  "rows",
  "channels last",
  "channel by channel",
  "one product",
  "samples in blocks",
  "depthwise in blocks",
] as const;

export type Form = (typeof forms)[number];

const maxSmallPositions = 256;

export function possibleForms(s: ConvSettings, x: Value, up: Value, block?: number): readonly Form[] {
  const { group, kernel } = s;
  const { batch, channels, outputs } = shapesOf(x, up);
  const blockSize = block !== undefined && kernel.length === 2 && typeOf(x) === "float32" ? block : undefined;
  if (group === 1) {
    const samples: readonly Form[] = blockSize !== undefined && batch % blockSize === 0 ? ["samples in blocks"] : [];
    const product: readonly Form[] = isMatrixProduct(s, x) ? ["one product"] : [];
    return ["taps", "rows", "channels last", ...product, ...samples];
  }
  if (channels !== group || outputs !== group) return ["taps"];
  return ["taps", "channel by channel", ...(blockSize === undefined ? [] : (["depthwise in blocks"] as const))];
}

/** Returns whether the kernel is 1 × 1 without strides and padding. */
function isMatrixProduct(s: ConvSettings, x: Value): boolean {
  if (elementCount(s.kernel) !== 1 || s.strides.some((stride) => stride !== 1)) return false;
  return explicitPads(s, sizesOf(x).slice(2)).every((pad) => pad === 0);
}

export function selectFastestForm(s: ConvSettings, x: Value, up: Value, block: number | undefined): Form {
  const { channels, outputs, positions } = shapesOf(x, up);
  if (elementCount(s.kernel) === 1) {
    const hasFewPositions = positions * (channels + outputs) < channels * outputs;
    return s.group === 1 && hasFewPositions && isMatrixProduct(s, x) ? "one product" : "taps";
  }
  const availableForms = possibleForms(s, x, up, block);
  if (availableForms.includes("depthwise in blocks")) return "depthwise in blocks";
  if (availableForms.includes("samples in blocks") && channels > 1) return "samples in blocks";
  if (s.group > 1)
    return availableForms.includes("channel by channel") && positions <= maxSmallPositions
      ? "channel by channel"
      : "taps";
  if (channels <= 8) return channels === 1 ? "channels last" : "rows";
  const isStrided = s.strides.some((stride) => stride > 1);
  return (isStrided && channels >= 32) || (channels >= 64 && positions <= maxSmallPositions) ? "channels last" : "taps";
}

export interface WeightGradientOptions {
  readonly blocks?: ChannelBlocks | undefined;
  /** Returns the previous contributions to the gradient, which the form "one product" adds at no cost. */
  readonly takePrevious?: () => Contribution | undefined;
  readonly form?: Form;
}

/** Writes dLoss/dW with the dimensions of the kernel. */
export function writeWeightGradient(
  s: ConvSettings,
  emit: Emit,
  [x, w, up]: readonly [Value, Value, Value],
  {
    blocks,
    takePrevious = () => undefined,
    form = selectFastestForm(s, x, up, blocks?.size),
  }: WeightGradientOptions = {},
): Value {
  const shape = shapesOf(x, up);
  if (form === "one product") return reshapeTo(emit, writeOneProduct(emit, x, up, shape, takePrevious()), sizesOf(w));
  if (blocks !== undefined && form === "samples in blocks")
    return reshapeTo(emit, writeSamplesInBlocks(s, emit, x, up, shape, blocks), sizesOf(w));
  if (blocks !== undefined && form === "depthwise in blocks")
    return reshapeTo(emit, writeDepthwiseInBlocks(s, emit, x, up, shape, blocks), sizesOf(w));
  const writer = unblockedWriters[form];
  if (writer === undefined) throw new RangeError(`the form "${form}" needs blocks of channels`);
  return reshapeTo(emit, writer(s, emit, x, up, shape), sizesOf(w));
}

const unblockedWriters: Readonly<Partial<Record<Form, FormWriter>>> = {
  taps: writeByTaps,
  rows: writeByRows,
  "channels last": writeChannelsLast,
  "channel by channel": writeByChannel,
};
