/** Decides whether the only output value of a sample is a probability or a logit, if the graph does not show it. */
import { mainOutput } from "../../core/analysis/output-kind.ts";
import type { Model } from "../../core/graph/model.ts";
import { counted } from "../../core/numbers.ts";
import type { Context } from "../../core/pass/pass.ts";
import { toFloat64 } from "../../core/tensor/convert.ts";
import { isIndexed } from "../../data/batches/indexed.ts";
import type { Dataset } from "../../data/index.ts";
import type { MetricOptions } from "../../runtime/metrics/metrics.ts";
import { overSamples } from "../../runtime/run/over-samples.ts";
import { readingOf } from "./metrics.ts";

const checkedSamples = 64;

/** Returns "probabilities" if all values on the samples are between 0 and 1, and the labels are 0 and 1. Logs this decision. */
export async function findProbability(
  model: Model,
  output: string | undefined,
  samples: Dataset,
  { engine, log, seed, signal }: Context,
): Promise<MetricOptions["from"]> {
  const value = mainOutput(model.graph.outputs, output);
  const hasOneValue = value?.type?.dims?.slice(1).every((size) => size === 1) === true;
  if (value === undefined || !hasOneValue || readingOf(model, output).from !== undefined) return undefined;
  let areShares = true;
  const order = isIndexed(samples) ? { shuffle: seed } : {};
  const options = { samples: checkedSamples, optimize: true, signal, ...order };
  const count = await overSamples(engine, [{ model, observed: [value.name] }], samples, options, ([results], rows) => {
    const [values, labels] = [results?.[value.name], rows.label].map((dense) =>
      dense === undefined || dense.type === "string" ? Float64Array.of(Number.NaN) : toFloat64(dense),
    );
    areShares &&= values?.every((share) => share >= 0 && share <= 1) === true;
    areShares &&= labels?.every((label) => label === 0 || label === 1) === true;
  });
  if (!areShares) return undefined;
  const text = `"${value.name}" is read as the probability of class 1, because its values on ${counted(count, "sample")} are all between 0 and 1: the threshold is 0.5`;
  log({ id: "probability", text });
  return "probabilities";
}
