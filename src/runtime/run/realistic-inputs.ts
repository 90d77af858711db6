/** Realistic inputs for a model of texts or sound without data. */

import { firstBatch, type IndexedDataset, joinRows, memory, range, view } from "#batches";
import { type Batch, type Dense, Miss, type Model, open } from "#ir";
import type { Context } from "#pass";
import { fileKind, folderOf, joinPath } from "#platform";
import type { Engine } from "../../core/engine/index.ts";
import { isSoundInput, openFeatureExtractor } from "../../data/sound/features.ts";
import { speechNoise } from "../../data/sound/speech-noise.ts";
import { tokenInput } from "../../data/text/token-inputs.ts";
import { encode } from "./generate.ts";
import { createOwnInputs, requireRuns, tryRealisticInputs } from "./own-text.ts";

/** Value of the data option that selects these inputs instead of a path. */
export const ownTextName = "own-text";

/** Samples that Pith made. Their name describes them. */
export interface TextInputs {
  /** Whether the model, a language model, generated the texts. */
  readonly isGenerated: boolean;
  /** Texts or sounds on which the result is compared with the original. */
  readonly test: IndexedDataset;
  /** Others, for calibration and for choices. */
  readonly calibrate: IndexedDataset;
}

/** Returns text that a language model generates itself, sentences, or noise for a model of sound. @param file keeps the generated text. */
export async function textInputs(
  model: Model,
  { engine, ...context }: Pick<Context, "engine" | "seed" | "signal" | "progress" | "log" | "renderTemplate">,
  file?: string,
): Promise<TextInputs | undefined> {
  const { seed } = context;
  const tokens = tokenInput(model.graph.feeds);
  if (tokens === undefined) return soundInputs(engine, model, context);
  const encoded = await encodedInputs(model, { engine, ...context });
  const texts = await createOwnInputs(engine, model, { ...context, file, encoded });
  if (texts === undefined) return undefined;
  const { samples: all, isGenerated } = texts;
  const half = Math.floor(all.count / 2);
  const length = (await firstBatch(all))[tokens.name]?.dims[1];
  const part = (count: number, start: number): IndexedDataset => {
    const details = isGenerated ? `${count} sequences of ${length} tokens, seed ${seed}` : `${count} texts`;
    return view(all, `${all.name}: ${details}`, range(count, start));
  };
  return { isGenerated, test: part(half, 0), calibrate: part(all.count - half, half) };
}

/** Returns the output of the encoder next to a decoder, for sentences or noise. */
async function encodedInputs(
  { place, graph }: Model,
  context: Pick<Context, "engine" | "seed" | "signal" | "progress" | "log">,
): Promise<Batch | undefined> {
  const path = place && joinPath(folderOf(place), "encoder_model.onnx");
  const readsEncoder = graph.feeds.some(({ name }) => name === "encoder_hidden_states");
  if (path === undefined || !readsEncoder || (await fileKind(path)) !== "file") return undefined;
  const encoder = await open(path);
  const inputs = await textInputs(encoder, context);
  if (inputs === undefined) return undefined;
  const session = await context.engine.load(encoder);
  return encode(session, await firstBatch(inputs.calibrate, maxSequences)).finally(() => session.release());
}

/** Maximum number of sequences that an encoder reads. */
const maxSequences = 16;

/** Number of sounds for the comparison, and as many for choices. */
const soundCount = 4;

/** Returns noise as the input of a model of sound, if a file next to it describes its input. */
async function soundInputs(
  engine: Engine,
  model: Model,
  { seed, log }: Pick<Context, "seed" | "log">,
): Promise<TextInputs | undefined> {
  const { place, graph } = model;
  const [feed, other] = graph.feeds;
  if (place === undefined || feed === undefined || other !== undefined || !isSoundInput(feed.name)) return undefined;
  return tryRealisticInputs(log, async () => {
    const folder = folderOf(place);
    const extractor = (await openFeatureExtractor(folder)) ?? (await openFeatureExtractor(joinPath(folder, "..")));
    if (extractor === undefined || extractor instanceof Miss) return undefined;
    const sounds = Array.from({ length: 2 * soundCount }, (_, index) => speechNoise(extractor.rate, seed + index));
    const features = await extractor.extract(engine, sounds);
    const synthetic = "noise with the spectrum of speech, which is weak evidence";
    const name = `${synthetic}: ${soundCount} sounds, seed ${seed}`;
    const samplesOf = (part: readonly Dense[]): IndexedDataset => ({
      ...memory(name, { [feed.name]: joinRows(feed.name, part, feed.name) }),
      synthetic,
    });
    const test = samplesOf(features.slice(0, soundCount));
    await requireRuns(engine, model, test, 1);
    return { isGenerated: false, test, calibrate: samplesOf(features.slice(soundCount)) };
  });
}
