/**
 * Reads a user's ES module as a dataset. The module exports `train` and `test`, or `batches`, or a default: a dataset, a function that returns one,
 * or a generator of batches. A column of a batch is a nested array or a tensor `{ type, dims, data }`.
 */

import type { BatchOptions, Dataset, IndexedDataset, ModelInput, Part } from "#batches";
import { hasPendingBatches, isDataset, isIndexed, plainArrays, sampleCount } from "#batches";
import type { Batch, DataType, Dense } from "#ir";
import {
  bitsOf,
  dataError,
  dimsText,
  elementCount,
  errorMessage,
  failureOfCode,
  isObject,
  toFloat64,
  truncateList,
} from "#ir";
import { labelName, withLabel } from "../files/labels.ts";
import { flattenArray, isArray, tensorOf } from "../files/nested.ts";
import { mapParts, type Source, sourceOfSamples } from "./source.ts";

export interface ModuleOptions extends BatchOptions {
  readonly part: Part | undefined;
}

/** @param inputs The inputs of the model: a column with the name of an input is not a label. */
export function moduleSource(
  name: string,
  exports: Readonly<Record<string, unknown>>,
  inputs: readonly ModelInput[] = [],
): Source {
  try {
    return sourceOf(name, exports, inputs);
  } catch (cause) {
    throw failureOfCode("E_DATA", name, cause);
  }
}

function sourceOf(name: string, exports: Readonly<Record<string, unknown>>, inputs: readonly ModelInput[]): Source {
  const defaultExport = exports.default;
  const namedExports =
    isObject(defaultExport) && !isDataset(defaultExport) ? { ...defaultExport, ...exports } : exports;
  const isSplit = namedExports.train !== undefined || namedExports.test !== undefined;
  const singleExport = exports.batches ?? defaultExport;
  if (!isSplit && isDataset(singleExport)) return sourceOfSamples(checkedDataset(name, singleExport));
  const read = (part: Part | undefined) => async (): Promise<Dataset> => {
    const key = part ?? "test";
    const value = isSplit ? namedExports[key] : singleExport;
    if (isDataset(value)) return checkedDataset(name, value);
    if (typeof value === "function" && !isClass(value)) return callExport(name, value, part, inputs);
    const contents =
      value === undefined ? `only ${truncateList(Object.keys(exports)) || "nothing"}` : `but ${describeValue(value)}`;
    throw dataError(`${name} exports no ${isSplit ? `part "${key}"` : "data set"}, ${contents}.`, {
      hint: "Export the names train and test, or batches, or a default: a data set (memory(name, columns) makes one), or a generator of batches: function* () { yield { input: [[0.1, 0.2], [0.3, 0.4]], label: [0, 1] }; }",
    });
  };
  const parts = mapParts(isSplit ? namedExports : { train: singleExport, test: singleExport }, (_, part) => read(part));
  return { owner: name, openDefault: read(undefined), parts, isDivisible: false };
}

/** @param inputs tell the label column from the input columns; undefined if the label column is already named "label". @throws PithError E_DATA. */
async function* guardedBatches(
  name: string,
  createBatches: () => unknown,
  inputs: readonly ModelInput[] | undefined,
): AsyncGenerator<Batch> {
  let index = 0;
  try {
    for await (const batch of requireIterable(await createBatches(), name))
      yield checkedBatch(batch, `${name}, batch ${++index}`, inputs);
  } catch (cause) {
    throw failureOfCode("E_DATA", name, cause);
  }
}

async function callExport(
  name: string,
  code: CallableFunction,
  part: Part | undefined,
  inputs: readonly ModelInput[],
): Promise<Dataset> {
  const call = (options: ModuleOptions): unknown => Reflect.apply(code, undefined, [options]);
  let firstResult: unknown;
  try {
    firstResult = await call({ part, size: 64 });
    if (isDataset(firstResult)) return checkedDataset(name, firstResult);
  } catch (cause) {
    throw failureOfCode("E_DATA", name, cause);
  }
  requireIterable(firstResult, name);
  return {
    name,
    count: undefined,
    batches: (options) => guardedBatches(name, () => call({ ...options, part }), inputs),
  };
}

/** If a module exports one object for both splits, the dataset is the same and counts as not split. */
const checkedDatasets = new WeakMap<Dataset, Dataset>();

/** Returns registered datasets (`hasPendingBatches`) unchanged. */
function checkedDataset(module: string, dataset: Dataset): Dataset {
  if (hasPendingBatches(dataset)) return dataset;
  const checkedVersion = checkedDatasets.get(dataset) ?? withChecks(module, dataset);
  checkedDatasets.set(dataset, checkedVersion);
  return checkedVersion;
}

function withChecks(module: string, dataset: Dataset): Dataset {
  const { name, count, classes } = dataset;
  const batches: Dataset["batches"] = (options) => guardedBatches(module, () => dataset.batches(options), undefined);
  if (!isIndexed(dataset)) return { name, count, classes, batches };
  const gather: IndexedDataset["gather"] = async (...place) => {
    try {
      return checkedBatch(await dataset.gather(...place), module, undefined);
    } catch (cause) {
      throw failureOfCode("E_DATA", module, cause);
    }
  };
  return Object.assign<Dataset, Pick<IndexedDataset, "gather">>({ name, count, classes, batches }, { gather });
}

function requireIterable(value: unknown, name: string): AsyncIterable<unknown> | Iterable<unknown> {
  if (typeof value === "object" && value !== null && (Symbol.asyncIterator in value || Symbol.iterator in value)) {
    return value as AsyncIterable<unknown> | Iterable<unknown>;
  }
  throw dataError(`${name}: its function must return a data set or yield batches, got ${describeValue(value)}.`);
}

/** Returns whether a function is a class, whose prototype is not writable. */
const isClass = (value: object): boolean => Object.getOwnPropertyDescriptor(value, "prototype")?.writable === false;

function checkedBatch(value: unknown, location: string, inputs: readonly ModelInput[] | undefined): Batch {
  if (!isObject(value)) throw dataError(`${location}: expected named tensors, got ${describeValue(value)}.`);
  const label = inputs === undefined ? "label" : labelName(Object.keys(value), inputs);
  const tensors = Object.entries(value).map(([name, column]) => {
    const columnText = `${location}, "${name}"`;
    if (isArray(column)) return [name, columnOf(column, columnText, name === label)] as const;
    checkTensor(column, columnText);
    return [name, column] as const;
  });
  const columns = plainArrays(Object.fromEntries(tensors));
  const batch = inputs === undefined ? columns : withLabel(columns, location, inputs);
  sampleCount(batch, location);
  return batch;
}

/** Converts integer labels to int64, other labels to float32, inputs to float64, so that all batches have one type before they are bound. */
function columnOf(array: ArrayLike<unknown>, location: string, isLabel: boolean): Dense {
  const tensor = tensorOf(flattenArray(array, location), location);
  if (tensor.dims[0] === 0) throw dataError(`${location}: the array is empty.`);
  if (tensor.type === "string" || isLabel) return tensor;
  return { type: "float64", dims: tensor.dims, data: toFloat64(tensor) };
}

function checkTensor(value: unknown, location: string): asserts value is Dense {
  const { type, dims, data }: { type?: unknown; dims?: unknown; data?: unknown } = Object(value);
  const isType = typeof type === "string" && (type === "string" || Object.hasOwn(bitsOf, type));
  const isShape = Array.isArray(dims) && dims.every((dim) => Number.isInteger(dim) && dim >= 0);
  if (!isType || !isShape || !(ArrayBuffer.isView(data) || Array.isArray(data))) {
    throw dataError(`${location}: expected a nested array or { type, dims, data }, got ${describeValue(value)}.`);
  }
  const length = "length" in data ? Number(data.length) : 0;
  const bits = type === "string" ? 8 : bitsOf[type as Exclude<DataType, "string">];
  const expectedCount = type === "complex64" || type === "complex128" ? 2 * elementCount(dims) : elementCount(dims);
  if (bits < 8 || length === expectedCount) return;
  throw dataError(`${location}: ${type}${dimsText(dims)} takes ${expectedCount} elements, got ${length}.`);
}

function describeValue(value: unknown): string {
  if (value === undefined) return "nothing";
  const isPlainObject = typeof value === "object" && value !== null && !isArray(value);
  if (isPlainObject) return `{ ${Object.keys(value).slice(0, 5).join(", ")} }`;
  return typeof value === "function" ? (isClass(value) ? "a class" : "a function") : errorMessage(value);
}
