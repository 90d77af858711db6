/** Union-find with path halving over integers from 0. The representative of a set is its smallest number. */
export class DisjointSets {
  readonly #parents: number[] = [];

  get count(): number {
    return this.#parents.length;
  }

  add(): number {
    return this.#parents.push(this.#parents.length) - 1;
  }

  find(number: number): number {
    let at = number;
    for (let parent = this.#parents[at] ?? at; parent !== at; parent = this.#parents[at] ?? at) {
      const grand = this.#parents[parent] ?? parent;
      this.#parents[at] = grand;
      at = grand;
    }
    return at;
  }

  /** Merges two sets; returns false if they are the same. */
  join(first: number, second: number): boolean {
    const [a, b] = [this.find(first), this.find(second)];
    this.#parents[Math.max(a, b)] = Math.min(a, b);
    return a !== b;
  }
}
