/**
 * Block-wise distillation: trains each part of the changed model to map its own inputs x' to the original part's outputs,
 *
 *     min Σ (part'(x') - part(x))²
 *
 * without labels (as BRECQ does for rounding, Li et al. 2021, arXiv 2102.05426). Parts are trained in order.
 */
import { type Block, findBlocks, hasBatchAxis, infer, joinBlocks } from "#analysis";
import { type BatchStore, type Dataset, indexed, view } from "#batches";
import type { Batch, Dense, Model, Node, Value } from "#ir";
import { counted, extract, Miss, random, sameDims, takeIndices, usedValues } from "#ir";
import type { Context } from "#pass";
import { fitBatchSize } from "../../learn/train/batch-size.ts";
import { meanSquaredError } from "../../learn/train/losses/numbers.ts";
import { train } from "../../learn/train/train.ts";
import { Difference } from "../../runtime/run/difference.ts";
import { runOverSamples } from "../../runtime/run/run-over-samples.ts";
import type { Calibration } from "../calibrate/calibration.ts";
import { zipAsync } from "../calibrate/zip-async.ts";
import { type KeptIndices, keptIndicesOf } from "./kept-channels.ts";
import {
  copyTrainedTensors,
  defaultBatch,
  explainUntrainable,
  type Scope,
  type Stage,
  startCalibration,
} from "./stage.ts";

interface BlockWiseOptions {
  readonly batch: number | undefined;
  readonly learningRate: number;
  /** Steps per part (200); the best weights are used. */
  readonly steps?: number;
}

const defaultSteps = 200;
const evaluationCount = 5;

export function blockWise(options: BlockWiseOptions): Stage {
  return {
    name: "blocks",
    async run(model, scope) {
      const misses: Miss[] = [];
      let changed = 0;
      const parts = partsOf(model, scope.match.original);
      const keptIndices = await keptIndicesOf(scope.match);
      const calibrationPair = {
        changedRun: await startCalibration(model, scope),
        originalRun: await startCalibration(scope.match.original, scope),
        keptIndices,
      };
      for (const [index, part] of parts.entries()) {
        if (scope.overdue()) break;
        const { context } = scope;
        const { steps = defaultSteps } = options;
        const progress: Context["progress"] = (done, total = steps, figures = "", loss) => {
          const text = [`block ${index + 1} of ${parts.length}`, figures].filter((part) => part !== "").join(", ");
          context.progress(steps * index + Math.round((steps * done) / total), steps * parts.length, text, loss);
        };
        progress(0);
        const result = await trainPart(part, calibrationPair, { ...scope, context: { ...context, progress } }, options);
        if (result instanceof Miss) misses.push(result);
        else if (result > 0) changed++;
      }
      return { changed, misses, what: `${counted(changed, "block")} trained` };
    },
  };
}

/** Trains a part in place; returns the number of changed tensors, 0 without an improvement. */
async function trainPart(
  part: BlockPart,
  { changedRun, originalRun, keptIndices }: Pick<Source, "changedRun" | "originalRun" | "keptIndices">,
  scope: Scope,
  options: BlockWiseOptions,
): Promise<number | Miss> {
  const [output] = part.outputs;
  const target = scope.match.original.graph.value(output?.name ?? "");
  if (output === undefined || part.outputs.length > 1) return new Miss("it has several outputs", part.name);
  if (target?.producer === undefined) return new Miss(`the original has no "${output.name}"`, part.name);
  const [first] = part.nodes;
  if (first !== undefined) await changedRun.reach(first);
  await originalRun.reach(target.producer);
  const model = extract(changedRun.model, part.outputs, part.inputs);
  if (!hasBatchAxis(model)) return new Miss(`"${output.name}" has no batch axis`, part.name);
  const inputs = model.graph.feeds.map(({ name }) => name);
  if (inputs.some((name) => changedRun.states.includes(name))) return new Miss("it reads a state", part.name);
  const store = scope.storage.store(part.name);
  try {
    const source = { changedRun, inputs, originalRun, target: target.name, keptIndices };
    const batch = options.batch ?? fitBatchSize(model, defaultBatch).size;
    const samples = await samplesOf(store, source, part.name, batch);
    if (samples instanceof Miss) return samples;
    const miss = await fitPart(part.name, model, output.name, samples, scope, options);
    return miss ?? copyTrainedTensors(changedRun.model, model);
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
  { learningRate, steps = defaultSteps }: BlockWiseOptions,
): Promise<Miss | undefined> {
  const before = await decibelsOf(model, check, output, scope);
  if (before === undefined) return new Miss("output shape differs from the original's", name);
  if (before >= floatPrecision) return undefined;
  const epochs = Math.max(1, Math.round(steps / batches));
  try {
    const loss = meanSquaredError({ label: targetColumn });
    const settings = {
      data: fit,
      epochs,
      batch,
      learningRate,
      loss,
      validation: check,
      every: Math.ceil(steps / evaluationCount),
    };
    // If no evaluation on `check` is better, `train` keeps the initial weights.
    await train(model, settings, { ...scope.context, log: () => {} });
    return undefined;
  } catch (error) {
    return explainUntrainable(error, name);
  }
}

/** Signal-to-noise ratio in decibels at which only float32 rounding is left. */
const floatPrecision = 100;

/** Returns the signal-to-noise ratio of a part's outputs in decibels; undefined if they cannot be compared. */
async function decibelsOf(part: Model, data: Dataset, output: string, { context }: Scope): Promise<number | undefined> {
  const error = new Difference();
  const { engine, signal } = context;
  await runOverSamples(engine, [{ model: part, observed: [output] }], data, { signal }, ([answers = {}], rows) => {
    const [expected, answer] = [rows[targetColumn], answers[output]];
    if (expected !== undefined && answer !== undefined) error.addTensors(expected, answer);
  });
  return error.mismatch === undefined ? error.signalToNoise : undefined;
}

// Parts are consecutive blocks (`core/analysis/blocks.ts`) with enough layers to compensate for each other. A part ends at a value of the
// same name in the original.

/** Nodes that depend on parameters, in order; `inputs` are values of earlier parts, and fed data. */
type BlockPart = Pick<Block, "name" | "nodes" | "outputs" | "inputs">;

/** Minimum number of layers in a part, with which a pruned ResNet-20 recovers best. */
const minLayers = 2;

function partsOf(model: Model, original: Model): readonly BlockPart[] {
  const all = findBlocks(model, infer(model)).blocks;
  const blockNodes = new Set(all.flatMap(({ nodes }) => nodes));
  const runs: Block[][] = [[]];
  for (const block of all) {
    const run = runs.at(-1) ?? [];
    if (block.layers.length > 0 && layersOf(run) >= minLayers && hasCounterpart(joinBlocks(model, run, all), original))
      runs.push([block]);
    else run.push(block);
  }
  const last = runs.at(-1) ?? [];
  const partBlocks =
    runs.length > 1 && layersOf(last) < minLayers ? [...runs.slice(0, -2), runs.slice(-2).flat()] : runs;
  return partBlocks
    .filter((run) => layersOf(run) > 0)
    .map((run) => {
      const { name, nodes, outputs, inputs, sideInputs: sides } = joinBlocks(model, run, all);
      return { name, nodes, outputs, inputs: [...inputs, ...sides.filter((side) => dependsOn(side, blockNodes))] };
    });
}

function layersOf(run: readonly Block[]): number {
  return run.reduce((sum, { layers }) => sum + layers.length, 0);
}

function hasCounterpart({ outputs }: { readonly outputs: readonly Value[] }, original: Model): boolean {
  const [output] = outputs;
  return output !== undefined && outputs.length === 1 && original.graph.value(output.name)?.producer !== undefined;
}

/** Returns whether a value is computed from nodes of blocks, if only from sizes. Stored as an input of a part, it spares running them. */
function dependsOn(value: Value, nodesOfBlocks: ReadonlySet<Node>): boolean {
  const visited = new Set<Node>();
  const pending = [value.producer];
  for (let node = pending.pop(); node !== undefined || pending.length > 0; node = pending.pop()) {
    if (node === undefined || visited.has(node)) continue;
    if (nodesOfBlocks.has(node)) return true;
    visited.add(node);
    for (const used of usedValues(node)) pending.push(used.producer);
  }
  return false;
}

/** Name of the column with the original's outputs. */
const targetColumn = "recover.wanted";

interface Samples {
  readonly fit: Dataset;
  readonly check: Dataset;
  /** Samples per batch; 1 if batches have different sizes. */
  readonly batch: number;
  readonly batches: number;
}

/** Every fourth sample or batch is held out. */
const checkEvery = 4;
const isHeldOut = (index: number): boolean => index % checkEvery === checkEvery - 1;

interface Source {
  readonly changedRun: Calibration;
  readonly inputs: readonly string[];
  readonly originalRun: Calibration;
  readonly target: string;
  readonly keptIndices: KeptIndices;
}

/** Stores the samples of a part; returns a Miss if a value has no batch axis. */
async function samplesOf(
  store: BatchStore,
  { changedRun, inputs, originalRun, target, keptIndices }: Source,
  name: string,
  batch: number,
): Promise<Samples | Miss> {
  const sizes = new Map<string, readonly number[]>();
  let isUniform = true;
  let count = 0;
  for await (const [inputValues, { [target]: targetValues }] of zipAsync(
    changedRun.values(inputs),
    originalRun.values([target]),
  )) {
    if (targetValues === undefined) return new Miss("the original has no output there", name);
    const row: Batch = { ...inputValues, [targetColumn]: selectKeptIndices(targetValues, keptIndices.get(target)) };
    for (const [column, { dims }] of Object.entries(row)) {
      if (dims[0] !== targetValues.dims[0]) return new Miss(`"${column}" has no batch axis`, name);
      const sampleDims = dims.slice(1);
      isUniform &&= sameDims(sampleDims, sizes.get(column) ?? sampleDims);
      sizes.set(column, sampleDims);
    }
    await store.add(row);
    count++;
  }
  const all = Array.from({ length: isUniform ? store.count : count }, (_, index) => index);
  const [fit, check] = [all.filter((index) => !isHeldOut(index)), all.filter(isHeldOut)];
  if (fit.length === 0 || check.length === 0) return new Miss("too few samples are left for validation", name);
  if (!isUniform)
    return { fit: selectBatches(store, fit), check: selectBatches(store, check), batch: 1, batches: fit.length };
  const data = indexed(name, store.count, (positions) => store.gather(positions));
  const part = (positions: readonly number[]): Dataset => view(data, name, Uint32Array.from(positions));
  const size = Math.min(batch, fit.length);
  return { fit: part(fit), check: part(check), batch: size, batches: Math.floor(fit.length / size) };
}

function selectKeptIndices(dense: Dense, axes: ReadonlyMap<number, readonly number[]> | undefined): Dense {
  let result = dense;
  for (const [axis, indices] of axes ?? [])
    if (indices.length !== result.dims[axis]) result = takeIndices(result, axis, indices);
  return result;
}

/** Returns the stored batches at `positions` as a data set. With `shuffle`, their order is drawn from this seed. */
function selectBatches(store: BatchStore, positions: readonly number[]): Dataset {
  return {
    name: store.name,
    count: undefined,
    async *batches({ shuffle }) {
      const order =
        shuffle === undefined ? positions.keys() : random(shuffle, "shuffle").permutation(positions.length).values();
      for (const index of order) yield await store.batch(positions[index] ?? 0);
    },
  };
}
