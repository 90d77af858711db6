/**
 * A user's ES module as a data set.
 *
 * It exports `train` and `test`, or `batches`, or a default: each a data set, or a function that returns one, or a generator of batches.
 * A function is called with `{ part, size, shuffle, dropLast }`, once for each pass over the data. A column of a batch is an array, nested as deep
 * as it has axes, or a tensor `{ type, dims, data }`.
 */

import { PithError, someOf } from "../errors.ts";
import { toFloat64 } from "../tensor/convert.ts";
import { dimsText, elementCount } from "../tensor/dims.ts";
import { type Batch, bitsOf, type DataType, type Dense } from "../tensor/types.ts";
import type { ModelInput } from "./bind.ts";
import { labelName, withLabel } from "./labels.ts";
import { isArray, nested, tensorOf } from "./nested.ts";
import { isDataset } from "./option.ts";
import { isObject } from "./plain-object.ts";
import { plainArrays, sampleCount } from "./rows.ts";
import { ofSamples, partsOf, readPart, type Source } from "./source.ts";
import type { BatchOptions, Dataset, Part } from "./types.ts";

/** What a module's function is called with. */
export interface ModuleOptions extends BatchOptions {
  readonly part: Part | undefined;
}

/**
 * The data set that a loaded module exports, or the part of it that is asked for.
 * @param inputs of the model: a column of such a name is no label.
 * @throws PithError E_DATA if it exports none, or not the part asked for.
 */
export async function fromModule(
  name: string,
  exports: Readonly<Record<string, unknown>>,
  part?: Part,
  inputs: readonly ModelInput[] = [],
): Promise<Dataset> {
  const source = moduleSource(name, exports, inputs);
  return readPart(source, source.divisible ? undefined : part);
}

/** What a loaded module exports: parts, a function that is asked for either part, or one data set. @throws as `fromModule` */
export function moduleSource(
  name: string,
  exports: Readonly<Record<string, unknown>>,
  inputs: readonly ModelInput[] = [],
): Source {
  const standard = exports.default;
  const named = isObject(standard) && !isDataset(standard) ? { ...standard, ...exports } : exports;
  const split = named.train !== undefined || named.test !== undefined;
  const whole = exports.batches ?? standard;
  if (!split && isDataset(whole)) return ofSamples(whole);
  const read = (part: Part | undefined) => async (): Promise<Dataset> => {
    const wanted = part ?? "test";
    const found = split ? named[wanted] : whole;
    if (isDataset(found)) return found;
    if (typeof found === "function") return fromFunction(name, found, part, inputs);
    const names = Object.keys(exports);
    const others = found === undefined ? `only ${someOf(names) || "nothing"}` : `but ${describe(found)}`;
    throw new PithError("E_DATA", `${name} exports no ${split ? `part "${wanted}"` : "data set"}, ${others}.`, {
      hint: "Export `train` and `test`, or `batches` or a default: a data set (memory(name, columns) makes one), or a generator of batches: function* () { yield { input: [[0.1, 0.2], [0.3, 0.4]], label: [0, 1] }; }",
    });
  };
  const parts = partsOf(split ? named : { train: whole, test: whole }, (_, part) => read(part));
  return { owner: name, usual: read(undefined), parts, divisible: false };
}

async function fromFunction(
  name: string,
  found: CallableFunction,
  part: Part | undefined,
  inputs: readonly ModelInput[],
): Promise<Dataset> {
  const call = (options: ModuleOptions): unknown => Reflect.apply(found, undefined, [options]);
  const first = await call({ part, size: 64 });
  if (isDataset(first)) return first;
  requireIterable(first, name);
  return {
    name,
    count: undefined,
    async *batches(options) {
      const batches = requireIterable(await call({ ...options, part }), name);
      let index = 0;
      for await (const batch of batches) yield checkedBatch(batch, `${name}, batch ${++index}`, inputs);
    },
  };
}

function requireIterable(value: unknown, name: string): AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value === "object" && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value)) {
    return value as AsyncIterable<unknown> | Iterable<unknown>;
  }
  throw new PithError(
    "E_DATA",
    `${name}: its function should return a data set or yield batches, it returned ${describe(value)}.`,
  );
}

function checkedBatch(value: unknown, place: string, inputs: readonly ModelInput[]): Batch {
  if (!isObject(value)) throw new PithError("E_DATA", `${place}: expected named tensors, got ${describe(value)}.`);
  const label = labelName(Object.keys(value), inputs);
  const tensors = Object.entries(value).map(([name, given]) => {
    const at = `${place}, "${name}"`;
    if (isArray(given)) return [name, columnOf(given, at, name === label)] as const;
    checkTensor(given, at);
    return [name, given] as const;
  });
  const batch = withLabel(plainArrays(Object.fromEntries(tensors)), place, inputs);
  sampleCount(batch, place);
  return batch;
}

/** Whole numbers are classes as a label; elsewhere all batches have one type, and what an input takes is made of it. */
function columnOf(given: ArrayLike<unknown>, place: string, isLabel: boolean): Dense {
  const tensor = tensorOf(nested(given, place), place);
  if (tensor.dims[0] === 0) throw new PithError("E_DATA", `${place}: the array is empty.`);
  if (tensor.type === "string" || isLabel) return tensor;
  return { type: "float64", dims: tensor.dims, data: toFloat64(tensor) };
}

function checkTensor(value: unknown, place: string): asserts value is Dense {
  const { type, dims, data }: { type?: unknown; dims?: unknown; data?: unknown } = Object(value);
  const known = typeof type === "string" && (type === "string" || Object.hasOwn(bitsOf, type));
  const shaped = Array.isArray(dims) && dims.every((dim) => Number.isInteger(dim) && dim >= 0);
  if (!known || !shaped || !(ArrayBuffer.isView(data) || Array.isArray(data))) {
    throw new PithError(
      "E_DATA",
      `${place}: expected an array, nested as deep as it has axes, or { type, dims, data }, got ${describe(value)}.`,
    );
  }
  const length = "length" in data ? Number(data.length) : 0;
  const bits = type === "string" ? 8 : bitsOf[type as Exclude<DataType, "string">];
  const expected = type === "complex64" || type === "complex128" ? 2 * elementCount(dims) : elementCount(dims);
  if (bits < 8 || length === expected) return;
  throw new PithError("E_DATA", `${place}: ${type}${dimsText(dims)} takes ${expected} elements, got ${length}.`);
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  const isNamed = typeof value === "object" && value !== null && !isArray(value);
  return isNamed ? `{ ${Object.keys(value).slice(0, 5).join(", ")} }` : String(value);
}
