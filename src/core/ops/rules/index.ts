/** Lists the rules that replace several nodes by fewer. Results are exact, except for rules that change the summation order (`reorders`). */

import { countFromFront, readPieces, readPosition, splitPieces } from "../shared/sequences.ts";
import { activationStructures } from "./activations.ts";
import { arithmeticPairs } from "./arithmetic.ts";
import { attentionStructures } from "./attention.ts";
import { boundPairs } from "./bounds.ts";
import { joinedSelections } from "./joins.ts";
import { biasAxesPair, layoutPairs, padWindowPair } from "./layout.ts";
import { layoutChain } from "./layout-chains.ts";
import { layoutIslands } from "./layout-islands.ts";
import { mathPairs } from "./math.ts";
import { normalizationVectorPairs } from "./normalization-vectors.ts";
import { normalizationPairs, normalizationStructures } from "./normalizations.ts";
import { operandPairs } from "./operands.ts";
import { operatorPairs } from "./operators.ts";
import { productPairs } from "./products.ts";
import { reductionPairs } from "./reductions.ts";
import { rotaryPairs, rotaryStructures } from "./rotary.ts";
import {
  emitNamed,
  type Pair,
  type PairRules,
  rulesOf,
  type Structure,
  type StructureRules,
  structuresOf,
} from "./rule.ts";
import { selectionPairs } from "./selections.ts";
import { stepPairs } from "./step.ts";
import { stridedGatherPair } from "./strided.ts";

export type { Match } from "../../graph/pattern.ts";
export type { PairResult, PairRules, StructureRules } from "./rule.ts";

/** Replaces SequenceAt of a split tensor (torch.chunk, torch.split) by an output of Split. Each reader gets a separate Split. */
const sequencePiecePair: Pair = {
  id: "piece-of-sequence",
  description: "a piece of a sequence that was split is an output of Split",
  first: ["SplitToSequence"],
  second: ["SequenceAt"],
  fuse(scope) {
    const { first, firstSite, secondSite, input } = scope;
    const [x] = first.inputs;
    const { position } = readPosition(secondSite);
    const settings = readPieces(firstSite);
    // Split has its sizes as an input only since opset 13.
    if (x === undefined || input !== 0 || position === undefined || secondSite.version < 13) return undefined;
    const index = countFromFront(position, settings.sizes?.length ?? 0);
    if (settings.sizes?.[index] === undefined) return undefined;
    const value = splitPieces(emitNamed(scope), x, settings)?.[index];
    return value && { value };
  },
};

const pairs: readonly Pair[] = [
  ...layoutPairs,
  ...selectionPairs,
  ...reductionPairs,
  ...operandPairs,
  stridedGatherPair,
  ...mathPairs,
  ...normalizationPairs,
  ...normalizationVectorPairs,
  ...arithmeticPairs,
  ...boundPairs,
  ...operatorPairs,
  ...productPairs,
  ...rotaryPairs,
  sequencePiecePair,
];

const structures: readonly Structure[] = [
  ...activationStructures,
  ...normalizationStructures,
  ...attentionStructures,
  ...rotaryStructures,
  layoutChain,
  ...layoutIslands,
  joinedSelections,
];

export const rulesById: ReadonlyMap<string, Pair | Structure> = new Map(
  [...pairs, ...structures].map((rule) => [rule.id, rule]),
);

/** The ids of rules that merge parameters. Rewrites that must preserve all layers exclude these rules. */
export const parameterRules: readonly string[] = [...rulesById.values()].flatMap(({ id, mergesParameters }) =>
  mergesParameters === true ? [id] : [],
);

/** The ids of rules that make a model slower in WebGPU. */
export const cpuRules: readonly string[] = [...rulesById.values()].flatMap(({ id, lacksWebGpu }) =>
  lacksWebGpu === true ? [id] : [],
);

export function selectRules(isSelected: (id: string) => boolean): { pairs: PairRules; structures: StructureRules } {
  return {
    pairs: rulesOf(pairs.filter(({ id }) => isSelected(id))),
    structures: structuresOf(structures.filter(({ id }) => isSelected(id))),
  };
}

export const padWindowRules: PairRules = rulesOf([padWindowPair]);

export const biasAxesRules: PairRules = rulesOf([biasAxesPair]);

export const trainingStepRules: readonly PairRules[] = stepPairs.map(rulesOf);
