/** Measures the speed of a result relative to another model. */
import { allNodes, dimsText, Miss, type Model, storedBytes, stripPeriod } from "#ir";
import type { Context } from "#pass";
import { bytes } from "../../../core/numbers.ts";
import type { Dataset } from "../../../data/batches/types.ts";
import { maxTimedBytes } from "../../../runtime/run/large-weights.ts";
import { relativeTime } from "../../../runtime/run/relative-time.ts";
import { speedOf, type Timed } from "../../report/speed.ts";

/**
 * Times both models on the first of `samples`, or without samples as `timedInputs`. Returns undefined if both have the same operators and weights of the same types and sizes, and so the same speed.
 */
export async function measureSpeed(
  result: Model,
  { model, path }: { readonly model: Model; readonly path: string },
  context: Context,
  samples?: Dataset,
): Promise<Timed | undefined> {
  if (operatorsOf(model) === operatorsOf(result)) return undefined;
  const times =
    storedBytes(model.graph) > maxTimedBytes
      ? new Miss(`the model has more than ${bytes(maxTimedBytes)}`)
      : await relativeTime(model, result, context, samples);
  return { against: path, ...(times instanceof Miss ? { unmeasured: stripPeriod(times.reason) } : speedOf(times)) };
}

const operatorsOf = ({ graph }: Model): string =>
  Array.from(allNodes(graph), ({ domain, op, inputs }) => {
    const weights = inputs.map((input) =>
      input?.tensor === undefined ? "" : input.tensor.type + dimsText(input.tensor.dims),
    );
    return [domain, op, ...weights].join(" ");
  }).join("\n");
