/** Functions on pruning masks: row-major, 1 for kept and 0 for pruned entries. */
import type { Mask } from "../../rewrite/edit/mask.ts";

export function keptCount(mask: Mask): number {
  let count = 0;
  for (const kept of mask) count += kept;
  return count;
}

export function intersect(a: Mask, b: Mask): Mask {
  return a.map((kept, index) => kept & (b[index] ?? 0));
}
