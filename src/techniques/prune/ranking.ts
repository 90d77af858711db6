import { brokenNumbers, weightStorage } from "../../core/analysis/weight.ts";
import { Miss } from "../../core/errors.ts";
import { type Mask, masked, type RankedEntries, type Scores, sampleOf } from "../../core/math/smallest.ts";
import { toFloats } from "../../core/tensor/convert.ts";
import { isDense } from "../../core/tensor/dense.ts";
import { elementCount } from "../../core/tensor/dims.ts";
import type { Dense } from "../../core/tensor/types.ts";
import { stored } from "../../rewrite/edit/fold-mask.ts";
import { byMagnitude, type Scorer } from "./importance.ts";
import { keptCount } from "./mask.ts";
import { checkSameDims, maskReader } from "./parameter-masks.ts";
import type { Target } from "./targets.ts";

/** A tensor for all targets, or one by layer name. */
export type Tensors = Dense | Readonly<Record<string, Dense>>;

function brokenAt({ kind, layer }: Target, values: Scores, mask: Mask | undefined): Miss | undefined {
  const broken = brokenNumbers(values, mask);
  return broken === undefined ? undefined : new Miss(`its ${kind} ${broken}`, layer.name);
}

/** A parameter's entries, ranked by stored weights, given scores, or scores in memory. */
export interface RankedParameter extends RankedEntries {
  readonly from: "weights" | "given" | "memory";
}

/** Ranks by given scores or a criterion, independently of later changes of the model. */
async function rankedBy(target: Target, given: Tensors | undefined, scorer: Scorer): Promise<RankedParameter | Miss> {
  const plain = rankedAsStored(target, given);
  if (scorer === byMagnitude || forTarget(given, target) !== undefined) return plain;
  const { layer, parameter } = target;
  const [mask, weights] = [await plain.mask(), await plain.scores()];
  const broken = brokenAt(target, weights, mask);
  if (broken !== undefined) return broken;
  const hasMatrices = weightStorage(layer) === "float";
  const scores = scorer.scores(
    layer,
    stored(parameter).dims,
    mask === undefined ? weights : masked(weights, mask),
    hasMatrices,
  );
  if (scores instanceof Miss) return scores;
  return { ...plain, scores: async () => scores, from: "memory" };
}

/** Reads the ranking and counts the remaining entries; returns a Miss if its values are not finite. */
export async function readRanked(target: Target, given: Tensors | undefined, scorer: Scorer) {
  const ranked = await rankedBy(target, given, scorer);
  if (ranked instanceof Miss) return ranked;
  const [mask, scores] = [await ranked.mask(), await ranked.scores()];
  const before = mask === undefined ? ranked.size : keptCount(mask);
  const broken = ranked.from === "weights" ? brokenAt(target, scores, mask) : undefined;
  return broken ?? { ranked: { ...ranked, sample: sampleOf(scores, mask) }, mask, scores, before };
}

/** Ranks by given scores, or by the masked weight. */
function rankedAsStored(target: Target, given: Tensors | undefined): RankedParameter {
  const { parameter } = target;
  const own = forTarget(given, target);
  if (own !== undefined) checkSameDims("Importance scores", own.dims, parameter);
  const tensor = stored(parameter);
  return {
    size: elementCount(tensor.dims),
    mask: maskReader(parameter),
    scores: async () => toFloats(own ?? (await tensor.read())),
    from: own === undefined ? "weights" : "given",
  };
}

export function forTarget(given: Tensors | undefined, { layer }: Target): Dense | undefined {
  return given === undefined || isDense(given) ? given : given[layer.name];
}
