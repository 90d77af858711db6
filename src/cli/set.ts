/** `--set input=value`: inputs of a model that have one value for all samples. */
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";

/**
 * The columns that give inputs their values: for so many samples. A number stands for all elements of an input.
 * @throws PithError E_OPTION for a word that is no assignment, or an input that is not there or has no fixed shape.
 */
export function constants(
  model: Model,
  words: readonly string[],
): Readonly<Record<string, (samples: number) => Dense>> {
  return Object.fromEntries(words.map((word) => constant(model, word)));
}

function constant(model: Model, word: string): readonly [name: string, repeat: (samples: number) => Dense] {
  const at = word.lastIndexOf("=");
  const [name, text] = [word.slice(0, at), word.slice(at + 1)];
  const value = text === "true" ? 1 : text === "false" ? 0 : Number(text);
  if (at < 1 || text.trim() === "" || !Number.isFinite(value)) {
    throw new PithError("E_OPTION", `--set ${word}: expected input=value, like sr=16000.`);
  }
  const { feeds } = model.graph;
  const input = feeds.find((feed) => feed.name === name);
  if (input === undefined) {
    throw new PithError(
      "E_OPTION",
      `--set ${word}: there is no input "${name}", only ${feeds.map((feed) => feed.name).join(", ")}.`,
    );
  }
  const type = input.type?.type ?? "float32";
  const dims = fixedDims(input.type?.dims ?? []);
  if (
    dims === undefined ||
    type === "string" ||
    type === "complex64" ||
    type === "complex128" ||
    type === "float8e8m0" ||
    (!Number.isInteger(value) && !/float/.test(type))
  ) {
    throw new PithError("E_OPTION", `--set ${word}: input "${name}" is ${type} of a shape that is not fixed.`);
  }
  const elements = elementCount(dims);
  return [name, (samples) => fromNumbers(type, [samples, ...dims], new Float64Array(samples * elements).fill(value))];
}
