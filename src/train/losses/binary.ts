/** Binary cross-entropy: each entry is a yes or no of its own. */
import { elementCount, fixedDims } from "../../tensor/dims.ts";
import { inFloat32, type Loss, type LossOptions, outputOf, scaledSum, targetLike } from "../loss.ts";

/**
 * Binary cross-entropy of logits x against targets t from 0 to 1: mean of max(x, 0) - x·t + log(1 + exp(-|x|)), the stable form of
 * -(t log σ(x) + (1 - t) log(1 - σ(x))).
 * @example
 * await train(net, { data, loss: binaryCrossEntropy({ label: "tags" }) });
 */
export function binaryCrossEntropy(options: LossOptions = {}): Loss {
  return {
    name: "binary",
    build(scope) {
      const { emit } = scope;
      const logits = inFloat32(emit, outputOf(scope, options.output));
      const target = targetLike(scope, logits, options.label ?? "label");
      const count = elementCount(fixedDims(logits.type?.dims) ?? []);
      // log(1 + exp(x)) - x·t is the same, and the runtime's Softplus is stable.
      const entries = emit.Sub([emit.Softplus([logits]), emit.Mul([logits, target.value])]);
      return { value: scaledSum(emit, entries, 1 / count), feeds: target.feeds };
    },
  };
}
