/** Kullback-Leibler divergence of the model's distribution from given probabilities. */
import { type Loss, type LossOptions, outputOf, scalar, scaledSum, targetLike } from "../loss.ts";
import { scoreRows } from "./scores.ts";

/** Makes 0 · log 0 the 0 that it is. */
const smallest = 1e-38;

/**
 * Σ p (log p - log softmax(output)), summed over classes, as a mean over rows; p are the probabilities in the column (or output) `label`.
 * A model that ends in a softmax gets no second one.
 * @example
 * await train(net, { data, loss: divergence({ label: "probabilities" }) });
 */
export function divergence(options: LossOptions = {}): Loss {
  return {
    name: "kl",
    build(scope) {
      const { emit } = scope;
      const { rows, count } = scoreRows(scope, outputOf(scope, options.output));
      const target = targetLike(scope, rows, options.label ?? "label");
      const logs = emit.Log([emit.Max([target.value, scalar(emit, smallest)])]);
      const entries = emit.Mul([target.value, emit.Sub([logs, emit.LogSoftmax([rows], { axis: -1 })])]);
      return { value: scaledSum(emit, entries, 1 / count), feeds: target.feeds };
    },
  };
}
