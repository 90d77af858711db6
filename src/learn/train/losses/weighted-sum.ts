/** Adds losses with weights. */
import { optionError } from "#ir";
import type { BuiltLoss, Loss } from "../loss.ts";

export interface WeightedLoss {
  readonly loss: Loss;
  /** Default 1. */
  readonly weight?: number | undefined;
}

/** Returns Σ weight · loss. @throws PithError E_OPTION if the list is empty. */
export function sumOfLosses(losses: readonly WeightedLoss[]): Loss {
  if (losses.length === 0) throw optionError("The loss is empty: expected at least one term.");
  return {
    name: losses.map(({ loss, weight = 1 }) => (weight === 1 ? loss.name : `${weight} * ${loss.name}`)).join(" + "),
    async build(scope) {
      const { emit } = scope;
      const parts: BuiltLoss[] = [];
      for (const { loss, weight = 1 } of losses) {
        const builtLoss = await loss.build(scope);
        parts.push({ ...builtLoss, value: weight === 1 ? builtLoss.value : emit.Mul([builtLoss.value, weight]) });
      }
      return {
        value: parts.map(({ value }) => value).reduce((total, value) => emit.Add([total, value])),
        feeds: (batch) => Object.assign({}, ...parts.map((part) => part.feeds(batch))),
      };
    },
  };
}
