/** Weights that are stored as codes have no gradients: whoever changes the parameters of a model leaves them, and says so. */
import type { Inference } from "../analysis/infer.ts";
import { layers } from "../analysis/layers.ts";
import { Miss } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";

export function quantizedWeights(model: Model, inference: Inference): readonly Miss[] {
  return layers(model, inference).flatMap(({ name, weight }) => {
    const type = weight.tensor?.type;
    return type === undefined || isFloat(type)
      ? []
      : [new Miss(`its weight is stored as ${type} and is not changed`, name)];
  });
}
