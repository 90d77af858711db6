/**
 * Keeps layers of language models precise whose inputs one scale does not resolve. A few activations of some tokens are thousands of times as large as
 * the others (Sun et al. 2024, arXiv 2402.17762). With a range from min to max of a run, rounding adds noise with the power
 *
 *     s² / 12,  s = (max - min) / 255
 *
 * to each token. The signal to noise of a layer is that of its median token.
 */
import { allLayers, infer, isInSubgraph, optionsOfLayer, selectLayers } from "#analysis";
import type { Dataset } from "#batches";
import { emitInto, integer, Miss, type Model, replaceUses, zeros } from "#ir";
import type { Change, Context } from "#pass";
import { trainPart } from "../../data/sources/open.ts";
import { resolveConditions } from "../../rewrite/clean-up/resolve-conditions.ts";
import { decoderOf } from "../../runtime/run/decoding.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import { observeOnce } from "../calibrate/statistics-cache.ts";
import { requireMatrix } from "./formats/matrix-product.ts";
import { quantizeBy } from "./round-model.ts";
import type { DynamicSettings } from "./settings.ts";

/** Minimum signal to noise of inputs, in decibels. */
const minDecibels = 22;

/** Stores layers with massive inputs as 8-bit blocks, in place. @returns the changes, and the settings of the other layers. */
export async function quantizeMassiveInputs(
  model: Model,
  settings: DynamicSettings,
  context: Context,
): Promise<{ readonly changes: readonly Change[]; readonly rest: DynamicSettings }> {
  const { samples, rounder, data } = settings;
  if (data === undefined || decoderOf(model) === undefined) return { changes: [], rest: settings };
  // The texts only find massive inputs. They do not choose the equalization of the other layers.
  const rest = { ...settings, data: undefined };
  const ratios = await findMassiveInputs(model, settings, await trainPart(data), context);
  if (ratios.size === 0) return { changes: [], rest };
  const { changes } = await quantizeBy(
    {
      scheme: "weights",
      bits: 8,
      block: 32,
      halfScales: true,
      layers: [...ratios.keys()],
      samples,
      rounder,
      perChannel: true,
      zeroPoints: false,
      onnxOnly: false,
      equalize: false,
      biasCorrection: "none",
    },
    model,
    context,
  );
  const reasonOf = ({ at }: Change): string => `one activation is ${integer(ratios.get(at) ?? 0)} × the typical one`;
  return { changes: changes.map((change) => ({ ...change, what: `${change.what}: ${reasonOf(change)}` })), rest };
}

/** Returns, by layer name, the largest magnitude in massive inputs, divided by the root mean square of the median token. */
async function findMassiveInputs(
  model: Model,
  settings: DynamicSettings,
  data: Dataset,
  context: Context,
): Promise<ReadonlyMap<string, number>> {
  const { samples } = settings;
  const { engine, seed, signal } = context;
  const beginning = await withoutCache(model, context);
  const inference = infer(beginning);
  const inputs = selectLayers(allLayers(beginning, inference), settings).flatMap((layer) => {
    const target = requireMatrix(layer, inference);
    // Layers with overrides are skipped, because the user chose their format.
    const isFree = !isInSubgraph(layer) && optionsOfLayer(settings, layer).decidedBy === "global";
    return target instanceof Miss || !isFree ? [] : [{ layer: layer.name, name: target.data.name, axis: -1 }];
  });
  const places = [...new Map(inputs.map((input) => [input.name, input])).values()];
  const key = { dataset: data, setting: `massive inputs of ${samples} samples, seed ${seed}` };
  // The range of an activation belongs to a run.
  const observeOptions = { samples, shuffle: seed, batch: 1, signal };
  const peaks = await observeOnce(engine, beginning, key, places, inputPeak, observeOptions);
  return new Map(
    inputs.flatMap(({ layer, name }) => {
      const { decibels = minDecibels, ratio = 0 } = peaks.get(name) ?? {};
      return decibels < minDecibels ? [[layer, Math.round(ratio)] as const] : [];
    }),
  );
}

/** Returns a merged decoder as its branch that begins a text, whose layers have the same names. */
async function withoutCache(model: Model, context: Context): Promise<Model> {
  const copy = model.clone();
  const switches = copy.graph.feeds.filter(({ type }) => type?.type === "bool");
  for (const feed of switches) replaceUses(feed, emitInto(copy).constant(zeros("bool", [1]), `${feed.name}.off`));
  const { changes } = await resolveConditions(copy, {}, context);
  return changes.length === 0 ? model : copy;
}

const inputPeak: Statistic<{ readonly decibels: number; readonly ratio: number }> = {
  begin() {
    const [powers, ratios]: [number[], number[]] = [[], []];
    let largest = 0;
    return {
      add({ rows, columns, values }) {
        const numbers = values();
        let [min, max] = [0, 0];
        for (const value of numbers) {
          if (value < min) min = value;
          else if (value > max) max = value;
        }
        largest = Math.max(largest, -min, max);
        const noise = ((max - min) / 255) ** 2 / 12;
        for (let row = 0; row < rows; row++) {
          let squares = 0;
          for (let index = row * columns; index < (row + 1) * columns; index++) squares += (numbers[index] ?? 0) ** 2;
          // Rounding keeps 0.
          if (squares === 0) continue;
          powers.push(squares / columns);
          ratios.push(squares / columns / noise);
        }
      },
      end: () => ({ decibels: 10 * Math.log10(medianOf(ratios)), ratio: largest / Math.sqrt(medianOf(powers)) }),
    };
  },
};

const medianOf = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.POSITIVE_INFINITY;
