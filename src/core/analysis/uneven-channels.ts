import type { Model } from "#graph";
import { widestBlock } from "../channel-block.ts";
import { infer } from "./infer.ts";
import { layers } from "./layers.ts";

export interface UnevenChannels {
  /** The number of convolutions whose output channels changed to a number that is not a multiple of `widestBlock`. */
  readonly layers: number;
  /** The number of convolutions in the changed model. */
  readonly convolutions: number;
  /** The distinct channel counts of these convolutions, in ascending order. */
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
