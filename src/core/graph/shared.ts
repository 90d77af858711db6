/** State that all graphs of a model share: the names in use, the revision, and ties between parameters. */

/** The names in use, with the number of uses of each name. */
export class Names {
  readonly #useCounts = new Map<string, number>();
  /** For each stem, the first number that may be free. */
  readonly #nextNumbers = new Map<string, number>();

  take(name: string): void {
    this.#useCounts.set(name, (this.#useCounts.get(name) ?? 0) + 1);
  }

  clear(): void {
    this.#useCounts.clear();
    this.#nextNumbers.clear();
  }

  has(name: string): boolean {
    return this.#useCounts.has(name);
  }

  release(name: string): void {
    const count = this.#useCounts.get(name) ?? 0;
    if (count <= 1) this.#useCounts.delete(name);
    else this.#useCounts.set(name, count - 1);
  }

  /** Returns `stem`, or, if this name is taken, `stem` with the first free number. */
  fresh(stem: string): string {
    if (!this.#useCounts.has(stem)) return stem;
    let number = this.#nextNumbers.get(stem) ?? 1;
    while (this.#useCounts.has(`${stem}_${number}`)) number++;
    this.#nextNumbers.set(stem, number);
    return `${stem}_${number}`;
  }
}

/** State shared by all graphs of a model, including subgraphs. */
export class Shared<V> {
  readonly names = new Names();
  /** A number that increases with every change. Cached results are valid while it stays the same. */
  revision = 0;
  operators: object | undefined = undefined;
  /** The values tied to each name. A subgraph can contain copies of an outer tensor. */
  readonly #ties = new Map<string, Set<V>>();

  tie(value: V, name: string): void {
    this.#ties.set(name, (this.#ties.get(name) ?? new Set()).add(value));
  }

  untie(value: V, name: string): void {
    const values = this.#ties.get(name);
    values?.delete(value);
    if (values?.size === 0) this.#ties.delete(name);
  }

  tiesOf(name: string): readonly V[] {
    return [...(this.#ties.get(name) ?? [])];
  }

  snapshotTies(): () => void {
    const entries = [...this.#ties].map(([name, values]) => [name, [...values]] as const);
    return () => {
      this.#ties.clear();
      for (const [name, values] of entries) this.#ties.set(name, new Set(values));
    };
  }
}
