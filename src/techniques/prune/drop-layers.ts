/** Depth pruning by influence: removes the repeated layers that change their input least (`block-influence.ts`). */

import { formatReason, Miss, PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import { counted } from "../../core/numbers.ts";
import type { Context, Outcome } from "../../core/pass/pass.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { blockInfluence } from "./block-influence.ts";
import { type Bypass, bypassOf, removeLayers, repeatedLayers } from "./repeated-layers.ts";

/**
 * Removes the least influential repeated layers, in place. All influences are measured before the first layer is removed.
 * @throws PithError E_OPTION without samples, or if fewer layers can be removed, E_UNSUPPORTED if no layers repeat, and as `blockInfluence`.
 */
export async function dropLayers(
  model: Model,
  count: number,
  { data, samples }: { readonly data?: Dataset | string | undefined; readonly samples: number },
  context: Context,
): Promise<Outcome> {
  if (data === undefined)
    throw new PithError("E_OPTION", '"data": `dropLayers` requires samples, to measure the influence of layers.', {
      hint: "Samples need no labels.",
    });
  const { ways, misses } = removableLayers(model, count);
  const influence = await blockInfluence(model, ways, { data, samples }, context);
  const of = (block: Bypass["block"]): number => influence.get(block) ?? 0;
  const listed = ways.map(({ block }) => `${block.name} ${of(block).toFixed(3)}`).join(", ");
  context.log({ id: "influence", text: `influence of the repeated layers, 1 − cos(input, output): ${listed}` });
  const least = new Set(ways.toSorted((a, b) => of(a.block) - of(b.block)).slice(0, count));
  const gone = ways.filter((way) => least.has(way));
  return {
    changes: removeLayers(model, gone, context, (block) => `removed (influence ${of(block).toFixed(3)})`),
    misses,
  };
}

/** @throws PithError E_OPTION if fewer than `count` layers can be removed, E_UNSUPPORTED if no layers repeat. */
export function removableLayers(
  model: Model,
  count: number,
): { readonly ways: readonly Bypass[]; readonly misses: readonly Miss[] } {
  const found = repeatedLayers(model)
    .flat()
    .map((block) => bypassOf(model, block));
  const misses = found.filter((way) => way instanceof Miss);
  const ways = found.flatMap((way) => (way instanceof Miss ? [] : way));
  if (count >= found.length || count > ways.length) throw tooMany(count, ways.length, found.length, misses);
  return { ways, misses };
}

function tooMany(count: number, able: number, all: number, misses: readonly Miss[]): PithError {
  const why = [...new Set(misses.map((miss) => `${miss.at}: ${formatReason(miss)}`))].slice(0, 3).join("; ");
  const can = `${able} of ${all} repeated layers can be removed`;
  return new PithError(
    "E_OPTION",
    `${counted(count, "layer")} cannot be dropped: ${can}${why === "" ? "" : ` (${why})`}, and at least one is kept.`,
    {
      hint: able === 0 ? "Remove channels instead, with `structured`." : `Drop at most ${Math.min(able, all - 1)}.`,
    },
  );
}
