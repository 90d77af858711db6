/**
 * A user's ES module as a data set.
 *
 * It exports `train` and `test`, or `batches`, or a default: each a data set, or a function that returns one, or a generator of batches.
 * A function is called with `{ part, size, shuffle, dropLast }`, once for each pass over the data.
 */
import { PithError } from "../errors.ts";
import { bitsOf } from "../tensor/dense.ts";
import { dimsText, elementCount } from "../tensor/dims.ts";
import type { Batch, DataType, Dense } from "../tensor/types.ts";
import type { ModelInput } from "./bind.ts";
import { withLabel } from "./labels.ts";
import { isDataset } from "./option.ts";
import { sampleCount } from "./rows.ts";
import type { BatchOptions, Dataset, Part } from "./types.ts";

/** What a module's function is called with. */
export interface ModuleOptions extends BatchOptions {
  readonly part: Part | undefined;
}

/**
 * The data set that a loaded module exports.
 * @param inputs of the model: a column of such a name is no label.
 * @throws PithError E_DATA if it exports none, or not the part asked for.
 */
export async function fromModule(
  name: string,
  exports: Readonly<Record<string, unknown>>,
  part?: Part,
  inputs: readonly ModelInput[] = [],
): Promise<Dataset> {
  const standard = exports.default;
  const parts = isRecord(standard) && !isDataset(standard) ? { ...standard, ...exports } : exports;
  const split = parts.train !== undefined || parts.test !== undefined;
  const wanted = part ?? "test";
  const found = split ? parts[wanted] : (exports.batches ?? standard);
  if (isDataset(found)) return found;
  if (typeof found !== "function") {
    const names = Object.keys(exports);
    throw new PithError(
      "E_DATA",
      `${name} exports no ${split ? `part "${wanted}"` : "data set"}, only ${names.join(", ") || "nothing"}.`,
      {
        hint: "Export `train` and `test`, or `batches` or a default: a data set, or a generator of batches { input: { type, dims, data }, label: … }.",
      },
    );
  }
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

/** @throws PithError E_DATA with the tensor that is not well formed. */
function checkedBatch(value: unknown, place: string, inputs: readonly ModelInput[]): Batch {
  if (!isRecord(value)) throw new PithError("E_DATA", `${place}: expected named tensors, got ${describe(value)}.`);
  for (const [name, tensor] of Object.entries(value)) checkTensor(tensor, `${place}, "${name}"`);
  const batch = withLabel(value as Batch, place, inputs);
  sampleCount(batch, place);
  return batch;
}

function checkTensor(value: unknown, place: string): asserts value is Dense {
  const { type, dims, data } = isRecord(value) ? value : { type: undefined, dims: undefined, data: undefined };
  const known = typeof type === "string" && (type === "string" || Object.hasOwn(bitsOf, type));
  const shaped = Array.isArray(dims) && dims.every((dim) => Number.isInteger(dim) && dim >= 0);
  if (!known || !shaped || !(ArrayBuffer.isView(data) || Array.isArray(data))) {
    throw new PithError("E_DATA", `${place}: expected a tensor { type, dims, data }, got ${describe(value)}.`);
  }
  const length = "length" in data ? Number(data.length) : 0;
  const bits = type === "string" ? 8 : bitsOf[type as Exclude<DataType, "string">];
  const expected = type === "complex64" || type === "complex128" ? 2 * elementCount(dims) : elementCount(dims);
  if (bits < 8 || length === expected) return;
  throw new PithError("E_DATA", `${place}: ${type}${dimsText(dims)} takes ${expected} elements, got ${length}.`);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function describe(value: unknown): string {
  if (!isRecord(value)) return value === undefined ? "nothing" : String(value);
  return `{ ${Object.keys(value).slice(0, 5).join(", ")} }`;
}
