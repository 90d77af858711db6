/** What rounders know of the inputs of layers: a statistic of samples, collected layer after layer in the model as it was. */
import { infer } from "../analysis/infer.ts";
import { type Layer, layers } from "../analysis/layers.ts";
import type { Dataset } from "../data/index.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/pass.ts";
import type { RounderName } from "./rounders/index.ts";
import type { Rounder } from "./rounders/rounder.ts";

export interface RounderOptions {
  readonly rounder: RounderName | Rounder;
  readonly data?: Dataset | string | undefined;
  readonly samples: number;
}

/** A rounder, and what it asks to know of a layer. */
export interface Evidence {
  readonly rounder: Rounder;
  evidenceOf(layer: Layer): Promise<unknown>;
}

/** @throws PithError E_OPTION if the rounder needs samples and there are none. */
export async function withEvidence<T>(
  model: Model,
  rounder: Rounder,
  { data, samples }: RounderOptions,
  context: Context,
  work: (evidence: Evidence) => Promise<T>,
): Promise<T> {
  const { evidence } = rounder;
  if (evidence === undefined) return work({ rounder, evidenceOf: async () => undefined });
  if (data === undefined) {
    throw new PithError("E_OPTION", `"data": the rounder "${rounder.id}" looks at samples, and got none.`, {
      hint: "Give a data set.",
    });
  }
  const original = model.clone();
  const all = layers(original, infer(original));
  // Readers of data are loaded only where a rounder looks at data.
  const { calibrate } = await import("../calibrate/calibration.ts");
  const seen = await calibrate(original, { data, samples }, context);
  const last = { name: "", found: undefined as unknown };
  try {
    return await work({
      rounder,
      async evidenceOf({ name }) {
        if (last.name === name) return last.found;
        const layer = all.find((one) => one.name === name);
        const found =
          layer === undefined ? new Miss("is not in the model as it was", name) : await seen.collect(layer, evidence);
        if (found instanceof Miss) throw new PithError("E_UNSUPPORTED", `Layer "${name}" ${found.reason}.`);
        Object.assign(last, { name, found });
        return found;
      },
    });
  } finally {
    await seen.release();
  }
}
