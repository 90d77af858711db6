/**
 * Block-wise distillation: each block of the changed model is trained by itself to make of its own inputs, which the blocks before it have
 * changed, what the original's block makes of the original's,
 *
 *     min Σ (block'(x') - block(x))²
 *
 * without labels (as AdaRound and BRECQ do it for rounding, Li et al. 2021, arXiv 2102.05426; here for all parameters). Blocks are those that
 * `analysis/blocks.ts` finds; they are taken in order. A block that is no better for it, on samples that it was not trained on, stays.
 * What lies between blocks is kept in memory, or where that is short on disk (`data/store.ts`).
 */
import { type Block, blocks, extractBlock } from "../analysis/blocks.ts";
import { infer } from "../analysis/infer.ts";
import { indexed, view } from "../data/indexed.ts";
import type { BatchStore } from "../data/store.ts";
import type { IndexedDataset } from "../data/types.ts";
import { Miss, PithError } from "../errors.ts";
import { createRunner } from "../evaluate/run.ts";
import type { Model } from "../graph/model.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { sameDims } from "../tensor/dims.ts";
import type { Batch } from "../tensor/types.ts";
import { meanSquaredError } from "../train/losses/index.ts";
import { train } from "../train/train.ts";
import { counted, type Edit, type Scope, type Stage, tensorsOf, untrainable, walk } from "./stage.ts";
import type { Walk } from "./walk.ts";

export interface BlockWiseOptions {
  readonly batch: number;
  readonly learningRate: number;
}

/** The column with what the original's block answers. */
const wanted = "recover.wanted";
/** Steps for each block. */
const steps = 200;
/** Every fourth sample is left out of training, to judge a block by. */
const checkEvery = 4;

export function blockWise(options: BlockWiseOptions): Stage {
  return {
    name: "blocks",
    async run(trial, scope) {
      const edits: Edit[] = [];
      const misses: Miss[] = [];
      let trained = 0;
      const found = blocks(trial, infer(trial)).blocks.filter(({ layers }) => layers.length > 0);
      const [own, theirs] = [await walk(trial, scope), await walk(scope.match.original, scope)];
      for (const [index, block] of found.entries()) {
        if (scope.overdue()) break;
        scope.context.progress(index, found.length);
        const done = await trainBlock(block, own, theirs, scope, options);
        if (done instanceof Miss) misses.push(done);
        else if (done.length > 0) trained++;
        if (!(done instanceof Miss)) edits.push(...done);
      }
      return { edits, misses, what: counted(trained, "block") };
    },
  };
}

/** Trains a block of the model that is walked through, in place; none where that made it no better. */
async function trainBlock(
  block: Block,
  own: Walk,
  theirs: Walk,
  scope: Scope,
  options: BlockWiseOptions,
): Promise<readonly Edit[] | Miss> {
  const [output, ...others] = block.outputs;
  const target = scope.match.original.graph.value(output?.name ?? "");
  if (output === undefined || others.length > 0) return new Miss("it answers in several values", block.name);
  if (target?.producer === undefined) return new Miss(`the original has no "${output.name}"`, block.name);
  const [first] = block.nodes;
  if (first !== undefined) await own.reach(first);
  await theirs.reach(target.producer);
  const inputs = [...block.inputs, ...block.sides].map(({ name }) => name);
  const store = scope.storage.store("a block");
  try {
    const missing = await fillSamples(store, own, inputs, theirs, target.name);
    if (missing !== undefined) return new Miss(missing, block.name);
    const data = indexed(store.name, store.count, (positions) => store.gather(positions));
    return await fitBlock(block, output.name, own.model, data, scope, options);
  } finally {
    await store.release();
  }
}

/** Trains a block on the samples that were put together for it. */
async function fitBlock(
  block: Block,
  output: string,
  model: Model,
  data: IndexedDataset,
  scope: Scope,
  { batch, learningRate }: BlockWiseOptions,
): Promise<readonly Edit[] | Miss> {
  const part = extractBlock(model, block);
  const places = Array.from({ length: data.count }, (_, at) => at);
  const pick = (isCheck: boolean): IndexedDataset =>
    view(data, block.name, Uint32Array.from(places.filter((at) => (at % checkEvery === checkEvery - 1) === isCheck)));
  const [fit, check] = [pick(false), pick(true)];
  const before = await errorOf(part, check, output, scope);
  if (before === undefined) return new Miss("its answers have other dimensions than the original's", block.name);
  const known = tensorsOf(part);
  const size = Math.min(batch, fit.count);
  const epochs = Math.max(1, Math.round(steps / Math.floor(fit.count / size)));
  try {
    const loss = meanSquaredError({ label: wanted });
    await train(part, { data: fit, epochs, batch: size, learningRate, loss }, { ...scope.context, log: () => {} });
  } catch (error) {
    return untrainable(error, block.name);
  }
  const after = await errorOf(part, check, output, scope);
  if (after === undefined || !(after < before)) return [];
  const edits = [...tensorsOf(part)].flatMap(([name, tensor]): Edit[] =>
    known.get(name) === tensor
      ? []
      : [
          async (model) => {
            const value = model.graph.value(name);
            if (value?.tensor !== undefined) value.tensor = tensor;
          },
        ],
  );
  for (const edit of edits) await edit(model);
  return edits;
}

/** Puts together what a block reads, and what it should answer, for all samples; or says why it cannot. */
async function fillSamples(
  store: BatchStore,
  own: Walk,
  inputs: readonly string[],
  theirs: Walk,
  target: string,
): Promise<string | undefined> {
  const answers = theirs.values([target]);
  let first: Batch | undefined;
  try {
    for await (const batch of own.values(inputs)) {
      const answer = await answers.next();
      const dense = answer.done === true ? undefined : answer.value[target];
      if (dense === undefined) return "the original does not answer";
      const row = { ...Object.fromEntries(inputs.map((name) => [name, batch[name] ?? dense])), [wanted]: dense };
      first ??= row;
      for (const [name, { dims }] of Object.entries(row)) {
        if (dims[0] !== dense.dims[0]) return "what it reads, or what it answers, is not counted by samples";
        const sizes = first[name]?.dims.slice(1) ?? [];
        if (!sameDims(dims.slice(1), sizes)) return "its values are of other sizes from batch to batch";
      }
      await store.add(row);
    }
  } finally {
    await answers.return(undefined);
  }
  return undefined;
}

/** Σ (answer - wanted)² over samples; undefined where they cannot be compared. */
async function errorOf(
  part: Model,
  data: IndexedDataset,
  output: string,
  { context }: Scope,
): Promise<number | undefined> {
  const runner = await createRunner(context.engine, part, data.name);
  let sum = 0;
  try {
    for await (const batch of data.batches({ size: 16 })) {
      if (context.signal.aborted) throw new PithError("E_STOPPED", "Recovery was stopped.");
      const { [wanted]: asked, ...rest } = batch;
      const answer = (await runner.run(rest))[output];
      if (answer === undefined || asked === undefined || answer.dims.join() !== asked.dims.join()) return undefined;
      const [found, right] = [toFloat64(answer), toFloat64(asked)];
      found.forEach((one, at) => {
        sum += (one - (right[at] ?? 0)) ** 2;
      });
    }
  } finally {
    await runner.release();
  }
  return sum;
}
