/** Runs two models on the same samples of a data set: first the original, which is then released, then the result. */
import { withFixedDraws } from "../../core/analysis/fixed-draws.ts";
import type { Engine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { bytesOfBatch } from "../../data/batches/rows.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { Feeder } from "./feeding.ts";
import { type ObserveOptions, overBatches } from "./over-samples.ts";
import { hasLargeWeights, type ModelRun, namesInBoth, type PairedRuns, pairWithResult } from "./paired-runs.ts";
import { explainRunError } from "./run.ts";

/** Maximum bytes of the original's outputs, which are kept until the result has run. */
const maxBytes = 2 ** 28;

/**
 * Runs both with graph optimization. The result receives the original's recurrent states.
 * @throws ResultFails if the original runs and the result does not; PithError E_DATA if the data does not fit, E_STOPPED on the signal.
 */
export async function pairedSamples(
  engine: Engine,
  original: Model,
  result: Model,
  dataset: Dataset,
  options: Pick<ObserveOptions, "samples" | "batch" | "shuffle" | "signal" | "progress">,
): Promise<PairedRuns> {
  const names = namesInBoth(original, result);
  if (names.length === 0) return { pairs: [], without: [], original, result, otherDraws: undefined };
  const session = await engine.load(withFixedDraws(original), { lean: hasLargeWeights(original) });
  const runs: ModelRun[] = [];
  try {
    let feeder: Feeder | undefined;
    let bytes = 0;
    await overBatches(dataset, options, async (rows) => {
      feeder ??= new Feeder(original, rows, dataset.name, result);
      const { size, feeding } = feeder;
      const fetched = [...new Set([...names, ...feeding.states.map(({ output }) => output)])];
      for (const { feeds, samples } of feeder.runs(rows)) {
        if (bytes > maxBytes) return;
        const expected = await session.run(feeds, fetched).catch((error: unknown) => {
          throw explainRunError(error, original, feeds);
        });
        feeder.carry(expected);
        runs.push({ feeds, expected, samples: size ?? samples });
        bytes += bytesOfBatch(expected);
      }
    });
  } finally {
    await session.release();
  }
  return pairWithResult(engine, original, result, runs, { signal: options.signal });
}
