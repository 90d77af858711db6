/** Rules that fuse two consecutive operators, exactly except for summation order (`reorders`). `rewrite/clean-up/fuse-pairs.ts` applies them. */

import { countFromFront, readPieces, readPosition, splitPieces } from "../shared/sequences.ts";
import { biasAxesPair, layoutPairs, padWindowPair } from "./layout.ts";
import { mathPairs } from "./math.ts";
import { type Pair, type PairRules, rulesOf } from "./pair.ts";
import { stepPairs } from "./step.ts";
import { stridedGatherPair } from "./strided.ts";

export type { PairResult, PairRules } from "./pair.ts";

/** Replaces SequenceAt of a split tensor (torch.chunk, torch.split) by an output of Split. Each reader gets a separate Split; deduplication merges them. */
const sequencePiecePair: Pair = {
  description: "a piece of a sequence that was split is an output of Split",
  first: ["SplitToSequence"],
  second: ["SequenceAt"],
  fuse({ first, second, firstSite, secondSite, input, emit }) {
    const [x] = first.inputs;
    const { position } = readPosition(secondSite);
    const settings = readPieces(firstSite);
    // Split has its sizes as an input only since opset 13.
    if (x === undefined || input !== 0 || position === undefined || secondSite.version < 13) return undefined;
    const index = countFromFront(position, settings.sizes?.length ?? 0);
    if (settings.sizes?.[index] === undefined) return undefined;
    const value = splitPieces(emit.named(second.outputs[0]?.name ?? "piece"), x, settings)?.[index];
    return value && { value };
  },
};

export const nodeSavingRules: PairRules = rulesOf([...layoutPairs, stridedGatherPair, ...mathPairs, sequencePiecePair]);

export const padWindowRules: PairRules = rulesOf([padWindowPair]);

export const biasAxesRules: PairRules = rulesOf([biasAxesPair]);

export const trainingStepRules: readonly PairRules[] = stepPairs.map(rulesOf);
