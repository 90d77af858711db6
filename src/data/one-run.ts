/** What one run of a model takes. */
import type { Batch } from "../tensor/types.ts";
import { bindInputs, type ModelInput } from "./bind.ts";
import { firstBatch } from "./select.ts";
import type { Dataset } from "./types.ts";

export interface OneRun {
  readonly feeds: Batch;
  /** Samples in it. */
  readonly size: number;
}

/**
 * The first sample as a model takes it, or as many as the model fixes.
 * @throws PithError E_DATA if there is none, or an input has no column that fits.
 */
export async function oneRun(inputs: readonly ModelInput[], samples: Dataset): Promise<OneRun> {
  const first = await firstBatch(samples);
  const { size = 1 } = bindInputs(inputs, first, samples.name);
  const batch = size === 1 ? first : await firstBatch(samples, size);
  return { feeds: bindInputs(inputs, batch, samples.name).feeds(batch), size };
}
