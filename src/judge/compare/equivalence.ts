/**
 * Checks on random inputs whether two models compute the same function.
 *
 * The tolerance is 4 × the difference between the original run as written and as fused, and at least the rounding error of its type.
 *
 * Quantized models run node by node, because the runtime fuses some patterns into integer kernels and others into float ones. They also run fused, as
 * shipped, with a larger tolerance.
 */

import { roundsToCodes } from "../../core/analysis/codes.ts";
import { infer } from "../../core/analysis/infer.ts";
import type { Engine } from "../../core/engine/index.ts";
import { Miss } from "../../core/errors.ts";
import { allValues } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { isFloat } from "../../core/tensor/convert.ts";
import { sameDims } from "../../core/tensor/dims.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { largestDifference } from "../../runtime/run/difference.ts";
import { type Pair, type PairedRuns, pairedRuns } from "../../runtime/run/paired-runs.ts";
import { type Saturating, withSaturating } from "./saturation.ts";
import { Variety } from "./variety.ts";

/** Tolerance for another order of summation: at least eight unit roundoffs of the shortest float type, relative to the largest value. */
export function toleranceOf(model: Model): number {
  const types = new Set<string | undefined>();
  for (const { type } of allValues(model.graph)) types.add(type?.type);
  return types.has("bfloat16") ? 3e-2 : types.has("float16") ? 4e-3 : 1e-4;
}

/** Tolerance if quantization can round to the neighboring value in any layer. A wrong rewrite differs far more. */
export const codesTolerance = 0.1;

/** Multiple of the original's difference from itself: two graphs round in two ways each. */
const ownRounding = 4;

export interface Sameness {
  readonly inputs: number;
  /** Difference that exceeds its tolerance most, relative to the largest value of its output. */
  readonly difference: number;
  readonly at: string | undefined;
  readonly tolerance: number;
  /** "as written": node by node; "fused": as the runtime optimizes them. */
  readonly run: "as written" | "fused";
  /** Largest difference when fused, for quantized models that are equal as written. */
  readonly fused?: number;
  /** Difference of the original from itself, fused and as written, if it decided. */
  readonly own?: number;
  /** All outputs are equal for every input, or NaN, so the comparison shows little. */
  readonly constant?: true;
  /** Operators that this runtime lacks and that were removed for the comparison. */
  readonly without?: readonly string[];
}

export interface SameOptions {
  readonly sizes?: ReadonlyMap<string, number>;
  /** Values for inputs of the original that the other model no longer has. */
  readonly set?: Batch;
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: (done: number, total: number) => void;
}

/**
 * Returns the largest difference between the outputs of two models on at least four random inputs; infinite for a missing output or another shape.
 * @returns a sentence if they cannot be compared.
 * @throws PithError E_ENGINE or E_UNSUPPORTED if the original runs and the other does not, E_STOPPED on the signal.
 * @example
 * const same = await compareOutputs(createEngine(), await open("model.onnx"), await open("model.simplified.onnx"));
 * if (typeof same === "object" && same.difference > same.tolerance) console.warn(same.at, same.difference);
 */
export async function compareOutputs(
  engine: Engine,
  original: Model,
  other: Model,
  options: SameOptions = {},
): Promise<Sameness | string> {
  const names = new Set(other.graph.outputs.map(({ name }) => name));
  const missing = original.graph.outputs.find(({ name }) => !names.has(name));
  if (missing !== undefined)
    return {
      ...{ inputs: 0, difference: Number.POSITIVE_INFINITY, at: missing.name },
      ...{ tolerance: toleranceOf(original), run: "as written" },
    };
  const copy = original.clone();
  const models = withSaturating(original, other);
  if (!roundsToCodes(copy, infer(copy))) return compare(engine, models, options, "fused", false);
  const found = await compare(engine, models, options, "as written", false);
  if (typeof found === "string" || !(found.difference <= found.tolerance)) return found;
  const fused = await compare(engine, models, options, "fused", true);
  if (typeof fused === "string") return found;
  return fused.difference <= fused.tolerance ? { ...found, fused: fused.difference } : fused;
}

type OwnRuns = (pair: number) => Batch | undefined;

async function compare(
  engine: Engine,
  models: Saturating,
  { sizes = new Map(), set = {}, seed = 0, signal, progress }: SameOptions,
  run: Sameness["run"],
  codes: boolean,
): Promise<Sameness | string> {
  const options = { sizes: "several", known: sizes, set, seed, signal, progress, optimize: run === "fused" } as const;
  const runs = await pairedRuns(engine, models.original, models.other, options);
  if (runs instanceof Miss) return runs.reason;
  if (runs.otherDraws !== undefined) return runs.otherDraws;
  const tolerance = codes ? codesTolerance : toleranceOf(models.original);
  const first = judged(models, runs, run, tolerance, codes);
  if (first.difference <= tolerance || !Number.isFinite(first.difference)) return first;
  // The original's rounding is measured only if it decides.
  const again = await pairedRuns(engine, models.original, models.original, { ...options, optimize: run !== "fused" });
  if (again instanceof Miss || again.pairs.length !== runs.pairs.length) return first;
  return judged(models, runs, run, tolerance, codes, (at) => again.pairs[at]?.expected);
}

function judged(
  models: Saturating,
  { pairs, without }: PairedRuns,
  run: Sameness["run"],
  tolerance: number,
  codes: boolean,
  own?: OwnRuns,
): Sameness {
  const variety = new Variety();
  let found: Sameness = { inputs: pairs.length, difference: 0, at: undefined, tolerance, run };
  for (const [at, pair] of pairs.entries()) {
    variety.add(pair.expected);
    for (const one of differences(models, pair, codes, own?.(at))) {
      const allowed = Math.max(tolerance, ownRounding * one.own);
      if (!(one.difference / allowed > found.difference / found.tolerance)) continue;
      const decided = allowed > tolerance ? { own: one.own } : {};
      found = { inputs: pairs.length, difference: one.difference, at: one.at, tolerance: allowed, run, ...decided };
    }
  }
  return {
    ...found,
    ...(variety.constant && models.original.graph.feeds.length > 0 ? { constant: true } : {}),
    ...(without.length > 0 ? { without } : {}),
  };
}

interface Difference {
  readonly at: string;
  readonly difference: number;
  readonly own: number;
}

/** With quantization, equal-shaped integers are not compared: one step of a quantized value is rounding, another argmax is not. */
function differences(
  { outputs, before }: Saturating,
  { expected, got }: Pair,
  codes: boolean,
  own: Batch | undefined,
): readonly Difference[] {
  return Object.entries(expected).flatMap(([name, dense]): Difference[] => {
    const other = got[name];
    if (codes && !isFloat(dense.type) && other?.type === dense.type && sameDims(other.dims, dense.dims)) return [];
    const least = outputs.has(name) ? 1 : 0;
    const itself = own === undefined ? 0 : largestDifference(dense, own[name], least);
    return [
      {
        at: before.get(name) ?? name,
        difference: largestDifference(dense, other, least),
        own: Number.isFinite(itself) ? itself : 0,
      },
    ];
  });
}
