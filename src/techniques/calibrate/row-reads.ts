import type { Statistic } from "./statistic.ts";

export interface RowReads {
  /** Maps each index to its number of reads. Negative indices count from the end. */
  readonly reads: ReadonlyMap<number, number>;
}

/** How often each row of a table is read. */
export const rowReads: Statistic<RowReads> = {
  begin() {
    const reads = new Map<number, number>();
    return {
      add(batch) {
        for (const index of batch.values()) reads.set(index, (reads.get(index) ?? 0) + 1);
      },
      end: () => ({ reads }),
    };
  },
};
