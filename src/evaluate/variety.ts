/** Whether what a model says to different inputs differs: two models that both always say the same are equal, which shows little. */
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import type { Batch, Dense } from "../tensor/types.ts";

type Elements = ArrayLike<number | bigint | string>;

/** Outputs of one run after another. Runs may be of different sizes: they are compared as far as both go. NaN is as good as any constant. */
export class Variety {
  readonly #last = new Map<string, Elements>();
  #runs = 0;
  #moved = false;

  add(outputs: Batch): void {
    this.#runs++;
    for (const [name, dense] of Object.entries(outputs)) {
      const elements = elementsOf(dense);
      const before = this.#last.get(name);
      this.#last.set(name, elements);
      this.#moved ||= before !== undefined && differ(before, elements);
    }
  }

  /** Whether no output ever said anything else; false while there was one run only. */
  get constant(): boolean {
    return this.#runs > 1 && !this.#moved;
  }
}

function elementsOf(dense: Dense): Elements {
  return isFloat(dense.type) ? toFloat64(dense) : dense.data;
}

function differ(a: Elements, b: Elements): boolean {
  const shorter = Math.min(a.length, b.length);
  for (let at = 0; at < shorter; at++) if (!Object.is(a[at], b[at])) return true;
  return false;
}
