/** How the benches of `compress` open a model's task, and what they look for. */
import type { Model } from "../../src/core/graph/model.ts";
import { type Purpose, purposes } from "../../src/judge/measure/objective.ts";
import { minSamples } from "../../src/judge/recipe/open-samples.ts";
import { openTask } from "../../src/judge/task/index.ts";
import type { Network } from "./networks.ts";

/** @param data a path, or "random". */
export const taskOf = (
  model: Model,
  data: string,
  { preprocess, metric }: Partial<Pick<Network, "preprocess" | "metric">>,
  seed: number,
) =>
  openTask(
    model,
    {
      ...{
        data,
        preprocess,
        learns: "answers",
        calibrate: 256,
        unlabeledTraining: Number.POSITIVE_INFINITY,
        minTestSamples: 2 * minSamples,
      },
      ...(metric && { metric }),
    },
    { seed },
  );

/** Undefined for "usual": the smallest that is about as fast. @throws RangeError for another word. */
export function purposeOf(word: string): Purpose | undefined {
  if (word === "usual") return undefined;
  const purpose = purposes.find((one) => one === word);
  if (purpose === undefined) throw new RangeError(`--for ${word}: there are usual, ${purposes.join(", ")}`);
  return purpose;
}
