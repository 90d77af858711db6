/** What a method asks to know of the inputs of layers: a statistic of samples, collected layer after layer. */
import { infer } from "../analysis/infer.ts";
import { type Layer, layers } from "../analysis/layers.ts";
import type { Dataset } from "../data/types.ts";
import { capitalized, Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { statisticOf } from "../passes/own-methods.ts";
import type { Context } from "../passes/pass.ts";
import type { Statistic } from "./statistic.ts";

interface EvidenceOptions {
  readonly data?: Dataset | string | undefined;
  readonly samples?: number | undefined;
  /** Of which model it is: as it was (the default), or with what the layers before have become. */
  readonly of?: "original" | "changed" | undefined;
}

/** The evidence of a layer, or why there is none. Layers are asked for in their order, before they change; the last answer is kept. */
export type EvidenceOf = (layer: Layer) => Promise<unknown>;

/**
 * Does work, which may change the model, with what a method asks to know; undefined of every layer where it asks nothing.
 * @param asking how the method is called in the error: `the rounder "gptq"`.
 * @throws PithError E_OPTION if there are no samples to look at.
 */
export async function withEvidence<T>(
  model: Model,
  asking: string,
  statistic: Statistic<unknown> | undefined,
  { data, samples, of }: EvidenceOptions,
  context: Context,
  work: (evidenceOf: EvidenceOf) => Promise<T>,
): Promise<T> {
  if (statistic === undefined) return work(async () => undefined);
  if (data === undefined) {
    const hint = "Give a data set.";
    throw new PithError("E_OPTION", `"data": ${asking} needs samples, and none are given.`, { hint });
  }
  const own = statisticOf(capitalized(asking), statistic);
  const seenIn = of === "changed" ? model : model.clone();
  const all = layers(seenIn, infer(seenIn));
  // Readers of data are loaded only where a method looks at data.
  const { calibrate } = await import("./calibration.ts");
  const seen = await calibrate(seenIn, { data, samples }, context);
  const last = { name: "", found: undefined as unknown };
  try {
    return await work(async (asked) => {
      const { name } = asked;
      if (last.name === name) return last.found;
      const layer = of === "changed" ? asked : all.find((one) => one.name === name);
      const found =
        layer === undefined ? new Miss("the model had no such layer before", name) : await seen.collect(layer, own);
      Object.assign(last, { name, found });
      return found;
    });
  } finally {
    await seen.release();
  }
}
