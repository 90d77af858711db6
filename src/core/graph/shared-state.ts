/** State that the main graph and its subgraphs share: names in use, the revision, and tied parameters. */

/** The names in use, with use counts. They are counted at the first lookup, because most copies need no new name. */
export class Names {
  readonly #list: () => Iterable<string>;
  #useCounts: Map<string, number> | undefined;
  readonly #nextNumbers = new Map<string, number>();

  /** @param list Returns the names in use, each as often as it is used. */
  constructor(list: () => Iterable<string> = () => []) {
    this.#list = list;
  }

  take(name: string): void {
    this.#useCounts?.set(name, (this.#useCounts.get(name) ?? 0) + 1);
  }

  clear(): void {
    this.#useCounts = undefined;
    this.#nextNumbers.clear();
  }

  has(name: string): boolean {
    return this.#counts().has(name);
  }

  release(name: string): void {
    const count = this.#useCounts?.get(name) ?? 0;
    if (count <= 1) this.#useCounts?.delete(name);
    else this.#useCounts?.set(name, count - 1);
  }

  /** Returns `stem`, with a number if this name is taken. */
  fresh(stem: string): string {
    const counts = this.#counts();
    if (!counts.has(stem)) return stem;
    let number = this.#nextNumbers.get(stem) ?? 1;
    while (counts.has(`${stem}_${number}`)) number++;
    this.#nextNumbers.set(stem, number);
    return `${stem}_${number}`;
  }

  #counts(): ReadonlyMap<string, number> {
    if (this.#useCounts === undefined) {
      this.#useCounts = new Map();
      for (const name of this.#list()) this.take(name);
    }
    return this.#useCounts;
  }
}

/** State that all graphs of a model share: the names in use, the revision, and ties between parameters. */
export class SharedState<V> {
  readonly values = new Set<ReadonlyMap<string, V>>();
  readonly names = new Names(() => [...this.values].flatMap((values) => [...values.keys()]));
  /** Cached results are valid while it stays the same. */
  revision = 0;
  operators: object | undefined = undefined;
  /** Values by the name that they are tied to. */
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
