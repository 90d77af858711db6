/** Which values say that they are tied to which name. One for all graphs of a model: a graph inside may hold copies of what is stored around it. */
import type { Value } from "./elements.ts";

export class Ties<V extends Value> {
  readonly #byName = new Map<string, Set<V>>();

  add(name: string, value: V): void {
    const values = this.#byName.get(name) ?? new Set();
    this.#byName.set(name, values.add(value));
  }

  delete(name: string, value: V): void {
    const values = this.#byName.get(name);
    values?.delete(value);
    if (values?.size === 0) this.#byName.delete(name);
  }

  /** Returns a function that restores the present state, order included. */
  snapshot(): () => void {
    const all = [...this.#byName].map(([name, values]) => [name, [...values]] as const);
    return () => {
      this.#byName.clear();
      for (const [name, values] of all) this.#byName.set(name, new Set(values));
    };
  }

  /** The values tied to a name, as they are now. */
  of(name: string): readonly V[] {
    return [...(this.#byName.get(name) ?? [])];
  }
}
