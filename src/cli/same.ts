/**
 * Whether two models compute the same, tried on made-up inputs: the numbers do not matter, their shapes and types do. Sizes of named
 * dimensions are guessed, since files do not say which go together; what the original itself does not run on is passed over.
 *
 * Models that round to codes are run node by node, as they are written. The runtime fuses what stands around a rounding, in integers where it
 * knows the pattern and in floats where it does not, so that one and the same function in two graphs gives single codes that differ. Fused,
 * as they ship, both run as well, and may be apart by what codes make of it.
 */
import { infer } from "../analysis/infer.ts";
import { roundsToCodes } from "../analysis/rounded.ts";
import type { Engine, Session } from "../engine/index.ts";
import { PithError } from "../errors.ts";
import { allGraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";
import { zeros } from "../tensor/dense.ts";
import { type Dim, dimText, dimValue, elementCount, isSymbolic, sameDims } from "../tensor/dims.ts";
import { type Random, random } from "../tensor/random.ts";
import type { Batch, Dense } from "../tensor/types.ts";
import { difference as tensorDifference } from "./tensor-difference.ts";

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
}

export interface SameOptions {
  /** Sizes of named dimensions that are known. */
  readonly sizes: ReadonlyMap<string, number>;
  /** What inputs of the original that the other no longer has are fed. */
  readonly set: Batch;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly progress: (done: number, total: number) => void;
}

/** On so many inputs models are compared. */
const wanted = 4;

/**
 * The largest difference between the outputs that both models have.
 * @throws PithError E_ENGINE or E_UNSUPPORTED, with the model that does not run: the original, or the other where the original does.
 * @returns a sentence if they cannot be compared.
 */
export async function compareOutputs(
  engine: Engine,
  original: Model,
  other: Model,
  options: SameOptions,
): Promise<Sameness | string> {
  const strange = original.graph.feeds.find(({ name, type }) => options.set[name] === undefined && !canBeMadeUp(type));
  if (strange !== undefined) return `nothing can be made up for input "${strange.name}"`;
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
  { sizes, set, seed, signal, progress }: SameOptions,
  run: Sameness["run"],
  codes: boolean,
): Promise<Sameness | string> {
  const names = other.graph.outputs.map(({ name }) => name);
  const [first, second] = await loadBoth(engine, original, other, run === "fused");
  try {
    const tolerance = codes ? codesTolerance : toleranceOf(original);
    let found: Sameness = { inputs: 0, difference: 0, at: undefined, tolerance, run };
    let refused = "it runs on no input that was made up";
    for (const [attempt, assignment] of assignments(original, sizes).entries()) {
      signal.throwIfAborted();
      if (found.inputs === wanted) break;
      const feeds = { ...madeUp(original.graph.feeds, assignment, random(seed, `compare ${attempt}`)), ...set };
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
      found = worse(found, expected, got, codes);
      progress(found.inputs, wanted);
    }
    return found.inputs === 0 ? refused : found;
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

function canBeMadeUp(type: Model["graph"]["inputs"][number]["type"]): boolean {
  return type?.dims !== undefined && !["string", "complex64", "complex128"].includes(type.type);
}

/** The size of a named dimension. */
export type Assignment = (name: string) => number;

/** What names of dimensions are likely to stand for: samples, what a cache holds, and all the rest. */
export function guessedSizes(
  model: Model,
  sizes: ReadonlyMap<string, number>,
  batch: number,
  length: number,
): Assignment {
  const isBatch = (name: string): boolean => /batch|^n$/i.test(name) || name === firstName(model);
  const past = (name: string): boolean => /past|cache/i.test(name) && !/\+|total/.test(name);
  const total = (name: string): boolean => /total|\+/.test(name);
  return (name) => sizes.get(name) ?? (isBatch(name) ? batch : past(name) ? 2 : total(name) ? length + 2 : length);
}

/** Sizes for the names, from what runs most often to what runs seldom: several times small, then growing sequences and images. */
function assignments(model: Model, sizes: ReadonlyMap<string, number>): readonly Assignment[] {
  const shape = (batch: number, length: number): Assignment => guessedSizes(model, sizes, batch, length);
  const open = model.graph.feeds.some(({ type }) => type?.dims?.some(isSymbolic));
  if (!open) return [1, 2, 3, 4].map(() => shape(1, 1));
  const lengths = [1, 2, 3, 4, 7, 8, 16, 32, 64, 128, 224, 256, 512, 576];
  return lengths.flatMap((length) => [shape(1, length), shape(2, length)]);
}

/** The name of the first dimension, where all inputs share it: the batch. */
function firstName(model: Model): string | undefined {
  const firsts = new Set(model.graph.feeds.map(({ type }) => type?.dims?.[0]));
  const [only] = firsts;
  return firsts.size === 1 && only !== undefined && isSymbolic(only) ? only.text : undefined;
}

/** One batch of inputs; those of strings or of unknown rank are left out. */
export function madeUp(feeds: readonly Pick<Value, "name" | "type">[], assignment: Assignment, numbers: Random): Batch {
  const fixed = (dim: Dim): number => {
    if (!isSymbolic(dim)) return dim;
    const words = Object.fromEntries([...dim.text.matchAll(/[A-Za-z_]\w*/g)].map(([word]) => [word, assignment(word)]));
    return dimValue(dim, words) ?? assignment(dimText(dim));
  };
  return Object.fromEntries(
    feeds.flatMap(({ name, type }): [string, Dense][] => {
      if (type?.dims === undefined || type.type === "string") return [];
      return [[name, fill(zeros(type.type, type.dims.map(fixed)), numbers)]];
    }),
  );
}

/** Floats from a normal distribution; integers 0 or 1, which are tokens, positions and masks alike. */
function fill(tensor: Dense, numbers: Random): Dense {
  const count = elementCount(tensor.dims);
  for (let index = 0; index < count; index++) {
    switch (tensor.type) {
      case "float32":
      case "float64":
        tensor.data[index] = numbers.normal();
        break;
      case "float16":
        // 1 or -1.
        tensor.data[index] = numbers.integer(2) === 0 ? 0x3c00 : 0xbc00;
        break;
      case "int64":
      case "uint64":
        tensor.data[index] = BigInt(numbers.integer(2));
        break;
      case "int8":
      case "uint8":
      case "int16":
      case "uint16":
      case "int32":
      case "uint32":
      case "bool":
        tensor.data[index] = numbers.integer(2);
        break;
    }
  }
  return tensor;
}
