/** Names that are taken, and how often; hands out others. */
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
