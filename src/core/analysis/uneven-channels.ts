/** Finds convolutions whose new channel counts do not fill ONNX Runtime's channel blocks. */
import type { Model } from "#graph";
import { infer } from "./infer.ts";
import { layers } from "./layers.ts";

/** The number of channels per block of ONNX Runtime's convolutions with AVX-512. A partial block takes as long as a full one. */
export const blockWidth = 16;

export interface UnevenChannels {
  /** The number of convolutions whose output channels changed to another number than a multiple of `blockWidth`. */
  readonly layers: number;
  readonly convolutions: number;
  /** The distinct channel counts of these convolutions. */
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
