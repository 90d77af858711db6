/**
 * Per-sample gradients, g_i = ∂loss_i/∂w: for clipping (Abadi et al. 2016, "Deep learning with differential privacy"), the
 * empirical Fisher information Σ g_i g_iᵀ, and influence (Koh and Liang 2017). A step graph with batch size 1 runs for each sample.
 *
 * A sample has a separate gradient only if the batch loss is the mean of the sample losses, Σ g_i / n = g. Batch statistics,
 * contrastive losses and the like are rejected: the step has states, or the loss of the first two samples as a batch differs from the
 * mean of their losses. Dropout depends on the seed and the sample's position.
 */

import { type Batch, type Model, PithError } from "#ir";
import { type Context, completeContext } from "#pass";
import { mapColumns, sampleCount, sliceRows } from "../../data/batches/rows.ts";
import type { Floats } from "./floats.ts";
import { type ForwardLoss, forwardLoss } from "./forward-loss.ts";
import { createStep, type Step } from "./step.ts";
import type { StepOptions } from "./step-graph.ts";

export interface SampleGradient {
  readonly sample: number;
  readonly loss: number;
  /** Parameter → its gradient in the layout of the parameter. The caller owns the arrays. */
  readonly gradients: ReadonlyMap<string, Floats>;
}

/** Maximum difference of losses, relative to the greater loss: float32 sums in a batch have another order. */
const tolerance = 1e-4;

/**
 * Yields the gradients of the samples of a batch, one sample at a time. The model is not changed.
 * @throws PithError E_UNSUPPORTED if the model or loss mixes samples, so that they have no separate gradients, E_DATA if a loss is not
 * finite, and the errors of `createStep`.
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

/** Yields gradients for several batches with the graphs of the first. */
export function sampleGradients(model: Model, options: Omit<StepOptions, "carry">, context: Partial<Context> = {}) {
  const losses = forwardLoss(model, options.loss, completeContext(context));
  let step: Step | undefined;
  return {
    async *of(batch: Batch): AsyncGenerator<SampleGradient> {
      const count = sampleCount(batch, "The batch");
      const rows = (start: number, end: number): Batch => mapColumns(batch, (dense) => sliceRows(dense, start, end));
      if (count === 0) return;
      step ??= await createStep(model, rows(0, 1), options, context);
      requireStateless(step);
      if (count > 1) await requireSeparate(losses, rows);
      for (let sample = 0; sample < count; sample++) {
        const loss = await step.run(rows(sample, sample + 1), [sample]);
        const gradients = new Map(step.parameters.map(({ name, gradient }) => [name, gradient.slice()]));
        yield { sample, loss, gradients };
      }
    },
    async release(): Promise<void> {
      await losses.release();
      await step?.release();
    },
  };
}

function requireStateless({ states: [state] }: Step): void {
  if (state === undefined) return;
  const place = `"${state.name}" is computed from all samples of a batch`;
  throw new PithError("E_UNSUPPORTED", `A sample has no separate gradient: ${place}.`, {
    hint: "Run `finalize` on the model first: batch normalization then computes as in inference.",
  });
}

/** Compares losses in inference mode. @throws PithError E_UNSUPPORTED if samples mix, E_DATA if a loss is not finite. */
async function requireSeparate(losses: ForwardLoss, rows: (start: number, end: number) => Batch): Promise<void> {
  const [first, second, both] = [await losses.of(rows(0, 1)), await losses.of(rows(1, 2)), await losses.of(rows(0, 2))];
  const nonFiniteIndex = [first, second].findIndex((loss) => !Number.isFinite(loss));
  if (nonFiniteIndex >= 0)
    throw new PithError(
      "E_DATA",
      `The loss of sample ${nonFiniteIndex + 1} of a batch is ${[first, second][nonFiniteIndex]}.`,
      { hint: "Check the model, the data and the preprocessing for NaN and overflow." },
    );
  if (Math.abs(both - (first + second) / 2) <= tolerance * Math.max(Math.abs(first), Math.abs(second), 1e-30)) return;
  const figures = `${both.toPrecision(6)}, that of each ${first.toPrecision(6)} and ${second.toPrecision(6)}`;
  throw new PithError(
    "E_UNSUPPORTED",
    `A sample has no separate gradient: the loss of the first two together is ${figures}, which is not their mean.`,
    { hint: "The model or the loss mixes samples of a batch, or normalizes by labels of the whole batch." },
  );
}
