/**
 * Keeps layers of language models precise whose inputs one scale does not resolve. A few activations of some tokens are thousands of times as large as
 * the others (Sun et al. 2024, arXiv 2402.17762), and with a range from min to max of a run, rounding adds noise with the power
 *
 *     s² / 12,  s = (max - min) / 255
 *
 * to each token. The signal to noise of a layer is that of its median token. 8-bit blocks of weights, whose products round the inputs in blocks, too, cost
 * 6 % more bytes and some speed, so other layers keep the integer arithmetic.
 */
import { allLayers, infer, isInside, type Layer, optionsOfLayer, selectLayers } from "#analysis";
import { Miss, type Model } from "#ir";
import type { Change, Context } from "#pass";
import { integer } from "../../core/numbers.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { trainPart } from "../../data/sources/open.ts";
import { decoderOf } from "../../runtime/run/decoding.ts";
import { observeOnce } from "../calibrate/kept.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import { requireMatrix } from "./formats/product.ts";
import { quantizeBy } from "./round-model.ts";
import type { DynamicSettings } from "./settings.ts";

/**
 * Minimum signal to noise of inputs, in decibels. SmolLM2-135M has 9 layers from -27 to 14.5 dB, whose integer arithmetic raises its perplexity by half.
 * All its other layers, and those of small models without massive activations, have at least 20 dB.
 */
const minDecibels = 17;

interface InputPeak {
  /** Signal to noise of the median token, in decibels. */
  readonly decibels: number;
  /** The largest magnitude, in root mean squares of the median token. */
  readonly ratio: number;
}

/** Stores layers with massive inputs as 8-bit blocks, in place. @returns the changes, and the settings of the other layers. */
export async function quantizeMassiveInputs(
  model: Model,
  settings: DynamicSettings,
  context: Context,
): Promise<{ readonly changes: readonly Change[]; readonly rest: DynamicSettings }> {
  const { samples, rounder } = settings;
  const data = settings.data === undefined ? undefined : await trainPart(settings.data);
  // Samples that Pith made do not decide about equalization.
  const rest = data?.isSynthetic === true ? { ...settings, data: undefined } : settings;
  const isMeasured = data !== undefined && decoderOf(model) !== undefined;
  const peaks = isMeasured ? await measurePeaks(model, settings, data, context) : new Map<string, InputPeak>();
  if (peaks.size === 0) return { changes: [], rest };
  const { changes } = await quantizeBy(
    {
      ...{ scheme: "weights", bits: 8, block: 32, halfScales: true, layers: [...peaks.keys()], samples, rounder },
      ...{ perChannel: true, zeroPoints: false, onnxOnly: false, equalize: false, biasCorrection: "none" },
    },
    model,
    context,
  );
  const explained = changes.map((change) => {
    const ratio = integer(Math.round(peaks.get(change.at)?.ratio ?? 0));
    return { ...change, what: `${change.what}: one activation is ${ratio} × the typical one` };
  });
  return { changes: explained, rest };
}

/** Returns the inputs below the minimum signal to noise, by layer name. */
async function measurePeaks(
  model: Model,
  settings: DynamicSettings,
  data: Dataset,
  { engine, seed, signal }: Context,
): Promise<ReadonlyMap<string, InputPeak>> {
  const inference = infer(model);
  const inputs = new Map<string, string>();
  for (const layer of selectLayers(allLayers(model, inference), settings)) {
    const target = requireMatrix(layer, inference);
    if (target instanceof Miss || isInside(layer) || isChosen(layer, settings)) continue;
    inputs.set(layer.name, target.data.name);
  }
  const places = Array.from(new Set(inputs.values()), (name) => ({ name, axis: -1 }));
  const key = { of: data, setting: `massive inputs of ${settings.samples} samples, seed ${seed}` };
  // The range of an activation belongs to a run.
  const order = { samples: settings.samples, shuffle: seed, batch: 1, signal };
  const peaks = await observeOnce(engine, model, key, places, inputPeak, order);
  return new Map(
    [...inputs].flatMap(([name, input]) => {
      const peak = peaks.get(input);
      return peak !== undefined && peak.decibels < minDecibels ? [[name, peak] as const] : [];
    }),
  );
}

/** Returns whether an override chooses the form of a layer. */
const isChosen = (layer: Layer, settings: DynamicSettings): boolean =>
  optionsOfLayer(settings, layer).decidedBy !== "global";

const inputPeak: Statistic<InputPeak> = {
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
        if (max === min) return;
        largest = Math.max(largest, -min, max);
        const noise = ((max - min) / 255) ** 2 / 12;
        for (let row = 0; row < rows; row++) {
          let squares = 0;
          for (let index = row * columns; index < (row + 1) * columns; index++) squares += (numbers[index] ?? 0) ** 2;
          powers.push(squares / columns);
          ratios.push(squares / columns / noise);
        }
      },
      end: () => ({ decibels: 10 * Math.log10(medianOf(ratios)), ratio: largest / Math.sqrt(medianOf(powers)) }),
    };
  },
};

const medianOf = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
