/**
 * Whether two models compute the same, tried on random inputs.
 *
 * Rounding differs where sums are added up in another order, and a network may amplify that. How much so the original tells: run as it is written
 * and as the runtime fuses it, it differs from itself by rounding alone. Four times that is allowed, and at least what the type explains.
 *
 * Models that round to codes are run node by node, as they are written. The runtime fuses what stands around a rounding, in integers where it
 * knows the pattern and in floats where it does not, so that one and the same function in two graphs gives single codes that differ. Fused,
 * as they ship, both run as well, and may be apart by what codes make of it.
 */

import { roundsToCodes } from "../analysis/codes.ts";
import { infer } from "../analysis/infer.ts";
import type { Engine } from "../engine/index.ts";
import { Miss } from "../errors.ts";
import { allValues } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";
import { sameDims } from "../tensor/dims.ts";
import type { Batch } from "../tensor/types.ts";
import { largestDifference } from "./difference.ts";
import { type Pair, type PairedRuns, pairedRuns } from "./paired-runs.ts";
import { type Saturating, withSaturating } from "./saturation.ts";
import { Variety } from "./variety.ts";

/**
 * What rounding may make of sums that are added up in another order, by the shortest floats in the model: eight times their unit roundoff
 * and more. Differences are relative to the largest number of the output; what is no float must be equal.
 */
export function toleranceOf(model: Model): number {
  const types = new Set<string | undefined>();
  for (const { type } of allValues(model.graph)) types.add(type?.type);
  return types.has("bfloat16") ? 3e-2 : types.has("float16") ? 4e-3 : 1e-4;
}

/** As `toleranceOf`, where a rounding to codes may fall to the other side in any layer: far from what a wrong rewrite does. */
export const codesTolerance = 0.1;

/** How far two models may be apart, as a multiple of how far the original is from itself: two graphs round in two ways each. */
const ownRounding = 4;

export interface Sameness {
  /** On how many inputs both ran. */
  readonly inputs: number;
  /** The difference that exceeds its tolerance most, or comes nearest to it; relative to the largest number of its output. */
  readonly difference: number;
  /** The output where it was. */
  readonly at: string | undefined;
  /** What rounding explains. */
  readonly tolerance: number;
  /** How both ran: node by node, as they are written, or as the runtime fuses them. */
  readonly run: "as written" | "fused";
  /** Of models that round to codes and are the same as written: the largest difference when fused. */
  readonly fused?: number;
  /** How far the original is from itself, fused and as written, where that decided. */
  readonly own?: number;
  /** All outputs say the same to every input, or are NaN: that both are equal shows little. */
  readonly constant?: true;
  /** Operators that this runtime does not have: the rest was compared. */
  readonly without?: readonly string[];
}

export interface SameOptions {
  /** Sizes of named dimensions that are known. */
  readonly sizes?: ReadonlyMap<string, number>;
  /** What inputs of the original that the other no longer has are fed. */
  readonly set?: Batch;
  /** The seed of the random inputs (0). */
  readonly seed?: number;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: (done: number, total: number) => void;
}

/**
 * The largest difference between the outputs of two models, on four random inputs or more: for rewrites that may change nothing but rounding. It is
 * infinite for an output that the other model does not have, and for another type or other dimensions.
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

/** Runs of a model as written and fused, for each input. */
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
  // How the original rounds is asked only where it decides.
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

/** Where codes may differ, whole numbers of the same shape are passed over: a code more is one of them, a pick of the largest another. */
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
