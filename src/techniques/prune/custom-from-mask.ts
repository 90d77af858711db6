/** The pass that applies a mask of the user. */
import * as v from "valibot";
import { nameBeforeMasking } from "#analysis";
import { type Dense, elementCount, fromNumbers, isDense, optionError, sameDims, shapeError, toFloat64 } from "#ir";
import { definePass, type LayerSelection, type Pass, selectionOptions, withHelp } from "#pass";
import { stored } from "../../rewrite/edit/mask.ts";
import { intersect, keptCount } from "./mask.ts";
import { pruneByMasks } from "./mask-choice.ts";
import { readMask } from "./ranking.ts";

const size = v.pipe(v.number(), v.integer(), v.minValue(0));
const denseSchema = v.union(
  [
    v.custom<Dense>(isDense),
    v.pipe(
      v.strictObject({ dims: v.array(size), data: v.array(v.number()) }),
      v.check(({ dims, data }) => data.length === elementCount(dims)),
      v.transform(({ dims, data }): Dense => fromNumbers("float32", dims, data)),
    ),
  ],
  "takes a tensor { type, dims, data } whose data fits its dimensions",
);

const schema = v.strictObject({
  ...selectionOptions("prune"),
  /** 1 (or true) keeps an entry. */
  mask: withHelp(
    v.union([denseSchema, v.record(v.string(), denseSchema)], "takes a tensor, or one per layer"),
    "1 keeps an entry, 0 removes it; for all layers, or by layer name",
  ),
});
export type CustomOptions = v.InferInput<typeof schema> & LayerSelection;

/** Applies `mask` in addition to existing masks, as PyTorch's `prune.custom_from_mask`. */
export const customFromMask: Pass<v.GenericSchema<CustomOptions>> = definePass({
  id: "custom-from-mask",
  summary: "Apply a given mask",
  options: schema,
  run: (model, options) =>
    pruneByMasks(model, { ...options, keepMasks: true }, undefined, async () => async (target) => {
      const { name } = target.layer;
      const keptEntries = isDense(options.mask) ? options.mask : options.mask[name];
      if (keptEntries === undefined) throw optionError(`custom-from-mask: "mask" has no entry for "${name}".`);
      const { dims } = stored(target.parameter);
      if (!sameDims(keptEntries.dims, dims)) {
        throw shapeError(
          `A mask for "${nameBeforeMasking(target.parameter)}": expected dimensions [${dims.join(", ")}], got [${keptEntries.dims.join(", ")}].`,
        );
      }
      const keepFlags = toFloat64(keptEntries);
      if (keepFlags.some((entry) => entry !== 0 && entry !== 1))
        throw optionError(`custom-from-mask: the mask for "${name}": expected only 0 and 1.`);
      const before = await readMask(target.parameter);
      const mask = intersect(before, Uint8Array.from(keepFlags));
      return { target, before: keptCount(before), after: keptCount(mask), mask: async () => mask };
    }),
});
