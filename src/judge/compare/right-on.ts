/** Compares a result's outputs on its target runtime with the original's native ones; only the error that the target adds counts. */

import type { Engine } from "../../core/engine/index.ts";
import { asPithError, Miss, stripPeriod } from "../../core/errors.ts";
import { allValues } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { counted, figure } from "../../core/numbers.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { compareLayersOn, fewDecibels, firstToBlame } from "../../runtime/noise/layers.ts";
import { type PairedRuns, pairedRuns, runResult } from "../../runtime/run/paired-runs.ts";
import { pairedSamples } from "../../runtime/run/paired-samples.ts";
import type { RunTarget, TargetName } from "../../runtime/run/run-target.ts";
import { compareRuns, type Likeness } from "./compare-function.ts";

export interface OnTarget {
  readonly target: TargetName;
  /** "WebGPU in Chrome/156.0.0.0 (google swiftshader)" */
  readonly where: string;
  /** undefined: not determined. */
  readonly right: boolean | undefined;
  readonly found: string;
  readonly likeness?: Likeness;
  /** The result is right but less accurate than natively, which is a warning. */
  readonly isWeak?: boolean;
  readonly layer?: string;
}

export interface RightOnOptions {
  /** Default: random inputs. */
  readonly samples?: Dataset | undefined;
  /** The only output to compare; default: all. */
  readonly output?: string | undefined;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
}

const inputsCompared = 8;
/** Decibels that a result may lose on a target. */
const smallLoss = 1;
/** Relative error above which outputs that the inputs do not move show nothing. */
const farApart = 0.1;

interface Native {
  readonly runs: PairedRuns;
  readonly one: "random input" | "sample";
  readonly likeness: Likeness | string;
}

/**
 * Checks a result on targets.
 * @param engine the native one, for the original.
 * @throws PithError E_DATA if the samples do not fit, E_STOPPED on the signal.
 */
export async function rightOn(
  engine: Engine,
  targets: readonly RunTarget[],
  original: Model,
  result: Model,
  options: RightOnOptions,
): Promise<readonly OnTarget[]> {
  const native = await runNatively(engine, original, result, options);
  const found: OnTarget[] = [];
  for (const target of targets) {
    const { name, where } = target;
    const about = { target: name, where };
    const open = (text: string): OnTarget => ({ ...about, right: undefined, found: `not compared: ${text}` });
    if (native instanceof Miss) {
      found.push(open(native.reason));
      continue;
    }
    const one = { ...about, ...(await judgedOn(engine, target, original, native, options)) };
    const lacking = one.right === false ? lackingFor(target, result) : undefined;
    found.push(lacking === undefined ? one : open(lacking));
  }
  return found;
}

function lackingFor({ lacks }: RunTarget, result: Model): string | undefined {
  if (lacks === undefined) return undefined;
  for (const { type } of allValues(result.graph)) if (type?.type === lacks.type) return lacks.why;
  return undefined;
}

async function runNatively(
  engine: Engine,
  original: Model,
  result: Model,
  { samples, output, seed, signal }: RightOnOptions,
): Promise<Native | Miss> {
  const one = samples === undefined ? "random input" : "sample";
  const options = { samples: inputsCompared, batch: inputsCompared, seed, signal };
  const runs =
    samples === undefined
      ? await pairedRuns(engine, original, result, { sizes: "one", ...options })
      : await pairedSamples(engine, original, result, samples, options);
  if (runs instanceof Miss) return runs;
  return { runs, one, likeness: likenessOf(one, runs, output) };
}

function likenessOf(one: Native["one"], runs: PairedRuns, output: string | undefined): Likeness | string {
  const { worst } = compareRuns(one === "sample" ? "the samples" : "random inputs", runs, { output });
  return worst ?? "the model has no output to compare";
}

async function judgedOn(
  engine: Engine,
  target: RunTarget,
  original: Model,
  native: Native,
  { output, signal }: RightOnOptions,
): Promise<Omit<OnTarget, "target" | "where">> {
  let { pairs } = native.runs;
  if (target.name !== "node") {
    try {
      pairs = await runResult(target.engine, native.runs.result, pairs, { signal });
    } catch (error) {
      return { right: false, found: stripPeriod(asPithError(error).message) };
    }
  }
  const likeness = likenessOf(native.one, { ...native.runs, pairs }, output);
  if (typeof likeness === "string") return { right: undefined, found: `not compared: ${likeness}` };
  const { signalToNoise, relativeError, lost, unmoved, samples } = likeness;
  const found = `signal to noise ${figure("dB", signalToNoise)} on ${counted(samples, native.one)}`;
  const isWorse = target.name === "node" || !(levelOf(native.likeness) - levelOf(likeness) <= smallLoss);
  if (isWorse && lost === undefined && unmoved !== undefined && relativeError > farApart)
    return { right: undefined, found: "the inputs do not move the original's output", likeness };
  const isWeak = isWorse && unmoved === undefined && signalToNoise < fewDecibels;
  if (lost === undefined || !isWorse) return { right: true, found, likeness, ...(isWeak ? { isWeak } : {}) };
  const layer = await blamed(engine, target, original, native, signal);
  return { right: false, found: lost, likeness, ...(layer === undefined ? {} : { layer }) };
}

/** Signal to noise in decibels; for outputs that the inputs do not move, relative to their power. */
function levelOf(likeness: Likeness | string): number {
  if (typeof likeness === "string") return Number.NaN;
  return likeness.unmoved === undefined ? likeness.signalToNoise : -20 * Math.log10(likeness.relativeError);
}

/** Finds the first layer that differs from the native run; on the native runtime, from the original. */
async function blamed(
  engine: Engine,
  target: RunTarget,
  original: Model,
  { runs: { result, pairs } }: Native,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const reference = { model: target.name === "node" ? original : result, engine };
  const there = { model: result, engine: target.name === "node" ? engine : target.engine };
  const feeds = pairs.map((pair) => pair.feeds);
  try {
    const { layers } = await compareLayersOn(reference, there, feeds, { optimize: true, signal });
    return firstToBlame(layers)?.layer;
  } catch (error) {
    asPithError(error);
    return undefined;
  }
}
