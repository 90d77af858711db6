/**
 * Whether two models compute the same, tried on made-up inputs: the numbers do not matter, their shapes and types do. Sizes of named
 * dimensions are guessed, since files do not say which go together; what the original itself does not run on is passed over.
 */

import type { Engine, Session } from "../engine/index.ts";
import { PithError } from "../errors.ts";
import { allGraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { zeros } from "../tensor/dense.ts";
import { type Dim, dimText, dimValue, elementCount, isSymbolic } from "../tensor/dims.ts";
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

export interface Sameness {
  /** On how many inputs both ran. */
  readonly inputs: number;
  /** The largest difference, relative to the largest number of its output. */
  readonly difference: number;
  /** The output where it was. */
  readonly at: string | undefined;
  /** What rounding explains. */
  readonly tolerance: number;
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
 * @throws PithError E_ENGINE if the other does not run where the original does.
 * @returns a sentence if they cannot be compared.
 */
export async function compareOutputs(
  engine: Engine,
  original: Model,
  other: Model,
  { sizes, set, seed, signal, progress }: SameOptions,
): Promise<Sameness | string> {
  const strange = original.graph.feeds.find(({ name, type }) => set[name] === undefined && !canBeMadeUp(type));
  if (strange !== undefined) return `nothing can be made up for input "${strange.name}"`;
  const names = other.graph.outputs.map(({ name }) => name);
  const [first, second] = [await engine.load(original), await engine.load(other)];
  try {
    let found: Sameness = { inputs: 0, difference: 0, at: undefined, tolerance: toleranceOf(original) };
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
      found = worse(found, expected, got);
      progress(found.inputs, wanted);
    }
    return found.inputs === 0 ? refused : found;
  } finally {
    await first.release();
    await second.release();
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

function worse(before: Sameness, expected: Batch, got: Batch): Sameness {
  let { difference, at } = before;
  for (const [name, dense] of Object.entries(expected)) {
    const found = tensorDifference(dense, got[name]);
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
