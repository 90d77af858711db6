/**
 * What a softmax may be taken of. Of scores it is the model's distribution; of log p it is p again, since log p are scores that sum to one
 * already; of probabilities p it would be another distribution, nearly the even one. So of these the logarithm is taken first.
 */
import { distributionOf } from "../../analysis/distribution.ts";
import { infer } from "../../analysis/infer.ts";
import type { Value } from "../../graph/graph.ts";
import { asRows, type LossScope, scalar } from "../loss.ts";

/** What a model's output is: scores before a softmax, probabilities after one, or their logarithms. */
export type OutputForm = "logits" | "probabilities" | "log-probabilities";

/**
 * Keeps log(0) finite where a model ends in probabilities: the least power of ten that float32 holds in full. A greater one would cut the
 * gradient off exactly where the model is most wrong.
 */
const smallestProbability = 1e-37;

/** [rows, classes] of scores, of which a softmax is the model's distribution. What the output is, the graph tells unless `form` does. */
export function scoreRows(
  { emit, model }: Pick<LossScope, "emit" | "model">,
  output: Value,
  form: OutputForm = formOf(model, output),
): ReturnType<typeof asRows> {
  const { rows, count, classes } = asRows(emit, output);
  const scores = form === "probabilities" ? emit.Log([emit.Max([rows, scalar(emit, smallestProbability)])]) : rows;
  return { rows: scores, count, classes };
}

function formOf(model: LossScope["model"], output: Value): OutputForm {
  return distributionOf(output, infer(model)) === "probabilities" ? "probabilities" : "logits";
}
