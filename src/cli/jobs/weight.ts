/** What the file of a model weighs: bytes, parameters, operations. */
import { cost } from "../../analysis/cost.ts";
import { infer } from "../../analysis/infer.ts";
import { learnedCount, learnedTensors } from "../../analysis/learned.ts";
import { type Size, size } from "../../evaluate/index.ts";
import type { Model } from "../../graph/model.ts";
import { storeWeights } from "../../passes/store-constants.ts";
import { zeroShare } from "../../passes/zeros.ts";
import { filesOf } from "../files.ts";

export interface Weight extends Size {
  readonly parameters: number;
  /** The share of zeros among them; undefined for codes, and where the size after brotli is sampled as well. */
  readonly zeros: number | undefined;
  /** A number, or a polynomial in named dimensions; undefined where an operator's cost is not known. */
  readonly macs: string | undefined;
}

export async function weightOf(model: Model, path: string): Promise<Weight> {
  const copy = model.clone();
  // Weights in Constant nodes count as well.
  storeWeights(copy);
  const inference = infer(copy);
  const { macs } = cost(copy, inference);
  const learned = await learnedTensors(copy, inference);
  const stored = await size(...filesOf(model, path));
  return {
    ...stored,
    parameters: learnedCount(learned),
    zeros: stored.sampled ? undefined : await zeroShare(learned.keys()),
    macs: typeof macs === "number" ? String(macs) : macs?.text,
  };
}
