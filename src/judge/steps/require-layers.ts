/** Checks before the first step that the layers which its options name exist. */
import * as v from "valibot";
import { allLayers, infer, selectLayers } from "#analysis";
import type { Model } from "#ir";
import { type OptionValues, selectionOptions } from "#pass";
import { withStoredWeights } from "../../rewrite/clean-up/store-constants.ts";

const layerOptions = v.object({
  ...selectionOptions("change"),
  overrides: v.optional(v.record(v.string(), v.looseObject({}))),
});

/** @throws PithError E_NAME for a layer that does not occur. */
export function requireLayers(model: Model, options: OptionValues): void {
  const { success, output: selection } = v.safeParse(layerOptions, options);
  if (!success || Object.values(selection).every((layerNames) => layerNames === undefined)) return;
  const copy = withStoredWeights(model);
  selectLayers(allLayers(copy, infer(copy)), selection);
}
