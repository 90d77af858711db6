/**
 * Random inputs of a model: the numbers do not matter, their shapes and types do. To compare two models sizes are guessed, since files do not
 * say what named dimensions stand for; to time one they are those that were named.
 */
import { PithError } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { zeros } from "../tensor/dense.ts";
import { type Dim, dimsText, dimText, dimValue, elementCount, isSymbolic } from "../tensor/dims.ts";
import { type Random, random } from "../tensor/random.ts";
import type { Batch, Dense } from "../tensor/types.ts";

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

/** The name of the first dimension, where all inputs share it: the batch. */
function firstName(model: Model): string | undefined {
  const firsts = new Set(model.graph.feeds.map(({ type }) => type?.dims?.[0]));
  const [only] = firsts;
  return firsts.size === 1 && only !== undefined && isSymbolic(only) ? only.text : undefined;
}

/**
 * One batch of inputs; those of strings or of unknown rank are left out. Integers are 0 or 1, which are tokens, positions and masks alike.
 */
export function randomInputs(
  feeds: readonly Pick<Value, "name" | "type">[],
  assignment: Assignment,
  numbers: Random,
): Batch {
  const fixed = (dim: Dim): number => {
    if (!isSymbolic(dim)) return dim;
    const words = Object.fromEntries([...dim.text.matchAll(/[A-Za-z_]\w*/g)].map(([word]) => [word, assignment(word)]));
    return dimValue(dim, words) ?? assignment(dimText(dim));
  };
  return Object.fromEntries(
    feeds.flatMap(({ name, type }): [string, Dense][] => {
      if (type?.dims === undefined || type.type === "string") return [];
      return [[name, fill(zeros(type.type, type.dims.map(fixed)), numbers, () => numbers.integer(2))]];
    }),
  );
}

/**
 * One batch: floats from a normal distribution, integers and booleans 1 (a token, a mask that hides nothing).
 * @param sizes what named dimensions are taken as; 1 for those not named.
 * @throws PithError E_NAME for a name that no input has, E_UNSUPPORTED for an input whose rank or type is not known.
 */
export function randomFeeds(model: Model, sizes: ReadonlyMap<string, number>, seed: number): Batch {
  const used = new Set<string>();
  const numbers = random(seed, "feeds");
  const fixed = (dim: Dim): number => {
    if (typeof dim === "number") return dim;
    used.add(dimText(dim));
    return sizes.get(dimText(dim)) ?? 1;
  };
  const feeds = model.graph.feeds.map(({ name, type }) => {
    if (type?.dims === undefined || type.type === "string") {
      throw new PithError(
        "E_UNSUPPORTED",
        `Input "${name}" is ${type?.type ?? "of unknown type"} ${dimsText(type?.dims)}: no random numbers can be drawn for it.`,
      );
    }
    const tensor = zeros(type.type, type.dims.map(fixed));
    return [name, fill(tensor, numbers, () => 1)] as const;
  });
  for (const name of sizes.keys()) {
    if (used.has(name)) continue;
    throw new PithError("E_NAME", `No input has a dimension "${name}", only ${[...used].join(", ") || "fixed ones"}.`);
  }
  return Object.fromEntries(feeds);
}

/** Floats from a normal distribution, halves 1 or -1; integers and booleans as told. */
function fill(tensor: Dense, numbers: Random, whole: () => number): Dense {
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
        tensor.data[index] = BigInt(whole());
        break;
      case "int8":
      case "uint8":
      case "int16":
      case "uint16":
      case "int32":
      case "uint32":
      case "bool":
        tensor.data[index] = whole();
        break;
    }
  }
  return tensor;
}
