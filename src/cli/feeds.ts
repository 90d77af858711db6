/** Inputs made up for a model: for timing, where the numbers do not matter but their shapes and types do. */
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { zeros } from "../tensor/dense.ts";
import { type Dim, dimsText, dimText, elementCount } from "../tensor/dims.ts";
import { random } from "../tensor/random.ts";
import type { Batch, Dense } from "../tensor/types.ts";

/**
 * One batch: floats from a normal distribution, integers and booleans 1 (a token, a mask that hides nothing).
 * @param sizes what named dimensions are taken as; 1 for those not named.
 * @throws PithError E_USAGE for a name that no input has, E_UNSUPPORTED for an input whose rank or type is not known.
 */
export function madeUpFeeds(model: Model, sizes: ReadonlyMap<string, number>, seed: number): Batch {
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
        `Input "${name}" is ${type?.type ?? "of unknown type"} ${dimsText(type?.dims)}: nothing can be made up for it.`,
      );
    }
    const tensor = zeros(type.type, type.dims.map(fixed));
    return [name, fill(tensor, () => numbers.normal())] as const;
  });
  for (const name of sizes.keys()) {
    if (used.has(name)) continue;
    throw new PithError("E_USAGE", `No input has a dimension "${name}", only ${[...used].join(", ") || "fixed ones"}.`);
  }
  return Object.fromEntries(feeds);
}

function fill(tensor: Dense, normal: () => number): Dense {
  const count = elementCount(tensor.dims);
  switch (tensor.type) {
    case "float32":
    case "float64":
      for (let index = 0; index < count; index++) tensor.data[index] = normal();
      break;
    case "int64":
    case "uint64":
      tensor.data.fill(1n);
      break;
    case "float16":
      // The bits of 1.
      tensor.data.fill(0x3c00);
      break;
    case "int8":
    case "uint8":
    case "int16":
    case "uint16":
    case "int32":
    case "uint32":
    case "bool":
      tensor.data.fill(1);
      break;
  }
  return tensor;
}

/** `batch=8` as a name and a size. @throws PithError E_USAGE, with the flag that was wrong. */
export function namedSizes(words: readonly string[], flag = "--dim"): ReadonlyMap<string, number> {
  return new Map(
    words.map((word) => {
      const [, name, digits] = /^(.+)=(\d+)$/.exec(word) ?? [];
      if (name === undefined || Number(digits) < 1)
        throw new PithError("E_USAGE", `${flag}: expected name=size, got "${word}".`);
      return [name, Number(digits)];
    }),
  );
}
