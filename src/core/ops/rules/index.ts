/** Exact rules that replace several nodes by fewer, except for summation order (`reorders`). `rewrite/clean-up/fuse-nodes.ts` applies them. */

import { fromFront, readPieces, readPosition, splitPieces } from "../shared/sequences.ts";
import { activationStructures } from "./activations.ts";
import { joinedSelections } from "./joins.ts";
import { axesOfSum, layoutPairs, paddedWindow } from "./layout.ts";
import { layoutChain } from "./layout-chains.ts";
import { layoutIslands } from "./layout-islands.ts";
import { mathPairs } from "./math.ts";
import { normalizationPairs, normalizationStructures } from "./normalizations.ts";
import { operandPairs } from "./operands.ts";
import { reductionPairs } from "./reductions.ts";
import { type Pair, type PairRules, rulesOf, type Structure, type StructureRules, structuresOf } from "./rule.ts";
import { selectionPairs } from "./selections.ts";
import { stepPairs } from "./step.ts";
import { inOrder } from "./strided.ts";

export type { Match } from "../../graph/pattern.ts";
export type { PairResult, PairRules, StructureRules } from "./rule.ts";

/** A piece of a tensor that was split into a sequence (torch.chunk, torch.split). Each reader gets a separate Split; deduplication merges them. */
const pieceOfSequence: Pair = {
  id: "piece-of-sequence",
  what: "a piece of a sequence that was split is an output of Split",
  first: ["SplitToSequence"],
  second: ["SequenceAt"],
  fuse({ first, second, firstSite, secondSite, input, emit }) {
    const [x] = first.inputs;
    const { position } = readPosition(secondSite);
    const settings = readPieces(firstSite);
    // Since opset 13 the sizes are an input.
    if (x === undefined || input !== 0 || position === undefined || secondSite.version < 13) return undefined;
    const index = fromFront(position, settings.sizes?.length ?? 0);
    if (settings.sizes?.[index] === undefined) return undefined;
    const value = splitPieces(emit.named(second.outputs[0]?.name ?? "piece"), x, settings)?.[index];
    return value && { value };
  },
};

const pairs: readonly Pair[] = [
  ...layoutPairs,
  ...selectionPairs,
  ...reductionPairs,
  ...operandPairs,
  inOrder,
  ...mathPairs,
  ...normalizationPairs,
  pieceOfSequence,
];

const structures: readonly Structure[] = [
  ...activationStructures,
  ...normalizationStructures,
  layoutChain,
  ...layoutIslands,
  joinedSelections,
];

/** The rules of `simplify` by their id. */
export const rulesById: ReadonlyMap<string, Pair | Structure> = new Map(
  [...pairs, ...structures].map((rule) => [rule.id, rule]),
);

/** Returns the rules of `simplify` that the predicate selects. */
export function selectRules(isSelected: (id: string) => boolean): { pairs: PairRules; structures: StructureRules } {
  return {
    pairs: rulesOf(pairs.filter(({ id }) => isSelected(id))),
    structures: structuresOf(structures.filter(({ id }) => isSelected(id))),
  };
}

export const padsInWindows: PairRules = rulesOf([paddedWindow]);

export const axesOfSums: PairRules = rulesOf([axesOfSum]);

export const fasterSteps: readonly PairRules[] = stepPairs.map(rulesOf);
