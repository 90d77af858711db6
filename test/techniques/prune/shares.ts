/** Prunes a network by every criterion, pattern and allocation, and counts the weights that remain. */
import { parseModel } from "pith/extend";
import { type PruneOptions, prune } from "pith/prune";
import { expect } from "vitest";

/** Returns the numbers in each layer's change text: pruned weights, all weights, remaining weights. */
const countsOf = async (text: string, options: PruneOptions): Promise<readonly number[][]> =>
  (await prune(parseModel(text), options)).changes.map(({ what }) =>
    (what.match(/\d[\d,]*/g) ?? []).map((number) => Number(number.replaceAll(",", ""))),
  );
const sum = (counts: readonly number[][], at: number): number => counts.reduce((all, own) => all + (own[at] ?? 0), 0);

/** Expects that the requested share is pruned and no layer is empty. @param text of a model. */
export async function expectShares(text: string): Promise<void> {
  for (const importance of ["magnitude", "random"] as const) {
    for (const scope of ["uniform", "global"] as const) {
      const counts = await countsOf(text, { amount: 0.5, scope, importance });
      // Each layer rounds, unless all layers are ranked jointly. Then a layer that would be empty keeps one weight.
      const spared = counts.filter(([, , remaining]) => remaining === 1).length;
      const together = scope !== "uniform";
      const deviation = Math.abs(sum(counts, 0) - 0.5 * sum(counts, 1));
      expect(deviation).toBeLessThanOrEqual(together ? 1 + spared : 0.5 * counts.length);
      expect(Math.min(...counts.map(([, , remaining = 0]) => remaining))).toBeGreaterThan(0);
      for (const pattern of ["rows"])
        for (const [at, [, was, remaining]] of (
          await countsOf(text, { amount: 0.5, scope, importance, pattern })
        ).entries()) {
          expect(was).toBe(counts[at]?.[1]);
          expect(remaining).toBeGreaterThan(0);
        }
    }
  }
}
