/**
 * Stores inputs that always have the same value, so that dependent nodes can be folded and branches resolved.
 *   graph (x, sr: int64[]); fast = Equal(sr, 16000)    →    graph (x); sr: int64[] = 16000; fast = Equal(sr, 16000)
 */
import * as v from "valibot";
import {
  type Dense,
  dimsText,
  elementCount,
  fromNumbers,
  inMemory,
  isSymbolic,
  type Model,
  PithError,
  shapeError,
} from "#ir";
import { definePass, withHelp } from "#pass";
import { cleanUpChange } from "./clean-up.ts";

const number = v.union([v.number(), v.boolean()], "takes a number");

/** Values of inputs: one number for all elements, or each element in row-major order. */
export const setOption = withHelp(
  v.optional(v.record(v.string(), v.union([number, v.array(number)], "takes a number, or a list of numbers")), {}),
  "inputs to fix to a value",
);

/**
 * Removes inputs from the model's interface and stores their constant values.
 * @throws PithError E_NAME for an unknown input, E_SHAPE_MISMATCH for a wrong number of elements, E_TYPE_MISMATCH for a value beyond the type.
 * @example
 * await setInputs(model, { set: { sr: 16000 } });
 */
export const setInputs = definePass({
  id: "set-inputs",
  summary: "Replace inputs by constants",
  options: v.strictObject({ set: setOption }),
  async run(model, { set }) {
    const constants = Object.entries(set).map(
      ([name, content]) => [inputNamed(model, name), contentOf(model, name, content)] as const,
    );
    const { graph } = model;
    for (const [input, dense] of constants) {
      graph.setInputs(graph.inputs.filter((other) => other !== input));
      input.tensor = inMemory(dense);
      input.type = { type: dense.type, dims: dense.dims };
    }
    for (const [name, content] of Object.entries(set))
      model.header.metadata.set(`${fixedKey}${name}`, JSON.stringify(content));
    return { changes: constants.map(([{ name }]) => cleanUpChange(name, "fixed to a value")), misses: [] };
  },
});

/** Beginning of the metadata keys that record the values of removed inputs. */
const fixedKey = "pith.set.";

/** Returns whether a model has no such input because it was replaced by this value. */
export function hasValue({ graph, header }: Model, name: string, content: number | readonly number[]): boolean {
  return (
    graph.feeds.every((feed) => feed.name !== name) &&
    header.metadata.get(`${fixedKey}${name}`) === JSON.stringify(content)
  );
}

function inputNamed(model: Model, name: string): Model["graph"]["feeds"][number] {
  const { feeds } = model.graph;
  const input = feeds.find((feed) => feed.name === name);
  if (input !== undefined) return input;
  throw new PithError("E_NAME", `The model has no input "${name}" to set.`, {
    hint: `Inputs: ${feeds.map((feed) => feed.name).join(", ") || "none"}.`,
  });
}

/** Converts one number for all elements, or each in row-major order, to a tensor. @throws PithError as `setInputs`. */
export function contentOf(
  model: Model,
  name: string,
  content: number | boolean | readonly (number | boolean)[],
): Dense {
  const { type } = inputNamed(model, name);
  const numbers = [content].flat().map(Number);
  const kind = type?.type;
  if (kind === undefined || kind === "string" || kind === "complex64" || kind === "complex128" || kind === "float8e8m0")
    throw new PithError(
      "E_TYPE_MISMATCH",
      `Input "${name}" is ${kind ?? "of unknown type"}: no number can be stored for it.`,
    );
  const isInteger = !kind.startsWith("float") && kind !== "bfloat16";
  const nonInteger = isInteger ? numbers.find((value) => !Number.isSafeInteger(value)) : undefined;
  if (nonInteger !== undefined)
    throw new PithError("E_TYPE_MISMATCH", `Input "${name}" takes ${kind}, got ${nonInteger}.`);
  const dims = completeDims(type?.dims, Array.isArray(content), numbers.length);
  const count = dims === undefined ? Number.NaN : elementCount(dims);
  const elements = Array.isArray(content) ? numbers : Array.from({ length: count || 0 }, () => Number(content));
  if (dims === undefined || count !== elements.length) {
    const shape = dimsText(type?.dims);
    throw shapeError(`Input "${name}" is ${kind}${shape}, got ${numbers.length} numbers.`, {
      hint: fixHint(type?.dims),
    });
  }
  return fromNumbers(kind, dims, elements);
}

/** Returns what to do about a wrong number of elements. Of several symbolic dimensions, all but one must be fixed. */
function fixHint(dims: Dims = []): string {
  const open = [...new Set(dims.flatMap((dim) => (isSymbolic(dim) ? [dim.text] : [])))];
  if (open.length > 1) {
    const sizes = open.slice(0, -1).map((name) => `${name}=1`);
    return `Fix the sizes of named dimensions as well, with \`fix\`: ${sizes.join(",")}.`;
  }
  const count = elementCount(dims.filter((dim) => !isSymbolic(dim)));
  return open.length === 0 ? `It takes ${count} numbers.` : `It requires a multiple of ${count} numbers.`;
}

type Dims = NonNullable<Model["graph"]["feeds"][number]["type"]>["dims"];

/** Completes the dimensions: the number of elements determines a symbolic dimension. Undefined for several of them. */
function completeDims(dims: Dims, isList: boolean, count: number): readonly number[] | undefined {
  if (dims === undefined) return isList ? [count] : [];
  const fixedSizes = dims.filter((dim) => typeof dim === "number");
  const open = dims.length - fixedSizes.length;
  const size = elementCount(fixedSizes);
  if (open > 1 || (open === 1 && count % size !== 0)) return undefined;
  return dims.map((dim) => (typeof dim === "number" ? dim : count / size));
}
