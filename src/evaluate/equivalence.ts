/**
 * Whether two models compute the same, tried on random inputs; what the original itself does not run on is passed over.
 *
 * Models that round to codes are run node by node, as they are written. The runtime fuses what stands around a rounding, in integers where it
 * knows the pattern and in floats where it does not, so that one and the same function in two graphs gives single codes that differ. Fused,
 * as they ship, both run as well, and may be apart by what codes make of it.
 */
import { infer } from "../analysis/infer.ts";
import { roundsToCodes } from "../analysis/rounded.ts";
import type { Engine, Session } from "../engine/index.ts";
import { PithError } from "../errors.ts";
import { allGraphs } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";
import { isSymbolic, sameDims } from "../tensor/dims.ts";
import { random } from "../tensor/random.ts";
import type { Batch } from "../tensor/types.ts";
import { type Assignment, guessedSizes, randomInputs } from "./random-inputs.ts";
import { difference as tensorDifference } from "./tensor-difference.ts";
import { Variety } from "./variety.ts";

/**
 * What rounding may make of sums that are added up in another order, by the shortest floats in the model: eight times their unit roundoff
 * and more. Differences are relative to the largest number of the output; what is no float must be equal.
 */
export function toleranceOf(model: Model): number {
  const types = new Set<string | undefined>();
  for (const graph of allGraphs(model.graph)) for (const { type } of graph.values()) types.add(type?.type);
  return types.has("bfloat16") ? 3e-2 : types.has("float16") ? 4e-3 : 1e-4;
}

/** As `toleranceOf`, where a rounding to codes may fall to the other side in any layer: far from what a wrong rewrite does. */
export const codesTolerance = 0.1;

export interface Sameness {
  /** On how many inputs both ran. */
  readonly inputs: number;
  /** The largest difference, relative to the largest number of its output. */
  readonly difference: number;
  /** The output where it was. */
  readonly at: string | undefined;
  /** What rounding explains. */
  readonly tolerance: number;
  /** How both ran: node by node, as they are written, or as the runtime fuses them. */
  readonly run: "as written" | "fused";
  /** Of models that round to codes and are the same as written: the largest difference when fused. */
  readonly fused?: number;
  /** All outputs say the same to every input, or are NaN: that both are equal shows little. */
  readonly constant?: true;
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

/** On so many inputs models are compared. */
const wanted = 4;

/**
 * The largest difference between the outputs that both models have, on four random inputs: for rewrites that may change nothing but rounding.
 * @returns a sentence if they cannot be compared.
 * @throws PithError E_ENGINE or E_UNSUPPORTED, with the model that does not run: the original, or the other where the original does; the
 * signal's reason once that is aborted.
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
  const strange = original.graph.feeds.find(({ name, type }) => options.set?.[name] === undefined && !canBeDrawn(type));
  if (strange !== undefined) return `no random numbers can be drawn for input "${strange.name}"`;
  const copy = original.clone();
  if (!roundsToCodes(copy, infer(copy))) return runBoth(engine, original, other, options, "fused", false);
  const found = await runBoth(engine, original, other, options, "as written", false);
  if (typeof found === "string" || !(found.difference <= found.tolerance)) return found;
  const fused = await runBoth(engine, original, other, options, "fused", true);
  if (typeof fused === "string") return found;
  return fused.difference <= fused.tolerance ? { ...found, fused: fused.difference } : fused;
}

async function runBoth(
  engine: Engine,
  original: Model,
  other: Model,
  { sizes = new Map(), set = {}, seed = 0, signal, progress }: SameOptions,
  run: Sameness["run"],
  codes: boolean,
): Promise<Sameness | string> {
  const names = other.graph.outputs.map(({ name }) => name);
  const [first, second] = await loadBoth(engine, original, other, run === "fused");
  try {
    const tolerance = codes ? codesTolerance : toleranceOf(original);
    let found: Sameness = { inputs: 0, difference: 0, at: undefined, tolerance, run };
    const variety = new Variety();
    let refused = "it ran on none of the random inputs";
    for (const [attempt, assignment] of assignments(original, sizes).entries()) {
      signal?.throwIfAborted();
      if (found.inputs === wanted) break;
      const feeds = { ...randomInputs(original.graph.feeds, assignment, random(seed, `compare ${attempt}`)), ...set };
      const expected = await runIfItDoes(first, feeds, names);
      if (typeof expected === "string") {
        refused = expected;
        continue;
      }
      if (found.inputs === 0 && differ(expected, await first.run(feeds, names))) return "it draws random numbers";
      const given = Object.fromEntries(
        other.graph.feeds.flatMap(({ name }) => (feeds[name] === undefined ? [] : [[name, feeds[name]]])),
      );
      const got = await second.run(given as Batch, names);
      variety.add(expected);
      found = worse(found, expected, got, codes);
      progress?.(found.inputs, wanted);
    }
    if (found.inputs === 0) return refused;
    return variety.constant && original.graph.feeds.length > 0 ? { ...found, constant: true } : found;
  } finally {
    await first.release();
    await second.release();
  }
}

async function loadBoth(
  engine: Engine,
  original: Model,
  other: Model,
  optimize: boolean,
): Promise<readonly [Session, Session]> {
  const load = (model: Model, which: string): Promise<Session> =>
    engine.load(model, { optimize }).catch((error: unknown) => {
      if (!(error instanceof PithError)) throw error;
      const hint = error.hint === undefined ? {} : { hint: error.hint };
      throw new PithError(error.code, `${which}: ${error.message}`, { ...hint, cause: error });
    });
  const first = await load(original, "The original does not run");
  try {
    return [first, await load(other, "The original runs, the result does not")];
  } catch (error) {
    await first.release();
    throw error;
  }
}

async function runIfItDoes(session: Session, feeds: Batch, names: readonly string[]): Promise<Batch | string> {
  try {
    return await session.run(feeds, names);
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    return error.message;
  }
}

function differ(a: Batch, b: Batch): boolean {
  return Object.entries(a).some(([name, dense]) => tensorDifference(dense, b[name]) > 0);
}

/** Where codes may differ, whole numbers of the same shape are passed over: a code more is one of them, a pick of the largest another. */
function worse(before: Sameness, expected: Batch, got: Batch, codes: boolean): Sameness {
  let { difference, at } = before;
  for (const [name, dense] of Object.entries(expected)) {
    const other = got[name];
    if (codes && !isFloat(dense.type) && other?.type === dense.type && sameDims(other.dims, dense.dims)) continue;
    const found = tensorDifference(dense, other);
    if (found > difference) [difference, at] = [found, name];
  }
  return { ...before, inputs: before.inputs + 1, difference, at };
}

function canBeDrawn(type: Model["graph"]["inputs"][number]["type"]): boolean {
  return type?.dims !== undefined && !["string", "complex64", "complex128"].includes(type.type);
}

/** Sizes for the names, from what runs most often to what runs seldom: several times small, then growing sequences and images. */
function assignments(model: Model, sizes: ReadonlyMap<string, number>): readonly Assignment[] {
  const shape = (batch: number, length: number): Assignment => guessedSizes(model, sizes, batch, length);
  const open = model.graph.feeds.some(({ type }) => type?.dims?.some(isSymbolic));
  if (!open) return [1, 2, 3, 4].map(() => shape(1, 1));
  const lengths = [1, 2, 3, 4, 7, 8, 16, 32, 64, 128, 224, 256, 512, 576];
  return lengths.flatMap((length) => [shape(1, length), shape(2, length)]);
}
