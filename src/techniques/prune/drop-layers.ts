/**
 * Depth pruning by influence: removes the repeated layers that change their input x least. Block influence (Men et al. 2024, ShortGPT,
 * arXiv 2403.03853) is
 *
 *     BI = 1 - E[cos(x, y)]
 *
 * over channel vectors at all positions of all samples, without padding (attention mask).
 */
import { type Block, type Inference, infer, layers } from "#analysis";
import { attentionMask, type Dataset, draw, firstBatch, take } from "#batches";
import type { Model, Value } from "#ir";
import {
  counted,
  dataError,
  dimsText,
  formatReason,
  fromNumbers,
  Miss,
  notFiniteHint,
  optionError,
  typeCodes,
} from "#ir";
import type { Context, Outcome } from "#pass";
import { trainPart } from "../../data/sources/open.ts";
import { feedingOf } from "../../runtime/run/feeding.ts";
import { observe } from "../calibrate/observe.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import { type Bypass, bypassOf, removeLayers, repeatedLayers } from "./repeated-layers.ts";

/** Removes the least influential repeated layers, in place. Influences are measured before the first layer is removed. */
export async function dropLayers(
  model: Model,
  count: number,
  { data, samples }: { readonly data?: Dataset | string | undefined; readonly samples: number },
  context: Context,
): Promise<Outcome> {
  if (data === undefined)
    throw optionError('"data": `dropLayers` requires samples, to measure the influence of layers.', {
      hint: "Samples need no labels.",
    });
  const { bypasses, misses } = removableLayers(model, count);
  const influences = await blockInfluence(model, bypasses, { data, samples }, context);
  const influenceOf = (block: Block): number => influences.get(block) ?? 0;
  const influenceList = bypasses.map(({ block }) => `${block.name} ${influenceOf(block).toFixed(3)}`).join(", ");
  context.log({ id: "influence", text: `influence of the repeated layers, 1 − cos(input, output): ${influenceList}` });
  const ascending = bypasses.toSorted((a, b) => influenceOf(a.block) - influenceOf(b.block));
  const leastInfluential = new Set(ascending.slice(0, count));
  const droppedLayers = bypasses.filter((bypass) => leastInfluential.has(bypass));
  const textOf = (block: Block): string => `removed (influence ${influenceOf(block).toFixed(3)})`;
  return { changes: removeLayers(model, droppedLayers, context, textOf), misses };
}

/** @throws PithError E_OPTION if fewer than `count` layers can be removed, E_UNSUPPORTED if no layers repeat. */
export function removableLayers(
  model: Model,
  count: number,
): { readonly bypasses: readonly Bypass[]; readonly misses: readonly Miss[] } {
  const all = repeatedLayers(model)
    .flat()
    .map((block) => bypassOf(model, block));
  const misses = all.filter((bypass) => bypass instanceof Miss);
  const bypasses = all.filter((bypass): bypass is Bypass => !(bypass instanceof Miss));
  if (count < all.length && count <= bypasses.length) return { bypasses, misses };
  const reasons = [...new Set(misses.map((miss) => `${miss.at}: ${formatReason(miss)}`))].slice(0, 3).join("; ");
  const removableText = `${bypasses.length} of ${all.length} repeated layers can be removed${reasons && ` (${reasons})`}`;
  throw optionError(`${counted(count, "layer")} cannot be dropped: ${removableText}, and at least one is kept.`, {
    hint:
      bypasses.length === 0
        ? "Remove channels instead, with `structured`."
        : `Drop at most ${Math.min(bypasses.length, all.length - 1)}.`,
  });
}

export async function blockInfluence(
  model: Model,
  bypasses: readonly Bypass[],
  { data, samples }: { readonly data: Dataset | string; readonly samples: number },
  { engine, signal, seed, progress }: Context,
): Promise<ReadonlyMap<Block, number>> {
  const dataset = await trainPart(data);
  const hasStates = feedingOf(model, await firstBatch(dataset), dataset.name).states.length > 0;
  const chosen = hasStates ? take(dataset, samples) : draw(dataset, samples, seed);
  const inference = infer(model);
  const statistics = new Map(
    bypasses.map((bypass) => {
      const axis = channelAxis(model, bypass, inference);
      return [bypass.output.name, meanCosine(bypass.input.name, axis, maskName(model, bypass, axis))];
    }),
  );
  const statisticOf = (name: string): Statistic<number> => {
    const statistic = statistics.get(name);
    if (statistic === undefined) throw new Error(`internal: no block has the output "${name}".`);
    return statistic;
  };
  const cosines = await observe(engine, model, chosen, [...statistics.keys()], statisticOf, { signal, progress });
  return new Map(
    bypasses.map(({ block, output }) => {
      const influence = 1 - (cosines.get(output.name) ?? Number.NaN);
      if (Number.isFinite(influence)) return [block, influence];
      const text = `The influence of "${block.name}" is not a number on this data: its values must be finite.`;
      throw dataError(text, { hint: notFiniteHint });
    }),
  );
}

/** Returns the channel axis of the first layer in the block whose output has the rank of the block's output (default: the last axis). */
function channelAxis(model: Model, { block, output }: Bypass, inference: Inference): number {
  const rank = output.type?.dims?.length ?? 1;
  const names = new Set(block.layers);
  const similar = layers(model, inference).find(
    ({ name, node }) => names.has(name) && node.outputs[0]?.type?.dims?.length === rank,
  );
  return similar?.role.outputAxis ?? rank - 1;
}

/** Returns the name of the attention mask over the positions of a block's output. */
function maskName({ graph }: Model, { output }: Bypass, axis: number): string | undefined {
  const dims = output.type?.dims;
  if (dims === undefined) return undefined;
  const positions = dimsText(dims.filter((_, index) => index !== (axis < 0 ? axis + dims.length : axis)));
  return graph.feeds.find(({ name, type }) => attentionMask.test(name) && dimsText(type?.dims) === positions)?.name;
}

/** Computes the mean cosine between two values. The cosine of two zero vectors is 1; of a zero vector and another vector, 0. */
function meanCosine(other: string, axis: number, mask: string | undefined): Statistic<number> {
  return {
    reduce(emit, y) {
      const x = y.graph.value(other);
      if (x === undefined) throw new Error(`internal: there is no value "${other}".`);
      const toFloat64 = (value: Value): Value => emit.Cast([value], { to: typeCodes.float64 });
      const [a, b] = [toFloat64(x), toFloat64(y)];
      const dot = (left: Value, right: Value): Value =>
        emit.ReduceSum([emit.Mul([left, right]), [axis]], { keepdims: 0 });
      const zero = emit.constant(fromNumbers("float64", [], [0]), "none");
      const norms = emit.Sqrt([emit.Mul([dot(a, a), dot(b, b)])]);
      const bothZero = toFloat64(emit.Equal([dot(a, a), dot(b, b)]));
      const cosines = emit.Where([emit.Equal([norms, zero]), bothZero, emit.Div([dot(a, b), norms])]);
      const maskValue = mask === undefined ? undefined : y.graph.value(mask);
      if (maskValue === undefined) return [emit.ReduceSum([cosines], { keepdims: 0 }), emit.Size([cosines])];
      const weights = toFloat64(emit.Cast([maskValue], { to: typeCodes.bool }));
      return [emit.Mul([cosines, weights]), weights].map((sum) => emit.ReduceSum([sum], { keepdims: 0 }));
    },
    begin() {
      let [sum, count] = [0, 0];
      return {
        add(batch) {
          const { data } = batch.matrix();
          for (let index = 0; index < data.length; index += 2) {
            sum += data[index] ?? 0;
            count += data[index + 1] ?? 0;
          }
        },
        end: () => sum / count,
      };
    },
  };
}
