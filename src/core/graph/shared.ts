export class Names {
  readonly #taken = new Map<string, number>();
  readonly #next = new Map<string, number>();

  take(name: string): void {
    this.#taken.set(name, (this.#taken.get(name) ?? 0) + 1);
  }

  clear(): void {
    this.#taken.clear();
    this.#next.clear();
  }

  has(name: string): boolean {
    return this.#taken.has(name);
  }

  release(name: string): void {
    const count = this.#taken.get(name) ?? 0;
    if (count <= 1) this.#taken.delete(name);
    else this.#taken.set(name, count - 1);
  }

  fresh(stem: string): string {
    if (!this.#taken.has(stem)) return stem;
    let number = this.#next.get(stem) ?? 1;
    while (this.#taken.has(`${stem}_${number}`)) number++;
    this.#next.set(stem, number);
    return `${stem}_${number}`;
  }
}

/** State shared by all graphs of a model, including subgraphs. */
export class Shared<V> {
  readonly names = new Names();
  /** Cached results are valid while this count is unchanged. */
  revision = 0;
  operators: object | undefined = undefined;
  /** The values tied to each name: a subgraph can hold copies of an outer tensor. */
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
    const all = [...this.#ties].map(([name, values]) => [name, [...values]] as const);
    return () => {
      this.#ties.clear();
      for (const [name, values] of all) this.#ties.set(name, new Set(values));
    };
  }
}
