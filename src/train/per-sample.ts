/**
 * The gradient of each sample by itself, g_i = ∂loss_i/∂w, where a step of training has their mean only: for clipping sample by sample (Abadi
 * et al. 2016, "Deep learning with differential privacy"), the empirical Fisher information Σ g_i g_iᵀ, and influence (Koh and Liang 2017).
 *
 * One step graph for one sample, run for each: as exact as any step, in the memory of one sample. It takes longer than a batch, of which the
 * products are larger.
 *
 * A sample has a gradient of its own only where the loss of several is the mean of theirs, Σ g_i / n = g. Batch normalization by the statistics
 * of the batch, contrast between samples and the like mix them, and are refused: by the state that they carry, or because the loss of the first
 * two samples together is another than the mean of theirs. What is drawn at random (dropout) is drawn for each sample, by the seed and its
 * place.
 */
import { mapColumns, sampleCount, sliceRows } from "../data/rows.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { type Context, completeContext } from "../passes/index.ts";
import type { Batch } from "../tensor/types.ts";
import type { Floats } from "./floats.ts";
import { type ForwardLoss, forwardLoss } from "./forward-loss.ts";
import { createStep, type Step } from "./step.ts";
import type { StepOptions } from "./step-graph.ts";

export interface SampleGradient {
  /** Its place in the batch. */
  readonly sample: number;
  readonly loss: number;
  /** Parameter → its gradient, as many numbers as it has, row-major. The arrays are the caller's. */
  readonly gradients: ReadonlyMap<string, Floats>;
}

/** Beside the greater loss: sums in float32 come out in another order in a batch. */
const tolerance = 1e-4;

/**
 * The gradients of the samples of a batch, one sample after the other. The model is not changed.
 *
 * @throws PithError E_UNSUPPORTED where samples mix, so that none has a gradient of its own, E_DATA where a loss is no number, and what `createStep`
 * throws.
 * @example
 * for await (const batch of data.batches({ size: 64 })) {
 *   for await (const { sample, gradients } of perSampleGradients(model, batch, { loss: crossEntropy() }))
 *     console.log(sample, gradients.get("fc1.weight"));
 * }
 */
export async function* perSampleGradients(
  model: Model,
  batch: Batch,
  options: Omit<StepOptions, "carry">,
  context: Partial<Context> = {},
): AsyncGenerator<SampleGradient> {
  const samples = sampleGradients(model, options, context);
  try {
    yield* samples.of(batch);
  } finally {
    await samples.release();
  }
}

/** The same for batch after batch, by the graphs of the first. */
export interface SampleGradients {
  of(batch: Batch): AsyncGenerator<SampleGradient>;
  release(): Promise<void>;
}

export function sampleGradients(
  model: Model,
  options: Omit<StepOptions, "carry">,
  context: Partial<Context> = {},
): SampleGradients {
  const losses = forwardLoss(model, options.loss, completeContext(context));
  let step: Step | undefined;
  return {
    async *of(batch) {
      const count = sampleCount(batch, "The batch");
      const rows = (start: number, end: number): Batch => mapColumns(batch, (dense) => sliceRows(dense, start, end));
      if (count === 0) return;
      step ??= await createStep(model, rows(0, 1), options, context);
      requireStateless(step);
      if (count > 1) await requireApart(losses, rows);
      for (let sample = 0; sample < count; sample++) {
        const loss = await step.run(rows(sample, sample + 1), [sample]);
        const gradients = new Map(step.parameters.map(({ name, gradient }) => [name, gradient.slice()]));
        yield { sample, loss, gradients };
      }
    },
    async release() {
      await losses.release();
      await step?.release();
    },
  };
}

function requireStateless({ states: [state] }: Step): void {
  if (state === undefined) return;
  const place = `"${state.name}" is computed from all samples of a batch`;
  throw new PithError("E_UNSUPPORTED", `A sample has no gradient of its own: ${place}.`, {
    hint: "Run `finalize` on the model first: batch normalization then computes as in inference.",
  });
}

/** In inference, where nothing is drawn. @throws PithError E_UNSUPPORTED where the loss of several samples is not the mean of theirs, E_DATA where it is no number. */
async function requireApart(losses: ForwardLoss, rows: (start: number, end: number) => Batch): Promise<void> {
  const [first, second, both] = [await losses.of(rows(0, 1)), await losses.of(rows(1, 2)), await losses.of(rows(0, 2))];
  const broken = [first, second].findIndex((loss) => !Number.isFinite(loss));
  if (broken >= 0)
    throw new PithError("E_DATA", `The loss of sample ${broken + 1} of a batch is ${[first, second][broken]}.`, {
      hint: "The model or the data may hold what is no number, or the preprocessing may be wrong.",
    });
  if (Math.abs(both - (first + second) / 2) <= tolerance * Math.max(Math.abs(first), Math.abs(second), 1e-30)) return;
  const figures = `${both.toPrecision(6)}, that of each ${first.toPrecision(6)} and ${second.toPrecision(6)}`;
  throw new PithError(
    "E_UNSUPPORTED",
    `A sample has no gradient of its own: the loss of the first two together is ${figures}, which is not their mean.`,
    { hint: "The model or the loss mixes samples of a batch, or normalizes by labels of the whole batch." },
  );
}
