/**
 * Checks on random inputs whether two models compute the same function. The tolerance is a multiple of the difference between two runs of the
 * original, with and without operator fusion. Models with quantized activations run without fusion, because the runtime fuses some patterns into
 * integer kernels and others into float ones; they also run as users run them, with a larger tolerance.
 */
import { hasQuantizedActivations, infer } from "#analysis";
import { allValues, type Batch, isFloat, Miss, type Model, sameDims } from "#ir";
import type { Engine } from "../../core/engine/index.ts";
import { type PairedRun, type PairedRuns, pairedRuns } from "../../runtime/paired/paired-runs.ts";
import { largestDifference } from "../../runtime/run/difference.ts";
import { areConstant } from "./output-comparison.ts";
import { addSaturatingInputs, type SaturatingModels } from "./saturation.ts";

/** Returns the tolerance for sums in another order, relative to the largest value: about eight unit roundoffs of the shortest float type, or more. */
export function toleranceOf(model: Model): number {
  const types = new Set<string | undefined>();
  for (const { type } of allValues(model.graph)) types.add(type?.type);
  return types.has("bfloat16") ? 3e-2 : types.has("float16") ? 4e-3 : 1e-4;
}

/** Tolerance for quantized models, where rounding can yield the neighboring quantized value in any layer. */
export const quantizedTolerance = 0.1;

/** The compared models both round, each with or without fusion. */
const roundingFactor = 4;

export interface Equivalence {
  readonly inputs: number;
  /** Difference of the output that exceeds its tolerance most, relative to the largest value of this output. */
  readonly difference: number;
  readonly at: string | undefined;
  readonly tolerance: number;
  /** Run mode: "as written" runs node by node, "fused" lets the runtime optimize the graph. */
  readonly run: "as written" | "fused";
  /** Largest difference with fusion, for quantized models that are equal without it. */
  readonly fused?: number;
  /** Difference between the original with and without fusion, if it determined the tolerance. */
  readonly own?: number;
  /** Whether all outputs are the same for every input, or NaN, so that the comparison shows little. */
  readonly constant?: true;
  readonly without?: readonly string[];
}

export interface EquivalenceOptions {
  readonly sizes?: ReadonlyMap<string, number>;
  /** Values for inputs that the original has and the other model lacks. */
  readonly set?: Batch;
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: (done: number, total: number) => void;
}

/**
 * Returns the largest difference between the outputs of two models on at least four random inputs; infinite for a missing output or another shape.
 * @returns a sentence with the reason if the models cannot be compared.
 * @throws PithError E_ENGINE or E_UNSUPPORTED if the original runs and the other does not, E_STOPPED on the signal.
 */
export async function checkEquivalence(
  engine: Engine,
  original: Model,
  other: Model,
  options: EquivalenceOptions = {},
): Promise<Equivalence | string> {
  const names = new Set(other.graph.outputs.map(({ name }) => name));
  const missingOutput = original.graph.outputs.find(({ name }) => !names.has(name));
  if (missingOutput !== undefined)
    return {
      inputs: 0,
      difference: Number.POSITIVE_INFINITY,
      at: missingOutput.name,
      tolerance: toleranceOf(original),
      run: "as written",
    };
  const models = addSaturatingInputs(original, other);
  if (!hasQuantizedActivations(models.inferred, infer(models.inferred)))
    return compareRun(engine, models, options, "fused", toleranceOf(original));
  const unfusedResult = await compareRun(engine, models, options, "as written", toleranceOf(original));
  if (typeof unfusedResult === "string" || !(unfusedResult.difference <= unfusedResult.tolerance)) return unfusedResult;
  const fused = await compareRun(engine, models, options, "fused", quantizedTolerance);
  if (typeof fused === "string") return unfusedResult;
  return fused.difference <= fused.tolerance ? { ...unfusedResult, fused: fused.difference } : fused;
}

async function compareRun(
  engine: Engine,
  models: SaturatingModels,
  { sizes = new Map(), set = {}, seed = 0, signal, progress }: EquivalenceOptions,
  run: Equivalence["run"],
  tolerance: number,
): Promise<Equivalence | string> {
  const options = { sizes: "several", known: sizes, set, seed, signal, progress, optimize: run === "fused" } as const;
  const { original } = models;
  const runs = await pairedRuns({ engine, original, result: models.other }, options);
  if (runs instanceof Miss) return runs.reason;
  if (runs.otherDraws !== undefined) return runs.otherDraws;
  const firstFinding = findLargest(models, runs, run, tolerance);
  if (firstFinding.difference <= tolerance || !Number.isFinite(firstFinding.difference)) return firstFinding;
  // The rounding error is measured by a second run of the original.
  const otherOptions = { ...options, optimize: run !== "fused" };
  const repeatedRuns = await pairedRuns({ engine, original, result: original }, otherOptions);
  if (repeatedRuns instanceof Miss || repeatedRuns.pairs.length !== runs.pairs.length) return firstFinding;
  return findLargest(models, runs, run, tolerance, repeatedRuns.pairs);
}

/** @param repeatedRuns runs of the original in the other mode, with or without fusion. */
function findLargest(
  models: SaturatingModels,
  { pairs, without }: PairedRuns,
  run: Equivalence["run"],
  tolerance: number,
  repeatedRuns: readonly PairedRun[] = [],
): Equivalence {
  const isRounded = tolerance === quantizedTolerance;
  const differences = pairs.flatMap((pair, index) =>
    compareRounded(models, pair, isRounded, repeatedRuns[index]?.expected),
  );
  let largest = { at: undefined as string | undefined, difference: 0, rounding: 0, tolerance };
  for (const output of differences) {
    const outputTolerance = Math.max(tolerance, roundingFactor * output.rounding);
    if (output.difference / outputTolerance > largest.difference / largest.tolerance)
      largest = { ...output, tolerance: outputTolerance };
  }
  const isConstant = models.original.graph.feeds.length > 0 && areConstant(pairs.map(({ expected }) => expected));
  return {
    inputs: pairs.length,
    difference: largest.difference,
    at: largest.at,
    tolerance: largest.tolerance,
    run,
    ...(largest.tolerance > tolerance ? { own: largest.rounding } : {}),
    ...(isConstant ? { constant: true } : {}),
    ...(without.length > 0 ? { without } : {}),
  };
}

interface OutputDifference {
  readonly at: string;
  readonly difference: number;
  readonly rounding: number;
}

/** Integer outputs of fused quantized models are skipped: a difference can be one rounding step or a wrong result. */
function compareRounded(
  { outputs, saturatedOutputs }: SaturatingModels,
  { expected, actual }: PairedRun,
  isRounded: boolean,
  repeatedOutputs: Batch | undefined,
): readonly OutputDifference[] {
  return Object.entries(expected).flatMap(([name, dense]): OutputDifference[] => {
    const other = actual[name];
    if (isRounded && !isFloat(dense.type) && other?.type === dense.type && sameDims(other.dims, dense.dims)) return [];
    const minScale = outputs.has(name) ? 1 : 0;
    const difference = largestDifference(dense, other, minScale);
    const rounding = repeatedOutputs === undefined ? 0 : largestDifference(dense, repeatedOutputs[name], minScale);
    return [{ at: saturatedOutputs.get(name) ?? name, difference, rounding: Number.isFinite(rounding) ? rounding : 0 }];
  });
}
