/** Exact rules for two consecutive operators, except for summation order (`reorders`). `rewrite/clean-up/fuse-pairs.ts` applies them. */

import { axesOfSum, layoutPairs, paddedWindow } from "./layout.ts";
import { mathPairs } from "./math.ts";
import { type PairRules, rulesOf } from "./pair.ts";
import { pieceOfSequence } from "./sequence.ts";
import { stepPairs } from "./step.ts";
import { inOrder } from "./strided.ts";

export type { PairResult, PairRules } from "./pair.ts";

export const fewerNodes: PairRules = rulesOf([...layoutPairs, inOrder, ...mathPairs, pieceOfSequence]);

export const padsInWindows: PairRules = rulesOf([paddedWindow]);

export const axesOfSums: PairRules = rulesOf([axesOfSum]);

export const fasterSteps: readonly PairRules[] = stepPairs.map(rulesOf);
