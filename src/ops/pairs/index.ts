/**
 * Two operators in a row that one could do. A rule is exact: the numbers stay as they are, but for sums that are added up in another order (`reorders`).
 * The walker that asks them is `passes/fuse-pairs.ts`.
 */

import { layoutPairs } from "./layout.ts";
import { mathPairs } from "./math.ts";
import type { Pair } from "./pair.ts";
import { sequencePairs } from "./sequence.ts";

export type { Pair, PairResult } from "./pair.ts";
export { stepPairs } from "./step.ts";

/** All rules. The first that answers is taken. */
export const pairs: readonly Pair[] = [...layoutPairs, ...mathPairs, ...sequencePairs];
