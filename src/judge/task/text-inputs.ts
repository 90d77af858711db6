/** Realistic inputs for a model of texts without data. */
import type { Engine } from "../../core/engine/index.ts";
import { asPithError, Miss } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Context } from "../../core/pass/pass.ts";
import { memory, range, view } from "../../data/batches/indexed.ts";
import { firstBatch } from "../../data/batches/select.ts";
import type { IndexedDataset } from "../../data/batches/types.ts";
import { readSidecars } from "../../data/sidecars/sidecars.ts";
import { sentences } from "../../data/text/sentences.ts";
import { tokenInput, tokenize } from "../../data/text/sequences.ts";
import { ownText } from "../../runtime/run/own-text.ts";
import { createRunner } from "../../runtime/run/run.ts";

export interface TextInputs {
  /** Name in reports: "text that the model generated: 8 sequences of 64 tokens, seed 0". */
  readonly name: string;
  /** Texts on which the result is compared with the original. */
  readonly test: IndexedDataset;
  /** Other texts, for calibration and for choices. */
  readonly calibrate: IndexedDataset;
}

/**
 * Returns inputs for a model of texts: text that a language model generates itself, or sentences for another model with a tokenizer next to it.
 * @param file keeps the generated text for further commands on this model. @returns undefined for other models.
 */
export async function textInputs(
  model: Model,
  { engine, seed, signal, progress }: Pick<Context, "engine" | "seed" | "signal" | "progress">,
  file?: string,
): Promise<TextInputs | undefined> {
  const tokens = tokenInput(model.graph.feeds);
  if (tokens === undefined) return undefined;
  const text = await ownText(engine, model, { seed, signal, progress, file });
  const all = text instanceof Miss ? await shippedSentences(engine, model) : text;
  if (all === undefined) return undefined;
  const half = Math.floor(all.count / 2);
  const part = (count: number, start: number): IndexedDataset => view(all, all.name, range(count, start));
  const length = (await firstBatch(all))[tokens.name]?.dims[1];
  const details = text instanceof Miss ? `${half} texts` : `${half} sequences of ${length} tokens, seed ${seed}`;
  return { name: `${all.name}: ${details}`, test: part(half, 0), calibrate: part(all.count - half, half) };
}

/** Returns sentences as inputs of a model; undefined if there is no usable tokenizer next to it, or it does not run on them. */
async function shippedSentences(engine: Engine, model: Model): Promise<IndexedDataset | undefined> {
  try {
    const { tokenizer } = model.place === undefined ? {} : await readSidecars(model.place);
    if (tokenizer === undefined) return undefined;
    const text = { type: "string", dims: [sentences.length], data: [...sentences] } as const;
    const samples = tokenize(memory("sentences that Pith ships", { text }), model.graph.feeds, { tokenizer });
    const runner = await createRunner(engine, model, samples.name);
    await runner.run(await firstBatch(samples, sentences.length)).finally(() => runner.release());
    return samples;
  } catch (error) {
    asPithError(error);
    return undefined;
  }
}
