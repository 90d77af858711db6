/** Checks whether a model's outputs vary over inputs. Two models with constant outputs are equal, which shows little. */
import { isFloat, toFloat64 } from "../../core/tensor/convert.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";

type Elements = ArrayLike<number | bigint | string>;

/** Outputs of consecutive runs. Runs of different sizes are compared over their common length. NaN counts as constant. */
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

  /** False after a single run. */
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
