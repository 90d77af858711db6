/** Union-find with path halving. The representative of a set is its lowest integer. */
export class DisjointSets {
  readonly #parents: number[] = [];

  get count(): number {
    return this.#parents.length;
  }

  add(): number {
    return this.#parents.push(this.#parents.length) - 1;
  }

  find(number: number): number {
    let ancestor = number;
    for (
      let parent = this.#parents[ancestor] ?? ancestor;
      parent !== ancestor;
      parent = this.#parents[ancestor] ?? ancestor
    ) {
      const grand = this.#parents[parent] ?? parent;
      this.#parents[ancestor] = grand;
      ancestor = grand;
    }
    return ancestor;
  }

  /** Merges two sets. Returns false if they are the same. */
  join(first: number, second: number): boolean {
    const [a, b] = [this.find(first), this.find(second)];
    this.#parents[Math.max(a, b)] = Math.min(a, b);
    return a !== b;
  }
}
