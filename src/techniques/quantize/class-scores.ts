/** Replaces class scores by scores that a constant shift of the logits does not change. */
import { distributionOf, infer, outputKind } from "#analysis";
import { emitInto, type Model } from "#ir";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";

/** Smaller probabilities are replaced by this one, so that their logarithms are finite. */
const minProbability = 1e-7;

/** Minimum opset, in which ReduceMean has axes as an input, and Max broadcasts. */
const opset = 18;

/**
 * Returns a copy whose class scores stay the same if a constant is added to all logits, as predictions do:
 *
 *     y − mean of y over the classes        for probabilities: of log y
 *
 * Logarithms are used because errors of probabilities are nearly 0 if one class is almost certain.
 */
export function withClassScores(model: Model): Model {
  const copy = model.clone();
  raiseOpset(copy, opset);
  const inference = infer(copy);
  const { graph } = copy;
  const emit = emitInto(copy);
  const outputs = graph.outputs.map((output) => {
    const operand = inference.operand(output);
    if (operand?.type !== "float32" || outputKind(model, output.name) !== "classes") return output;
    const classes = operand.dims?.at(-1);
    // Fewer than two classes have no differences, and ONNX Runtime cannot reduce an empty dimension.
    if (classes === undefined || classes === 0 || classes === 1) return output;
    const isProbability = distributionOf(output, inference) === "probabilities";
    const scores = isProbability ? emit.Log([emit.Max([output, minProbability])]) : output;
    const mean = emit.ReduceMean([scores, [-1]]);
    return emit.named(`${output.name}_scores`).Sub([scores, mean]);
  });
  graph.setOutputs(outputs);
  return copy;
}
