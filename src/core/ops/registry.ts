import { PithError } from "../errors.ts";
import type { Op } from "./define.ts";

/** Definitions by domain and name. A model has its own registry (`addOperators`); nothing is global. */
export class Registry {
  readonly #entries = new Map<string, Map<string, Op>>();

  /** @throws PithError E_NAME if two entries are for the same operator. */
  constructor(entries: Iterable<Op>) {
    for (const op of entries) {
      const { domain, name } = op;
      const named = this.#entries.get(domain) ?? new Map<string, Op>();
      if (named.has(name)) throw new PithError("E_NAME", `Operator ${domain}/${name} is defined twice.`);
      this.#entries.set(domain, named.set(name, op));
    }
  }

  find(domain: string, name: string): Op | undefined {
    return this.#entries.get(domain)?.get(name);
  }

  with(...entries: readonly Op[]): Registry {
    return new Registry([...this, ...entries]);
  }

  *[Symbol.iterator](): Generator<Op, void, undefined> {
    for (const named of this.#entries.values()) yield* named.values();
  }
}
