import type { Model } from "../graph/model.ts";
import { infer } from "./infer.ts";
import { layers } from "./layers.ts";

/**
 * ONNX Runtime convolves channels in blocks: 16 with AVX-512, 8 with AVX2. A partial block takes as long as a full one.
 * Six 3 × 3 convolutions on 16 × 16, one thread, relative to 48 channels: 16 channels take 0.17 of the time, 20 to 32 0.49, 40 and 48 1.00.
 */
export const widestBlock = 16;

export interface UnevenChannels {
  /** The number of convolutions whose changed output channels do not fill complete blocks. */
  readonly layers: number;
  readonly convolutions: number;
  readonly counts: readonly number[];
}

export function unevenChannels(original: Model, result: Model): UnevenChannels {
  const before = new Map(convolutions(original).map(({ name, outputs }) => [name, outputs]));
  const all = convolutions(result);
  const uneven = all.filter(({ name, outputs }) => before.get(name) !== outputs && outputs % widestBlock !== 0);
  const counts = [...new Set(uneven.map(({ outputs }) => outputs))].sort((a, b) => a - b);
  return { layers: uneven.length, convolutions: all.length, counts };
}

function convolutions(model: Model) {
  return layers(model, infer(model)).filter(({ role }) => role.window !== undefined);
}
