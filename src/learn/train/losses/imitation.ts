/** The loss by which recovery and the training of quantized values follow the original's outputs. */
import type { Model } from "../../../core/graph/model.ts";
import { castToFloat32, type Loss, outputOf } from "../loss.ts";

/**
 * The relative noise of an output s against the original's t, Σ (s - t)² / Σ t², which needs no labels. On logits it is no worse than
 * softened distributions (Kim et al. 2021, arXiv 2105.08919).
 */
export function imitation(original: Model, output?: string): Loss {
  return {
    name: "imitation",
    build(scope) {
      const { emit } = scope;
      const outputs = castToFloat32(emit, outputOf(scope, output));
      const expected = castToFloat32(emit, outputOf(scope.teacher(original), output));
      const error = emit.Sub([outputs, expected]);
      const sum = (value: typeof outputs) => emit.ReduceSum([emit.Mul([value, value])], { keepdims: 0 });
      return { value: emit.Div([sum(error), sum(expected)]), feeds: () => ({}) };
    },
  };
}
