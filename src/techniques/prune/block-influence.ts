/**
 * Block influence (Men et al. 2024, ShortGPT, arXiv 2403.03853): how much a block changes its input x,
 *
 *     BI = 1 - E[cos(x, y)]
 *
 * over channel vectors at all positions of all samples, without padding (attention mask). The runtime computes sums in float64.
 */
import type { Block } from "../../core/analysis/blocks.ts";
import { type Inference, infer } from "../../core/analysis/infer.ts";
import { layers } from "../../core/analysis/layers.ts";
import { notFiniteHint, PithError } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Context } from "../../core/pass/pass.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import { dimsText } from "../../core/tensor/dims.ts";
import { typeCodes } from "../../core/tensor/types.ts";
import { attentionMask } from "../../data/batches/rows.ts";
import { draw, firstBatch, take } from "../../data/batches/select.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { trainPart } from "../../data/sources/open.ts";
import { feedingOf } from "../../runtime/run/feeding.ts";
import { observe } from "../calibrate/observe.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import type { Bypass } from "./repeated-layers.ts";

/** @throws PithError E_DATA if the data does not fit or has no samples, or an influence is NaN, E_STOPPED on the signal. */
export async function blockInfluence(
  model: Model,
  ways: readonly Bypass[],
  { data, samples }: { readonly data: Dataset | string; readonly samples: number },
  { engine, signal, seed, progress }: Context,
): Promise<ReadonlyMap<Block, number>> {
  const dataset = await trainPart(data);
  const hasStates = feedingOf(model, await firstBatch(dataset), dataset.name).states.length > 0;
  const chosen = hasStates ? take(dataset, samples) : draw(dataset, samples, seed);
  const inference = infer(model);
  const statistics = new Map(
    ways.map((way) => {
      const axis = axisOf(model, way, inference);
      return [way.output.name, similarity(way.input.name, axis, maskOf(model, way, axis))];
    }),
  );
  const of = (name: string): Statistic<number> => {
    const found = statistics.get(name);
    if (found === undefined) throw new Error(`No block answers with "${name}".`);
    return found;
  };
  const seen = await observe(engine, model, chosen, [...statistics.keys()], of, { signal, progress });
  return new Map(
    ways.map(({ block, output }) => {
      const influence = 1 - (seen.get(output.name) ?? Number.NaN);
      if (!Number.isFinite(influence))
        throw new PithError(
          "E_DATA",
          `The influence of "${block.name}" is not a number on this data: its values must be finite.`,
          {
            hint: notFiniteHint,
          },
        );
      return [block, influence];
    }),
  );
}

/** Returns the channel axis of a layer of the block whose output has the same rank, else the last axis. */
function axisOf(model: Model, { block, output }: Bypass, inference: Inference): number {
  const rank = output.type?.dims?.length ?? 1;
  const own = new Set(block.layers);
  const alike = layers(model, inference).find(
    ({ name, node }) => own.has(name) && node.outputs[0]?.type?.dims?.length === rank,
  );
  return alike?.role.outputAxis ?? rank - 1;
}

function maskOf({ graph }: Model, { output }: Bypass, axis: number): string | undefined {
  const dims = output.type?.dims;
  if (dims === undefined) return undefined;
  const places = dimsText(dims.filter((_, at) => at !== (axis < 0 ? axis + dims.length : axis)));
  return graph.feeds.find(({ name, type }) => attentionMask.test(name) && dimsText(type?.dims) === places)?.name;
}

/** Returns the mean cosine between two values; a zero vector has 1 with another zero vector and 0 with any other. */
function similarity(other: string, axis: number, mask: string | undefined): Statistic<number> {
  return {
    reduce(emit, y) {
      const x = y.graph.value(other);
      if (x === undefined) throw new Error(`There is no value "${other}".`);
      const [a, b] = [x, y].map((value) => emit.Cast([value], { to: typeCodes.float64 })) as [Value, Value];
      const dot = (one: Value, two: Value): Value => emit.ReduceSum([emit.Mul([one, two]), [axis]], { keepdims: 0 });
      const none = emit.constant(fromNumbers("float64", [], [0]), "none");
      const norms = emit.Sqrt([emit.Mul([dot(a, a), dot(b, b)])]);
      const parallel = emit.Cast([emit.Equal([dot(a, a), dot(b, b)])], { to: typeCodes.float64 });
      const cosines = emit.Where([emit.Equal([norms, none]), parallel, emit.Div([dot(a, b), norms])]);
      const counts = mask === undefined ? undefined : y.graph.value(mask);
      if (counts === undefined) return [emit.ReduceSum([cosines], { keepdims: 0 }), emit.Size([cosines])];
      const counted = emit.Cast([emit.Cast([counts], { to: typeCodes.bool })], { to: typeCodes.float64 });
      return [emit.Mul([cosines, counted]), counted].map((each) => emit.ReduceSum([each], { keepdims: 0 }));
    },
    begin() {
      let [sum, count] = [0, 0];
      return {
        add(batch) {
          const { data } = batch.matrix();
          for (let at = 0; at < data.length; at += 2) {
            sum += data[at] ?? 0;
            count += data[at + 1] ?? 0;
          }
        },
        end: () => sum / count,
      };
    },
  };
}
