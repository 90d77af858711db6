/**
 * One of something for each set of sizes that batches come in: the data of a text model comes in a few lengths again and again. Of too many,
 * the one that was used longest ago goes.
 */
import type { Batch } from "../tensor/types.ts";
import { sizesOf } from "./loss-graph.ts";

export interface BySizes<T> {
  /** What there is for batches of these sizes, made where there is none. */
  of(batch: Batch): Promise<T>;
  release(): Promise<void>;
}

const most = 16;

export function bySizes<T>(make: (example: Batch) => Promise<T>, release: (one: T) => Promise<void>): BySizes<T> {
  const made = new Map<string, T>();
  return {
    async of(batch) {
      const sizes = sizesOf(batch);
      const one = made.get(sizes) ?? (await make(batch));
      made.delete(sizes);
      made.set(sizes, one);
      const [oldest] = made;
      if (made.size > most && oldest !== undefined) {
        made.delete(oldest[0]);
        await release(oldest[1]);
      }
      return one;
    },
    async release() {
      const all = [...made.values()];
      made.clear();
      for (const one of all) await release(one);
    },
  };
}
