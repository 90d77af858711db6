/** Numbers from 0 in sets, each of which goes by its least number: union-find with path halving. */
export class DisjointSets {
  /** Itself at the root. */
  readonly #parents: number[] = [];

  get count(): number {
    return this.#parents.length;
  }

  /** The next number, in a set of its own. */
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

  /** Makes one of two sets; false where they are one already. */
  join(some: number, others: number): boolean {
    const [a, b] = [this.find(some), this.find(others)];
    this.#parents[Math.max(a, b)] = Math.min(a, b);
    return a !== b;
  }
}
