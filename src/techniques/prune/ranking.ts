/** Ranks the entries of a parameter for pruning, and reads its mask. */
import { describeNonFinite, maskingOf, weightStorage } from "#analysis";
import { elementCount, Miss, toFloats, type Value } from "#ir";
import { type Mask, type Scores, stored } from "../../rewrite/edit/mask.ts";
import { byMagnitude, type Scorer } from "./importance.ts";
import { keptCount } from "./mask.ts";
import { applyMask, type RankedEntries, sampleOf } from "./smallest-entries.ts";
import type { Weight } from "./targets.ts";

/** A parameter's entries, ranked by the stored weights, or by scores that a criterion computed. */
export interface RankedParameter extends RankedEntries {
  readonly from: "weights" | "computed";
}

/** Returns the mask of a parameter; all ones without a mask. */
export async function readMask(parameter: Value): Promise<Mask> {
  return (await maskReader(parameter)()) ?? new Uint8Array(elementCount(stored(parameter).dims)).fill(1);
}

/** Returns a function that reads the current mask, even if the model changes later. It returns undefined if there is no mask. */
function maskReader(parameter: Value): () => Promise<Mask | undefined> {
  const tensor = maskingOf(parameter)?.mask.tensor;
  if (tensor === undefined) return async () => undefined;
  return async () => Uint8Array.from(toFloats(await tensor.read()), (kept) => (kept === 0 ? 0 : 1));
}

/** Ranks the entries and counts the remaining ones. */
export async function readRanked(target: Weight, scorer: Scorer) {
  const ranking = await rankEntries(target, scorer);
  if (ranking instanceof Miss) return ranking;
  const [mask, scores] = [await ranking.mask(), await ranking.scores()];
  const before = mask === undefined ? ranking.size : keptCount(mask);
  const nonFinite = ranking.from === "weights" ? explainNonFinite(target, scores, mask) : undefined;
  return nonFinite ?? { ranked: { ...ranking, sample: sampleOf(scores, mask) }, mask, scores, before };
}

/** Ranks the entries by the criterion or the weights. The ranking does not depend on later changes of the model. */
async function rankEntries(target: Weight, scorer: Scorer): Promise<RankedParameter | Miss> {
  const { layer, parameter } = target;
  const tensor = stored(parameter);
  const ranking: RankedParameter = {
    size: elementCount(tensor.dims),
    mask: maskReader(parameter),
    scores: async () => toFloats(await tensor.read()),
    from: "weights",
  };
  if (scorer === byMagnitude) return ranking;
  const [mask, weights] = [await ranking.mask(), await ranking.scores()];
  const nonFinite = explainNonFinite(target, weights, mask);
  if (nonFinite !== undefined) return nonFinite;
  const values = mask === undefined ? weights : applyMask(weights, mask);
  const scores = scorer.scores(layer, tensor.dims, values, weightStorage(layer) === "float");
  return scores instanceof Miss ? scores : { ...ranking, scores: async () => scores, from: "computed" };
}

function explainNonFinite({ layer }: Weight, values: Scores, mask: Mask | undefined): Miss | undefined {
  const nonFiniteText = describeNonFinite(values, mask);
  return nonFiniteText === undefined ? undefined : new Miss(`its weight ${nonFiniteText}`, layer.name);
}
