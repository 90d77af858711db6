/** Corrects biases of a quantized model if that lowers the output noise on held-out samples. */
import { biasedOutput, type Inference, infer, type Layer } from "#analysis";
import type { Model } from "#ir";
import type { Change, Context } from "#pass";
import { counted } from "../../core/numbers.ts";
import { isIndexed } from "../../data/batches/indexed.ts";
import { draw, firstBatch, keepInMemory, setAside } from "../../data/batches/select.ts";
import { openStorage } from "../../data/batches/store.ts";
import { trainPart } from "../../data/sources/open.ts";
import { noiseMeter } from "../../runtime/noise/answer-noise.ts";
import { createTrials } from "../../runtime/noise/noise-trials.ts";
import { feedingOf } from "../../runtime/run/feeding.ts";
import { correctBiases } from "../calibrate/biases.ts";
import { Calibration, roomInMemory, samplesAtOnce } from "../calibrate/calibration.ts";
import { matchOriginal } from "../calibrate/match.ts";
import type { RoundedSettings } from "./settings.ts";

/** With fewer samples, the means and the held-out check are too uncertain. */
const minSamples = 32;
const maxHeldOut = 32;
/** Minimum share of the noise that a correction must remove; a smaller gain is not significant. */
const minGain = 0.02;

export async function correctRoundedBiases(
  model: Model,
  original: Model,
  { biasCorrection, scheme, data, samples }: RoundedSettings,
  context: Context,
): Promise<readonly Change[]> {
  if (biasCorrection === "none" || data === undefined || scheme === "dynamic") return [];
  const { engine, seed, signal } = context;
  const dataset = await trainPart(data);
  const chosenSamples = isIndexed(dataset) ? draw(dataset, samples, seed) : await keepInMemory(dataset, samples);
  if (
    chosenSamples.count < minSamples ||
    feedingOf(original, await firstBatch(chosenSamples), chosenSamples.name).states.length > 0
  )
    return [];
  const heldOutCount = Math.floor(chosenSamples.count / 4);
  const { drawn: heldOut, rest } = setAside(chosenSamples, heldOutCount, seed);
  const match = await matchOriginal(model, original, engine);
  const inference = infer(model);
  const correction = {
    match,
    context,
    kept: { of: dataset, setting: `means of ${samples} samples, seed ${seed}`, part: rest },
    normalized: true,
    except: (layer: Layer) => !canTakeBias(layer, inference, scheme),
  };
  const trial = createTrials(
    model,
    noiseMeter(original, async () => heldOut, context, maxHeldOut),
    minGain,
  );
  let corrected = 0;
  const gain = await trial(async () => {
    const storage = openStorage({ memory: roomInMemory });
    const startCalibration = () => Calibration.begin(model, rest, { engine, signal, batch: samplesAtOnce, storage });
    try {
      corrected = await correctBiases(model, rest, startCalibration, correction);
    } finally {
      await storage.release();
    }
    return corrected > 0;
  });
  if (gain === undefined) return [];
  const samplesText = counted(Math.min(heldOutCount, maxHeldOut), "other sample");
  const text = `${counted(corrected, "layer")}, with ${gain} on ${samplesText}`;
  return [{ at: "bias correction", what: text, decidedBy: "global" }];
}

/** Returns whether a layer has or can get a bias. In integer schemes, a new bias or Add would prevent fusion in the runtime. */
function canTakeBias(layer: Layer, inference: Inference, scheme: RoundedSettings["scheme"]): boolean {
  if (layer.bias !== undefined) return true;
  return (
    scheme === "weights" && (layer.role.biasInput !== undefined || biasedOutput(layer, inference)?.sum !== undefined)
  );
}
