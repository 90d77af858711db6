import { maskingOfProduct } from "#analysis";
import { Miss, type Model, PithError, sameDims } from "#ir";
import { type Change, definePass, noOptions, type Outcome } from "#pass";
import { keptWeights } from "../../rewrite/edit/kept-weights.ts";

/**
 * Restores the weights that `train` stored with `keepStep`, in place. Masks stay, so the result is a lottery ticket. The stored weights stay in
 * the model for the next round until masks are folded in (`remove`). Source: Frankle and Carbin 2019, "The lottery ticket hypothesis"; Frankle et al.
 * 2020, "Linear mode connectivity and the lottery ticket hypothesis" (rewinding to a step after the first).
 * @throws PithError E_OPTION if the model has no stored weights of an earlier step.
 * @example
 * await train(net, { data, epochs: 10, keepStep: 0 });
 * await prune(net, { amount: 0.8, keepMasks: true });
 * await rewind(net);
 * await train(net, { data, epochs: 10 });
 */
export const rewind = definePass({
  id: "rewind",
  summary: "Rewind the weights to the step that train kept; masks stay",
  options: noOptions,
  run: async (model) => restoreWeights(model),
});

function restoreWeights(model: Model): Outcome {
  const storedWeights = keptWeights(model);
  if (storedWeights.size === 0)
    throw new PithError("E_OPTION", "rewind: the model contains no weights of an earlier step.", {
      hint: "Train it with `keepStep`, the step to rewind to; folding masks in removes these weights.",
    });
  const changes: Change[] = [];
  const misses: Miss[] = [];
  for (const [name, { tensor }] of storedWeights) {
    const value = model.graph.value(name);
    const parameter = value && (maskingOfProduct(value)?.parameter ?? value);
    if (parameter?.tensor === undefined || tensor === undefined)
      misses.push(new Miss("it is no longer stored as it was when its weights were kept", name));
    else if (!sameDims(parameter.tensor.dims, tensor.dims))
      misses.push(new Miss("it was cut since its weights were kept", name));
    else {
      parameter.tensor = tensor;
      changes.push({ at: name, what: "rewound", decidedBy: "global" });
    }
  }
  return { changes, misses };
}
