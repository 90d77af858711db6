import { Miss, stripPeriod } from "../../../core/errors.ts";
import { allNodes, storedBytes } from "../../../core/graph/graph.ts";
import type { Model } from "../../../core/graph/model.ts";
import { bytes } from "../../../core/numbers.ts";
import type { Context } from "../../../core/pass/pass.ts";
import { dimsText } from "../../../core/tensor/dims.ts";
import { relativeTime } from "../../../runtime/run/relative-time.ts";
import type { Timed } from "../../report/speed.ts";
import { largestTimed } from "../print/weight.ts";
import { tokensTimed } from "./bench.ts";

/** Undefined if both run the same operators on weights of the same sizes. */
export async function speedOf(
  result: Model,
  { model, path }: { readonly model: Model; readonly path: string },
  context: Context,
): Promise<Timed | undefined> {
  if (operatorsOf(model) === operatorsOf(result)) return undefined;
  const times =
    storedBytes(model.graph) > largestTimed
      ? new Miss(`the model has more than ${bytes(largestTimed)}`)
      : await relativeTime(model, result, context, await tokensTimed(path));
  if (times instanceof Miss) return { against: path, found: { unmeasured: stripPeriod(times.reason) } };
  const { before, after } = times;
  return { against: path, found: { factor: before / after, before, milliseconds: after } };
}

const operatorsOf = ({ graph }: Model): string =>
  Array.from(allNodes(graph), ({ domain, op, inputs }) => {
    const weights = inputs.map((input) =>
      input?.tensor === undefined ? "" : input.tensor.type + dimsText(input.tensor.dims),
    );
    return [domain, op, ...weights].join(" ");
  }).join("\n");
