/**
 * Chooses the form of the gradient of a convolution by its kernel (`weight-gradient-forms.ts`). Measured on x64 with AVX-512, batches of 16 and 128:
 * - "taps": fastest for many positions and a medium number of channels.
 * - "rows": three to four times as fast for 1 or 3 channels, whose products are too narrow, and faster for 16 or more, too.
 * - "channels last": twice as fast for strides from 32 channels on; 10 to 50 % faster for 64 or more on small images; 25 % for one channel.
 * - "channel by channel" (depthwise): two to five times as fast on small images, slower on large ones.
 * - "one product" (1 × 1): two to eight times as fast for many channels on small images. The product itself adds the momentum.
 * With blocked channels (`channel-blocks.ts`):
 * - "samples in blocks": two to three times as fast as the above, and multithreaded, unlike slices. It needs several channels to fill the registers.
 * - "depthwise in blocks": ten times as fast or more.
 */
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { elementCount } from "../../tensor/dims.ts";
import type { Contribution } from "../define.ts";
import type { Blocks } from "./channel-blocks.ts";
import type { ConvSettings } from "./convolution.ts";
import { reshapeTo, sizesOf, typeOf } from "./rules.ts";
import {
  channelByChannel,
  channelsLast,
  depthwiseInBlocks,
  oneProduct,
  rows,
  samplesInBlocks,
  shapeOf,
  taps,
  type Writer,
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

/** The maximum number of output positions of a small image. */
const small = 256;

export function formsFor(s: ConvSettings, x: Value, up: Value, block?: number): readonly Form[] {
  const { group, kernel } = s;
  const { batch, channels, outputs } = shapeOf(x, up);
  const blocks = block !== undefined && kernel.length === 2 && typeOf(x) === "float32" ? block : undefined;
  if (group === 1) {
    const samples: readonly Form[] = blocks !== undefined && batch % blocks === 0 ? ["samples in blocks"] : [];
    const product: readonly Form[] = isProduct(s, x) ? ["one product"] : [];
    return ["taps", "rows", "channels last", ...product, ...samples];
  }
  if (channels !== group || outputs !== group) return ["taps"];
  return ["taps", "channel by channel", ...(blocks === undefined ? [] : (["depthwise in blocks"] as const))];
}

/** Returns whether each output position reads exactly the data at the same position. */
function isProduct(s: ConvSettings, x: Value): boolean {
  if (elementCount(s.kernel) !== 1 || s.strides.some((stride) => stride !== 1)) return false;
  return explicitPads(s, sizesOf(x).slice(2)).every((pad) => pad === 0);
}

export function selectFastest(s: ConvSettings, x: Value, up: Value, block: number | undefined): Form {
  const { channels, outputs, positions } = shapeOf(x, up);
  if (elementCount(s.kernel) === 1) {
    const fewPlaces = positions * (channels + outputs) < channels * outputs;
    return s.group === 1 && fewPlaces && isProduct(s, x) ? "one product" : "taps";
  }
  const possible = formsFor(s, x, up, block);
  if (possible.includes("depthwise in blocks")) return "depthwise in blocks";
  if (possible.includes("samples in blocks") && channels > 1) return "samples in blocks";
  if (s.group > 1) return possible.includes("channel by channel") && positions <= small ? "channel by channel" : "taps";
  if (channels <= 8) return channels === 1 ? "channels last" : "rows";
  const strided = s.strides.some((stride) => stride > 1);
  return (strided && channels >= 32) || (channels >= 64 && positions <= small) ? "channels last" : "taps";
}

export interface WeightGradientOptions {
  readonly blocks?: Blocks | undefined;
  /** Returns what was contributed so far, for a form that adds to it for free. */
  readonly take?: () => Contribution | undefined;
  readonly form?: Form;
}

/** Writes dLoss/dW in the kernel's dimensions, from the data, the kernel and dLoss/dY. */
export function weightGradient(
  s: ConvSettings,
  emit: Emit,
  [x, w, up]: readonly [Value, Value, Value],
  { blocks, take = () => undefined, form = selectFastest(s, x, up, blocks?.size) }: WeightGradientOptions = {},
): Value {
  const shape = shapeOf(x, up);
  if (form === "one product") return reshapeTo(emit, oneProduct(emit, x, up, shape, take()), sizesOf(w));
  if (blocks !== undefined && form === "samples in blocks")
    return reshapeTo(emit, samplesInBlocks(s, emit, x, up, shape, blocks), sizesOf(w));
  if (blocks !== undefined && form === "depthwise in blocks")
    return reshapeTo(emit, depthwiseInBlocks(s, emit, x, up, shape, blocks), sizesOf(w));
  const writer = plain[form];
  if (writer === undefined) throw new RangeError(`the form "${form}" needs blocks of channels`);
  return reshapeTo(emit, writer(s, emit, x, up, shape), sizesOf(w));
}

const plain: Readonly<Partial<Record<Form, Writer>>> = {
  taps,
  rows,
  "channels last": channelsLast,
  "channel by channel": channelByChannel,
};
