/** Runs the original on random inputs until enough samples can be compared. Unknown sizes are tried from the likeliest. */
import { hasBatchAxis } from "#analysis";
import { gatherRows, mapColumns, range, type State, sliceRows } from "#batches";
import type { Batch, Dense, Model } from "#ir";
import { asPithError, isFloat, isSymbolic, Miss, random, stripPeriod, throwIfAborted, toNumbers } from "#ir";
import type { Session } from "../../core/engine/index.ts";
import type { RandomInputs, Shapes } from "../run/random-inputs.ts";
import { runCachedSteps } from "./cached-steps.ts";
import { affordableSamples, candidateSizes, minSamples, type SizeOptions } from "./candidate-sizes.ts";

export interface ModelRun {
  readonly feeds: Batch;
  /** Size of the first axis of inputs and outputs; 1 if no axis counts samples. */
  readonly samples: number;
  readonly expected: Batch;
  /** Cache of a language model: after the first run of its sequences, it is an output of the run before. */
  readonly cache?: { readonly states: readonly State[]; readonly isFirst: boolean };
}

export interface RandomRunOptions extends SizeOptions {
  /** Values for inputs of the original that the other model no longer has. */
  readonly set?: Batch;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

interface RandomRuns {
  readonly runs: readonly ModelRun[];
  /** Number of samples that were left out because outputs of the original are not finite. */
  readonly leftOut: number;
}

/** @param names outputs to compare. @returns a Miss if too few inputs suit the model. @throws PithError E_STOPPED on the signal. */
export async function runOriginal(
  session: Session,
  model: Model,
  names: readonly string[],
  inputs: RandomInputs,
  options: RandomRunOptions,
): Promise<RandomRuns | Miss> {
  const { sizes, set = {}, seed, signal, progress, known } = options;
  const isBatch = hasBatchAxis(model);
  const finiteRuns: ModelRun[] = [];
  const otherRuns: ModelRun[] = [];
  let [draws, leftOut, targetRuns, reason] = [0, 0, minSamples, "the model has no input"];
  const run = async (feeds: Batch, samples: number): Promise<ModelRun> => ({
    feeds,
    samples,
    expected: await session.run(feeds, names),
  });
  /** Draws inputs and runs on them. Samples whose outputs are not finite are replaced by copies of the others. */
  const attempt = async (shapes: Shapes): Promise<ModelRun | undefined> => {
    throwIfAborted(signal, "The comparison was stopped.");
    try {
      const feeds = { ...inputs.draw(shapes, random(seed, "random inputs", draws++)), ...set };
      const samples = isBatch ? (Object.values(feeds)[0]?.dims[0] ?? 1) : 1;
      let drawnRun = await run(feeds, samples);
      const finite = sizes === "one" ? finiteSamples(drawnRun) : [...range(samples)];
      if (finite.length > 0 && finite.length < samples) {
        const positions = range(samples).map((index) => finite[index % finite.length] ?? 0);
        drawnRun = await run(gatherSamples(drawnRun, positions), samples);
      }
      leftOut += samples - finite.length;
      (finite.length === 0 && samples > 0 ? otherRuns : finiteRuns).push(drawnRun);
      progress?.(finiteRuns.length, 2 * Math.max(targetRuns, finiteRuns.length));
      return drawnRun;
    } catch (error) {
      reason = stripPeriod(asPithError(error).message);
      return undefined;
    }
  };
  const acceptedShapes: Shapes[] = [];
  for (const { shapes, work, obstacle, isUsual } of candidateSizes(model, inputs, options)) {
    if (!isUsual && acceptedShapes.length > 0) break;
    if (obstacle !== undefined) {
      reason = obstacle;
      continue;
    }
    const acceptedRun = await attempt(shapes);
    if (acceptedRun === undefined) continue;
    acceptedShapes.push(shapes);
    const samples = countAll([acceptedRun]);
    if (sizes === "one") targetRuns = Math.ceil(affordableSamples(work / samples, options) / samples);
    if (sizes === "one" || finiteRuns.length === targetRuns) break;
  }
  if (acceptedShapes.length === 0) {
    const areFree = model.graph.feeds.some(({ type }) => type?.dims?.some(isSymbolic));
    const advice = known !== undefined && areFree ? "; `dim` sets the sizes of free dimensions" : "";
    return new Miss(`the original ran on none of the random inputs: ${reason}${advice}`);
  }
  // Draws can be rejected, because a graph does not state all requirements of its inputs.
  for (let tries = 0; finiteRuns.length < targetRuns && tries < 2 * targetRuns; tries++) {
    if (finiteRuns.length === 0 && otherRuns.length >= targetRuns) break;
    await attempt(acceptedShapes[tries % acceptedShapes.length] ?? new Map());
  }
  // If too few samples are finite, the values that are not finite are compared by themselves.
  const isShort = countAll(finiteRuns) < minSamples && finiteRuns.length < targetRuns;
  const runs = isShort ? [...finiteRuns, ...otherRuns] : finiteRuns;
  if (countAll(runs) < minSamples && runs.length < targetRuns)
    return new Miss(
      `the original ran on ${runs.length} of ${draws} random inputs, too few for a comparison: ${reason}`,
    );
  return {
    runs: sizes === "one" ? await withCachedSteps(session, model, names, runs) : runs,
    leftOut: isShort ? 0 : leftOut,
  };
}

async function withCachedSteps(
  session: Session,
  model: Model,
  names: readonly string[],
  runs: readonly ModelRun[],
): Promise<readonly ModelRun[]> {
  const all: ModelRun[] = [];
  for (const run of runs) {
    const steps = await runCachedSteps(model, run.feeds, names, (...step) => session.run(...step));
    all.push(...(steps.length === 0 ? [run] : steps.map((step) => ({ ...step, samples: run.samples }))));
  }
  return all;
}

const countAll = (runs: readonly ModelRun[]): number =>
  runs.reduce((sum, run) => sum + countSamples(Object.values(run.expected)[0], run), 0);

export function countSamples(output: Dense | undefined, { samples }: Pick<ModelRun, "samples">): number {
  return samples > 0 && output?.dims[0] === samples ? samples : 1;
}

function finiteSamples({ expected, samples }: ModelRun): readonly number[] {
  const outputs = Object.values(expected).filter(({ type }) => isFloat(type));
  const rowOf = (dense: Dense, index: number): Dense =>
    dense.dims[0] === samples ? sliceRows(dense, index, index + 1) : dense;
  return [...range(samples)].filter((index) =>
    outputs.every((dense) => toNumbers(rowOf(dense, index)).every(Number.isFinite)),
  );
}

export function gatherSamples({ feeds, samples }: Pick<ModelRun, "feeds" | "samples">, positions: Uint32Array): Batch {
  return mapColumns(feeds, (dense) => (dense.dims[0] === samples ? gatherRows(dense, positions) : dense));
}
