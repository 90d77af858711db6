/** Several losses as one: each with its weight. */
import { PithError } from "../../errors.ts";
import { type BuiltLoss, type Loss, scalar } from "../loss.ts";

export interface WeightedLoss {
  readonly loss: Loss;
  readonly weight?: number;
}

/**
 * Σ weight · loss.
 * @throws PithError E_OPTION if there is none.
 * @example
 * const loss = sumOfLosses([{ loss: crossEntropy() }, { loss: meanSquaredError({ output: "boxes", label: "box" }), weight: 0.5 }]);
 */
export function sumOfLosses(losses: readonly WeightedLoss[]): Loss {
  if (losses.length === 0) throw new PithError("E_OPTION", "The loss has no part.");
  return {
    name: losses.map(({ loss, weight = 1 }) => (weight === 1 ? loss.name : `${weight} * ${loss.name}`)).join(" + "),
    async build(scope) {
      const { emit } = scope;
      const parts: BuiltLoss[] = [];
      for (const { loss, weight = 1 } of losses) {
        const built = await loss.build(scope);
        parts.push({ ...built, value: weight === 1 ? built.value : emit.Mul([built.value, scalar(emit, weight)]) });
      }
      const [first, ...others] = parts.map(({ value }) => value);
      if (first === undefined) throw new PithError("E_OPTION", "The loss has no part.");
      return {
        value: others.reduce((total, value) => emit.Add([total, value]), first),
        feeds: (batch) => Object.assign({}, ...parts.map((part) => part.feeds(batch))),
      };
    },
  };
}
