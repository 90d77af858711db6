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
  if (samples !== undefined && noSamples === undefined) writeNpz(samples, inputs.samples ?? {});
  if (result === undefined) return noSamples === undefined ? {} : { noSamples };
  let worst: number | undefined;
  for (const graphOptimizationLevel of levels) {
    const expected = await run(original, feeds, graphOptimizationLevel);
    if (typeof expected === "string") return { notRun: expected };
    const got = await run(result, feeds, graphOptimizationLevel);
    if (typeof got === "string") return { fault: `the file ${got}` };
    for (const [name, before] of Object.entries(expected)) {
      const after = got[name];
      if (after === undefined) return { fault: `there is no output "${name}"` };
      if (before.dims.join() !== after.dims.join())
        return { fault: `output "${name}" is ${after.dims.join("×")} instead of ${before.dims.join("×")}` };
      const [power, noise] = apart(numbers(before), numbers(after));
      if (Number.isNaN(noise)) return { fault: `output "${name}" is not finite` };
      if (noise > 0) worst = Math.min(worst ?? Number.POSITIVE_INFINITY, decibels(power, noise));
    }
  }
  return worst === undefined ? {} : { decibels: worst };
}

interface Feeds {
  readonly feeds: Record<string, ort.Tensor>;
  readonly samples?: Batch;
  readonly noSamples?: string;
}

async function feedsFor(path: string, seed: number): Promise<Feeds | string> {
  const model = await open(path);
  try {
    const session = await createEngine().load(model);
    const batch = await runnable(session, model, seed).finally(() => session.release());
    if (typeof batch === "string") return batch;
    const samples = samplesLike(model, batch, seed);
    const feeds = Object.fromEntries(
      Object.entries(batch).map(([name, { type, dims, data }]) => [
        name,
        new ort.Tensor(type as "float32", data as Float32Array, dims),
      ]),
    );
    return { feeds, ...(samples === undefined ? { noSamples: "its inputs share no axis of samples" } : { samples }) };
  } catch (error) {
    if (error instanceof PithError) return error.message;
    throw error;
  }
}

async function run(
  path: string,
  feeds: Record<string, ort.Tensor>,
  graphOptimizationLevel: (typeof levels)[number],
): Promise<Record<string, ort.Tensor> | string> {
  try {
    const session = await ort.InferenceSession.create(path, { graphOptimizationLevel, logSeverityLevel: 4 });
    try {
      const ownFeeds = Object.entries(feeds).filter(([name]) => session.inputNames.includes(name));
      const outputs = await session.run(Object.fromEntries(ownFeeds));
      return Object.fromEntries(Object.entries(outputs).filter(([, { type }]) => type !== "string"));
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
