/** Weighs the file of a model. */
import { cost } from "../../analysis/cost.ts";
import { infer } from "../../analysis/infer.ts";
import { learnedCount, learnedTensors } from "../../analysis/learned.ts";
import { size } from "../../evaluate/index.ts";
import type { Model } from "../../graph/model.ts";
import { storeWeights } from "../../passes/store-constants.ts";
import { zeroShare } from "../../passes/zeros.ts";
import { operationCount } from "../../report/operation-count.ts";
import { filesOf } from "../files.ts";
import type { Weight } from "../weight.ts";

export async function weightOf(model: Model, path: string): Promise<Weight> {
  const copy = model.clone();
  // Weights in Constant nodes count as well.
  storeWeights(copy);
  const inference = infer(copy);
  const learned = await learnedTensors(copy, inference);
  const stored = await size(...filesOf(model, path));
  return {
    ...stored,
    parameters: learnedCount(learned),
    zeros: stored.sampled ? undefined : await zeroShare(learned.keys()),
    macs: operationCount(cost(copy, inference).macs),
  };
}
