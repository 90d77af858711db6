/**
 * Block-wise distillation: each part of the changed model (`parts.ts`) is trained by itself to make of its own inputs, which the parts before
 * it have changed, what the original's part makes of the original's,
 *
 *     min Σ (part'(x') - part(x))²
 *
 * without labels (as AdaRound and BRECQ do it for rounding, Li et al. 2021, arXiv 2102.05426; here for all parameters). Where channels were
 * cut, of the original's those count that are left. Parts are taken in order; one that is no better for it, on samples that it was not trained
 * on, stays. What lies between them is kept in memory, or where that is short on disk (`data/store.ts`).
 */

import { type Calibration, samplesAtOnce } from "../calibrate/calibration.ts";
import type { Dataset } from "../data/types.ts";
import { Miss, stopIfAsked } from "../errors.ts";
import { counted } from "../evaluate/numbers.ts";
import { createRunner } from "../evaluate/run.ts";
import type { Model } from "../graph/model.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { meanSquaredError } from "../train/losses/index.ts";
import { ownBatch } from "../train/plan.ts";
import { train } from "../train/train.ts";
import { extractPart, type Part, partsOf } from "./parts.ts";
import { type Samples, samplesOf, wanted } from "./samples.ts";
import { type Edit, replacedSince, type Scope, type Stage, tensorsOf, untrainable, walk } from "./stage.ts";
import { type Survivors, survivorsOf } from "./survivors.ts";

export interface BlockWiseOptions {
  readonly batch: number;
  readonly learningRate: number;
  /** Steps for each part (200); the best weights on the way are taken. */
  readonly steps?: number;
}

const usualSteps = 200;
/** How often a part is looked at on its way. */
const looks = 5;

export function blockWise(options: BlockWiseOptions): Stage {
  return {
    name: "blocks",
    async run(trial, scope) {
      const edits: Edit[] = [];
      const misses: Miss[] = [];
      let trained = 0;
      const parts = partsOf(trial, scope.match.original);
      const survivors = survivorsOf(scope.match);
      const [own, theirs] = [await walk(trial, scope), await walk(scope.match.original, scope)];
      for (const [index, part] of parts.entries()) {
        if (scope.overdue()) break;
        scope.context.progress(index, parts.length);
        const done = await trainPart(part, { own, theirs, survivors }, scope, options);
        if (done instanceof Miss) misses.push(done);
        else if (done.length > 0) trained++;
        if (!(done instanceof Miss)) edits.push(...done);
      }
      return { edits, misses, what: counted(trained, "block") };
    },
  };
}

interface Ways {
  readonly own: Calibration;
  readonly theirs: Calibration;
  readonly survivors: Survivors;
}

/** Trains a part of the model that is walked through, in place; no edits where that made it no better. */
async function trainPart(
  part: Part,
  { own, theirs, survivors }: Ways,
  scope: Scope,
  options: BlockWiseOptions,
): Promise<readonly Edit[] | Miss> {
  const [output, ...others] = part.outputs;
  const target = scope.match.original.graph.value(output?.name ?? "");
  if (output === undefined || others.length > 0) return new Miss("it has several outputs", part.name);
  if (target?.producer === undefined) return new Miss(`the original has no "${output.name}"`, part.name);
  const [first] = part.nodes;
  if (first !== undefined) await own.reach(first);
  await theirs.reach(target.producer);
  const model = extractPart(own.model, part);
  const inputs = model.graph.feeds.map(({ name }) => name);
  if (inputs.some((name) => own.states.includes(name))) return new Miss("it reads a state", part.name);
  const store = scope.storage.store(part.name);
  try {
    const source = { own, inputs, theirs, target: target.name, survivors };
    const batch = ownBatch(model, options.batch) ?? options.batch;
    const samples = await samplesOf(store, source, part.name, batch);
    if (samples instanceof Miss) return samples;
    const edits = await fitPart(part.name, model, output.name, samples, scope, options);
    if (!(edits instanceof Miss)) for (const edit of edits) await edit(own.model);
    return edits;
  } finally {
    await store.release();
  }
}

async function fitPart(
  name: string,
  model: Model,
  output: string,
  { fit, check, batch, batches }: Samples,
  scope: Scope,
  { learningRate, steps = usualSteps }: BlockWiseOptions,
): Promise<readonly Edit[] | Miss> {
  const before = await errorOf(model, check, output, scope);
  if (before === undefined) return new Miss("output shape differs from the original's", name);
  if (before <= nothing) return [];
  const known = tensorsOf(model);
  const epochs = Math.max(1, Math.round(steps / batches));
  try {
    const loss = meanSquaredError({ label: wanted });
    const settings = {
      data: fit,
      epochs,
      batch,
      learningRate,
      loss,
      validation: check,
      every: Math.ceil(steps / looks),
    };
    await train(model, settings, { ...scope.context, log: () => {} });
  } catch (error) {
    return untrainable(error, name);
  }
  // Where no weights on the way were better on `check` than those that it began with, these stay.
  return replacedSince(known, model);
}

/** Noise beside signal that is the rounding of float32. */
const nothing = 1e-10;

/** Σ (answer - wanted)² / Σ wanted² over samples; undefined where they cannot be compared. */
async function errorOf(part: Model, data: Dataset, output: string, { context }: Scope): Promise<number | undefined> {
  const runner = await createRunner(context.engine, part, data.name);
  let [noise, signal] = [0, 0];
  try {
    for await (const batch of data.batches({ size: samplesAtOnce })) {
      stopIfAsked(context.signal, "Recovery was stopped.");
      const { [wanted]: asked, ...rest } = batch;
      const answer = (await runner.run(rest))[output];
      if (answer === undefined || asked === undefined || answer.dims.join() !== asked.dims.join()) return undefined;
      const [found, right] = [toFloat64(answer), toFloat64(asked)];
      found.forEach((one, at) => {
        noise += (one - (right[at] ?? 0)) ** 2;
        signal += (right[at] ?? 0) ** 2;
      });
    }
  } finally {
    await runner.release();
  }
  return noise === 0 ? 0 : noise / signal;
}
