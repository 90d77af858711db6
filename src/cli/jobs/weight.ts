import { cost } from "../../analysis/cost.ts";
import { infer } from "../../analysis/infer.ts";
import { learnedCount, learnedTensors } from "../../analysis/learned.ts";
import { size } from "../../evaluate/index.ts";
import type { Model } from "../../graph/model.ts";
import { storeWeights } from "../../passes/store-constants.ts";
import { zeroShare } from "../../passes/zeros.ts";
import { plainFile } from "../../recipe/improvement.ts";
import { operationCount } from "../../report/operation-count.ts";
import { filesOf } from "../files.ts";
import type { Weight } from "../weight.ts";

/** Counts bytes without the exporter's metadata, which results do not contain. */
export async function weightOf(model: Model, path: string): Promise<Weight> {
  const plain = await plainFile(model);
  const stored = plain === undefined ? await size(...filesOf(model, path)) : await size(plain.file);
  return {
    ...stored,
    ...(plain === undefined ? {} : { metadata: plain.metadata }),
    ...(await countsOf(model, !stored.sampled)),
  };
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
