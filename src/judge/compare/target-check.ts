/** Checks a result on its target runtimes: is its error relative to the original larger there than on the native runtime? */
import type { Dataset } from "#batches";
import { allValues, asPithError, counted, figureText, Miss, type Model, stripPeriod } from "#ir";
import type { Engine } from "../../core/engine/index.ts";
import { compareLayers, minDecibels } from "../../runtime/noise/layer-differences.ts";
import { completeRuns, type PairedRuns, runResult } from "../../runtime/paired/paired-runs.ts";
import type { RunTarget, TargetName } from "../../runtime/run/run-target.ts";
import { compareRuns, type Likeness, runPair } from "./compare-function.ts";

export interface TargetCheck {
  readonly target: TargetName;
  /** The place of the run: "Node", or "WebGPU in Chrome/156.0.0.0 (google swiftshader), onnxruntime-web 1.30". */
  readonly where: string;
  /** Whether the outputs are right; undefined if that could not be determined. */
  readonly right: boolean | undefined;
  readonly found: string;
  readonly likeness?: Likeness;
  /** Whether the result is right, but inaccurate on the native runtime or more so than there, which causes a warning. */
  readonly isWeak?: boolean;
  readonly layer?: string;
}

export interface TargetCheckOptions {
  readonly samples?: Dataset | undefined;
  readonly output?: string | undefined;
  readonly seed: number;
  readonly signal?: AbortSignal | undefined;
}

const inputCount = 8;
/** Maximum decrease of the signal-to-noise ratio, in decibels, from the native runtime to a target. */
const maxTargetLoss = 1;
/** Maximum relative error at which an output that does not depend on the inputs counts as right. */
const maxUnmovedError = 0.1;

interface NativeRun {
  readonly runs: PairedRuns;
  readonly likeness: Likeness | string;
}

/**
 * Checks a result on several targets. @param engine native runtime, on which the original runs. @throws PithError E_DATA if the samples do not fit,
 * E_STOPPED on the signal.
 * @example
 * const target = { name: "webgpu", where: "this page", engine: createEngine({ runtime: "webgpu" }) } as const;
 * const [check] = await checkTargets(createEngine(), [target], original, result, { seed: 0 });
 * if (check?.right === false) console.warn(check.found);
 */
export async function checkTargets(
  engine: Engine,
  targets: readonly Omit<RunTarget, "latency">[],
  original: Model,
  result: Model,
  options: TargetCheckOptions,
): Promise<readonly TargetCheck[]> {
  const { samples: data, seed, signal } = options;
  const size = { samples: inputCount, batch: inputCount };
  const runs = await runPair({ engine, original, result }, data, { ...size, seed, signal });
  if (runs instanceof Miss)
    return targets.map(({ name, where }) => ({ target: name, where, ...uncompared(runs.reason) }));
  const native = { runs, likeness: compareValues(runs, options) };
  const checks: TargetCheck[] = [];
  for (const target of targets) {
    const check = await checkTarget(engine, target, original, native, options);
    const reason = check.right === false ? findMissingType(target, result) : undefined;
    checks.push({ target: target.name, where: target.where, ...(reason === undefined ? check : uncompared(reason)) });
  }
  return checks;
}

const uncompared = (reason: string) => ({ right: undefined, found: `not compared: ${reason}` });

function findMissingType({ lacks }: Pick<RunTarget, "lacks">, result: Model): string | undefined {
  if (lacks === undefined) return undefined;
  return [...allValues(result.graph)].some(({ type }) => type?.type === lacks.type) ? lacks.why : undefined;
}

function compareValues(runs: PairedRuns, { samples: data, output }: TargetCheckOptions): Likeness | string {
  return compareRuns(runs, data, { output }).likeness ?? "the model has no output to compare";
}

async function checkTarget(
  engine: Engine,
  target: Omit<RunTarget, "latency">,
  original: Model,
  native: NativeRun,
  options: TargetCheckOptions,
): Promise<Omit<TargetCheck, "target" | "where">> {
  const isNative = target.name === "node";
  let { pairs } = native.runs;
  if (!isNative) {
    try {
      pairs = await runResult(target.engine, native.runs.result, pairs, { signal: options.signal });
    } catch (error) {
      return { right: false, found: stripPeriod(asPithError(error).message) };
    }
  }
  const likeness = compareValues({ ...native.runs, pairs }, options);
  if (typeof likeness === "string") return uncompared(likeness);
  const { signalToNoise, relativeError, lost, unmoved, samples } = likeness;
  const isWorse = isNative || !(signalToNoiseOf(native.likeness) - signalToNoiseOf(likeness) <= maxTargetLoss);
  if (isWorse && lost === undefined && unmoved !== undefined && relativeError > maxUnmovedError)
    return { right: undefined, found: "the inputs do not move the original's output", likeness };
  if (lost === undefined || !isWorse) {
    const inputs = counted(samples, options.samples === undefined ? "random input" : "sample");
    const text = `signal to noise ${figureText("dB", signalToNoise)} on ${inputs}`;
    const isWeak = isWorse && unmoved === undefined && signalToNoise < minDecibels;
    return { right: true, found: text, likeness, ...(isWeak ? { isWeak } : {}) };
  }
  const layer = await findFirstWrongLayer(engine, target, original, native, options.signal);
  return { right: false, found: lost, likeness, ...(layer === undefined ? {} : { layer }) };
}

/** The signal of outputs that do not depend on the inputs is their power instead of their variance. */
function signalToNoiseOf(likeness: Likeness | string): number {
  if (typeof likeness === "string") return Number.NaN;
  return likeness.unmoved === undefined ? likeness.signalToNoise : -20 * Math.log10(likeness.relativeError);
}

/** Returns the first layer whose output on the target differs from the native run; for the native target, from the original's. */
async function findFirstWrongLayer(
  engine: Engine,
  target: Omit<RunTarget, "latency">,
  original: Model,
  { runs: { result, pairs } }: NativeRun,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  const isNative = target.name === "node";
  const options = { optimize: true, signal, candidateEngine: isNative ? engine : target.engine };
  const feeds = completeRuns(pairs).map((pair) => pair.feeds);
  try {
    const { layers } = await compareLayers(engine, isNative ? original : result, result, feeds, options);
    return layers.find(({ signalToNoise }) => !(signalToNoise >= minDecibels))?.layer;
  } catch (error) {
    asPithError(error);
    return undefined;
  }
}
