/** Job of the sweep: runs an original and its result in ONNX Runtime, directly from their paths, on the same random inputs. */
import * as ort from "onnxruntime-node";
import { createEngine } from "../../src/core/engine/index.ts";
import { PithError } from "../../src/core/errors.ts";
import { open } from "../../src/core/onnx/index.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { decibels } from "../../src/runtime/run/difference.ts";
import { writeNpz } from "../lib/npz.ts";
import { runnable, samplesLike } from "../lib/random-inputs.ts";

export interface CheckInput {
  readonly original: string;
  /** Path of the result. */
  readonly result?: string;
  /** Path to write random samples to. */
  readonly samples?: string;
  readonly seed: number;
}

export interface Checked {
  /** Reason why the original does not run. */
  readonly notRun?: string;
  /** Reason why no samples were written. */
  readonly noSamples?: string;
  /** Fault of the result that does not depend on its values. */
  readonly fault?: string;
  /** Signal-to-noise ratio of the worst output in dB; undefined if all are bit-identical. */
  readonly decibels?: number;
}

const levels = ["disabled", "all"] as const;

export default async function checkJob({ original, result, samples, seed }: CheckInput): Promise<Checked> {
  const inputs = await feedsFor(original, seed);
  if (typeof inputs === "string") return { notRun: inputs };
  const { feeds, noSamples } = inputs;
  if (samples !== undefined && noSamples === undefined) await writeNpz(samples, inputs.samples ?? {});
  if (result === undefined) return noSamples === undefined ? {} : { noSamples };
  let worst: number | undefined;
  for (const graphOptimizationLevel of levels) {
    const expected = await run(original, feeds, graphOptimizationLevel);
    if (typeof expected === "string") return { notRun: expected };
    const got = await run(result, feeds, graphOptimizationLevel);
    if (typeof got === "string") return { fault: `the file ${got}` };
    for (const name of Object.keys(expected[0] ?? {})) {
      let [power, noise] = [0, 0];
      for (const [index, outputs] of expected.entries()) {
        const [before, after] = [outputs[name], got[index]?.[name]];
        if (before === undefined || after === undefined) return { fault: `the output "${name}" is missing` };
        if (before.dims.join() !== after.dims.join())
          return { fault: `output "${name}" is ${after.dims.join("×")} instead of ${before.dims.join("×")}` };
        const [batchPower, batchNoise] = apart(numbers(before), numbers(after));
        power += batchPower;
        noise += batchNoise;
      }
      if (Number.isNaN(noise)) return { fault: `output "${name}" is not finite` };
      if (noise > 0) worst = Math.min(worst ?? Number.POSITIVE_INFINITY, decibels(power, noise));
    }
  }
  return worst === undefined ? {} : { decibels: worst };
}

/** A single sample of a model with fixed batch size 1 says little about the signal-to-noise ratio. */
const batchCount = 8;

type Feeds = Record<string, ort.Tensor>;

interface Inputs {
  readonly feeds: readonly Feeds[];
  readonly samples?: Batch;
  readonly noSamples?: string;
}

async function feedsFor(path: string, seed: number): Promise<Inputs | string> {
  const model = await open(path);
  try {
    const session = await createEngine().load(model);
    const batches: Batch[] = [];
    try {
      for (let index = 0; index < batchCount; index++) {
        const batch = await runnable(session, model, seed + index);
        if (typeof batch === "string") return batch;
        batches.push(batch);
      }
    } finally {
      await session.release();
    }
    const samples = batches[0] && samplesLike(model, batches[0], seed);
    const feeds = batches.map(toFeeds);
    return { feeds, ...(samples === undefined ? { noSamples: "its inputs share no axis of samples" } : { samples }) };
  } catch (error) {
    if (error instanceof PithError) return error.message;
    throw error;
  }
}

const toFeeds = (batch: Batch): Feeds =>
  Object.fromEntries(
    Object.entries(batch).map(([name, { type, dims, data }]) => [
      name,
      new ort.Tensor(type as "float32", data as Float32Array, dims),
    ]),
  );

/** Returns the outputs of each batch, or why the model does not run. */
async function run(
  path: string,
  batches: readonly Feeds[],
  graphOptimizationLevel: (typeof levels)[number],
): Promise<readonly Feeds[] | string> {
  try {
    const session = await ort.InferenceSession.create(path, { graphOptimizationLevel, logSeverityLevel: 4 });
    try {
      const results: Feeds[] = [];
      for (const feeds of batches) {
        const ownFeeds = Object.entries(feeds).filter(([name]) => session.inputNames.includes(name));
        const outputs = await session.run(Object.fromEntries(ownFeeds));
        results.push(Object.fromEntries(Object.entries(outputs).filter(([, { type }]) => type !== "string")));
      }
      return results;
    } finally {
      await session.release();
    }
  } catch (error) {
    return `does not run: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function numbers({ type, data }: ort.Tensor): readonly number[] {
  return type === "string" ? [] : Array.from(data as ArrayLike<number | bigint>, Number);
}

/** Returns the power of the finite numbers and of their differences. The noise is NaN if one side is not finite and the other differs. */
function apart(before: readonly number[], after: readonly number[]): readonly [power: number, noise: number] {
  let [power, noise] = [0, 0];
  for (const [index, x] of before.entries()) {
    const y = after[index] ?? Number.NaN;
    if (Object.is(x, y)) continue;
    noise += Number.isFinite(x) && Number.isFinite(y) ? (x - y) ** 2 : Number.NaN;
  }
  for (const x of before) if (Number.isFinite(x)) power += x * x;
  return [power, noise];
}
