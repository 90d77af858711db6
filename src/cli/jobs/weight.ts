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
  const stored = await size(...filesOf(model, path));
  return { ...stored, ...(await countsOf(model, !stored.sampled)) };
}

export async function countsOf(
  model: Model,
  countsZeros = false,
): Promise<Pick<Weight, "parameters" | "zeros" | "macs">> {
  const copy = model.clone();
  storeWeights(copy);
  const inference = infer(copy);
  const learned = await learnedTensors(copy, inference);
  return {
    parameters: learnedCount(learned),
    zeros: countsZeros ? await zeroShare(learned.keys()) : undefined,
    macs: operationCount(cost(copy, inference).macs),
  };
}
