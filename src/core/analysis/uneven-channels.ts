import type { Model } from "#graph";
import { infer } from "./infer.ts";
import { layers } from "./layers.ts";

/**
 * The number of channels per block of ONNX Runtime's convolutions with AVX-512; AVX2 uses 8. A partial block takes as long as a full one. Relative
 * time of six 3 × 3 convolutions on 16 × 16 maps, one thread: 16 channels 0.17, 20 to 32 channels 0.49, 40 and 48 channels 1.00.
 */
export const blockWidth = 16;

export interface UnevenChannels {
  /** The number of convolutions whose output channels changed to a number that is not a multiple of `blockWidth`. */
  readonly layers: number;
  readonly convolutions: number;
  /** The distinct channel counts of these convolutions, in ascending order. */
  readonly counts: readonly number[];
}

export function unevenChannels(original: Model, result: Model): UnevenChannels {
  const before = new Map(convolutions(original).map(({ name, outputs }) => [name, outputs]));
  const all = convolutions(result);
  const uneven = all.filter(({ name, outputs }) => before.get(name) !== outputs && outputs % blockWidth !== 0);
  const counts = [...new Set(uneven.map(({ outputs }) => outputs))].sort((a, b) => a - b);
  return { layers: uneven.length, convolutions: all.length, counts };
}

function convolutions(model: Model) {
  return layers(model, infer(model)).filter(({ role }) => role.window !== undefined);
}
