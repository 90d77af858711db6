/** Depth pruning by influence: of the layers that repeat, those go that change least what they read (`block-influence.ts`). */
import type { Dataset } from "../data/types.ts";
import { Miss, PithError, reasonText } from "../errors.ts";
import { counted } from "../evaluate/numbers.ts";
import type { Model } from "../graph/model.ts";
import type { Context, Outcome } from "../passes/pass.ts";
import { blockInfluence } from "./block-influence.ts";
import { type Bypass, bypassOf, removeLayers, repeatedLayers } from "./repeated-layers.ts";

/**
 * Removes the least influential of all repeated layers, in place; they are measured once, before any goes.
 * @throws PithError E_OPTION where there are no samples, or fewer layers can go, E_UNSUPPORTED where none repeat, and as `blockInfluence`.
 */
export async function dropLayers(
  model: Model,
  count: number,
  { data, samples }: { readonly data?: Dataset | string | undefined; readonly samples: number },
  context: Context,
): Promise<Outcome> {
  if (data === undefined)
    throw new PithError("E_OPTION", '"data": how much a layer changes is measured on samples, and none are given.', {
      hint: "Give a data set.",
    });
  const { ways, misses } = removableLayers(model, count);
  const influence = await blockInfluence(model, ways, { data, samples }, context);
  const of = (block: Bypass["block"]): number => influence.get(block) ?? 0;
  const listed = ways.map(({ block }) => `${block.name} ${of(block).toFixed(3)}`).join(", ");
  context.log({ id: "influence", text: `influence of the repeated layers, 1 - cos(in, out): ${listed}` });
  const least = new Set(ways.toSorted((a, b) => of(a.block) - of(b.block)).slice(0, count));
  const gone = ways.filter((way) => least.has(way));
  return {
    changes: removeLayers(model, gone, context, (block) => `removed (influence ${of(block).toFixed(3)})`),
    misses,
  };
}

/**
 * The repeated layers that can go, and why others cannot.
 * @throws PithError E_OPTION where fewer than `count` can, E_UNSUPPORTED where none repeat.
 */
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
  const why = [...new Set(misses.map((miss) => `${miss.at}: ${reasonText(miss)}`))].slice(0, 3).join("; ");
  const can = `${able} of ${all} repeated layers can be removed`;
  return new PithError(
    "E_OPTION",
    `${counted(count, "layer")} cannot be dropped: ${can}${why === "" ? "" : ` (${why})`}, and one stays.`,
    {
      hint:
        able === 0 ? "Channels can be removed instead, with `structured`." : `Drop at most ${Math.min(able, all - 1)}.`,
    },
  );
}
