/** Lists the rules that rewrite several nodes. Results are exact, unless a rule changes the order of arithmetic (`reorders`). */

import { activationStructures } from "./activations.ts";
import { arithmeticPairs } from "./arithmetic.ts";
import { attentionStructures } from "./attention.ts";
import { biasAxesPair, layoutPairs, padWindowPair } from "./layout.ts";
import { mathPairs } from "./math.ts";
import { normalizationPairs, normalizationStructures } from "./normalizations.ts";
import { operandPairs } from "./operands.ts";
import { reductionPairs } from "./reductions.ts";
import { rotaryPairs, rotaryStructures } from "./rotary.ts";
import {
  type PairRule,
  type PairRuleLookup,
  rulesOf,
  type StructureRule,
  type StructureRuleLookup,
  structuresOf,
} from "./rule.ts";
import { selectionPairs } from "./selections.ts";
import { stepPairs } from "./step.ts";

export type { PairResult, PairRuleLookup, StructureRuleLookup } from "./rule.ts";

const pairs: readonly PairRule[] = [
  ...layoutPairs,
  ...selectionPairs,
  ...reductionPairs,
  ...operandPairs,
  ...mathPairs,
  ...normalizationPairs,
  ...arithmeticPairs,
  ...rotaryPairs,
];

const structures: readonly StructureRule[] = [
  ...activationStructures,
  ...normalizationStructures,
  ...attentionStructures,
  ...rotaryStructures,
];

export const rulesById: ReadonlyMap<string, PairRule | StructureRule> = new Map(
  [...pairs, ...structures].map((rule) => [rule.id, rule]),
);

export const parameterRules: readonly string[] = [...rulesById.values()].flatMap(({ id, mergesParameters }) =>
  mergesParameters === true ? [id] : [],
);

export const cpuRules: readonly string[] = [...rulesById.values()].flatMap(({ id, lacksWebGpu }) =>
  lacksWebGpu === true ? [id] : [],
);

export function selectRules(isSelected: (id: string) => boolean): {
  pairs: PairRuleLookup;
  structures: StructureRuleLookup;
} {
  return {
    pairs: rulesOf(pairs.filter(({ id }) => isSelected(id))),
    structures: structuresOf(structures.filter(({ id }) => isSelected(id))),
  };
}

export const padWindowRules: PairRuleLookup = rulesOf([padWindowPair]);

export const biasAxesRules: PairRuleLookup = rulesOf([biasAxesPair]);

export const trainingStepRules: readonly PairRuleLookup[] = stepPairs.map(rulesOf);
