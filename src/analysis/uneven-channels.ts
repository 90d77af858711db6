/** Channel counts that convolutions compute no faster than the next larger one of whole blocks. */
import type { Model } from "../graph/model.ts";
import { infer } from "./infer.ts";
import { layers } from "./layers.ts";

/**
 * Channels that convolutions of ONNX Runtime compute together: 16 with AVX-512, 8 with AVX2. A block that is not full takes as long as a full
 * one. Six convolutions in a row, 3 × 3 on 16 × 16 places, one thread, relative to 48 channels (AVX-512): 16 channels take 0.17 of the time, 20,
 * 24, 28 and 32 all 0.49, 40 and 48 1.00. Matrix products take a time proportional to their operations.
 */
export const widestBlock = 16;

export interface UnevenChannels {
  /** Convolutions with a changed number of output channels that fills no whole blocks. */
  readonly layers: number;
  readonly convolutions: number;
  /** Their numbers of channels, each once, in ascending order. */
  readonly counts: readonly number[];
}

/** The convolutions of a result that have other numbers of channels than those of its original and fill no whole blocks. */
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
