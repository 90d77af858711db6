/** Rejects models that the runtime cannot handle, such as inputs of types that JavaScript cannot receive. */
import type { InferenceSession } from "onnxruntime-node";
import type { DataType, Model } from "#graph";
import {
  allValues,
  bitsOf,
  dimsText,
  elementCount,
  emitInto,
  fixedDims,
  hasDistinctNames,
  makeNamesDistinct,
  type PithError,
  typeOfCode,
  unsupportedError,
  whyNotExpanded,
} from "#graph";
import { machineMemory } from "#platform";

/** Element types of inputs and outputs that ONNX Runtime's JavaScript interface cannot pass. */
export const internalTypes: ReadonlySet<string> = new Set(
  Object.keys(bitsOf).filter((type) => /^(u?int[24]|float4|float8|bfloat16|complex)/.test(type)),
);

export function requirePassableType(name: string, type: string | undefined): void {
  if (type !== undefined && internalTypes.has(type)) throw typeError(`"${name}"`, type);
}

/** Converts a runtime message such as `Unsupported data type: 16` to an error. */
export function unsupportedTypeError(message: string): PithError | undefined {
  const code = /^unsupported data type: (\d+)\.?$/i.exec(message.trim())?.[1];
  const type = code === undefined ? undefined : typeOfCode(Number(code));
  return type === undefined ? undefined : typeError("An input or output", type);
}

function typeError(subject: string, type: string): PithError {
  return unsupportedError(`${subject} is ${type}: ONNX Runtime's JavaScript interface cannot carry it.`, {
    hint: "Inside a graph the type is fine: put a Cast, or a DequantizeLinear, before this output or after this input.",
  });
}

/** @throws PithError E_UNSUPPORTED if a value is larger than the machine's memory. */
export function requireMemory(name: string, type: DataType, dims: readonly number[]): void {
  const bytes = elementCount(dims) * (type === "string" ? 1 : bitsOf[type] / 8);
  const memory = machineMemory();
  if (bytes > memory)
    throw unsupportedError(
      `The model cannot be run: "${name}" is ${type}${dimsText(dims)}, ${gigabytes(bytes)}, and this machine has ${gigabytes(memory)} of memory.`,
    );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toLocaleString("en", { maximumSignificantDigits: 3 })} GB`;
}

/** Checks a model before it is loaded. @throws PithError E_UNSUPPORTED */
export function screenModel(model: Model): void {
  const reason = whyNotExpanded(model);
  if (reason !== undefined)
    throw unsupportedError(`The model cannot be run: ${reason}, which ONNX Runtime does when it loads it.`, {
      hint: "Export it again without functions that call each other.",
    });
  for (const value of [...model.graph.feeds, ...model.graph.outputs]) requirePassableType(value.name, value.type?.type);
  for (const { name, type, tensor } of allValues(model.graph)) {
    const dims = tensor === undefined ? fixedDims(type?.dims) : undefined;
    if (type !== undefined && dims !== undefined) requireMemory(name, type.type, dims);
  }
}

/** Rejects a loaded model by the output types that the runtime inferred. @throws PithError E_UNSUPPORTED */
export function screenSession(session: InferenceSession): void {
  for (const output of session.outputMetadata) if (output.isTensor) requirePassableType(output.name, output.type);
}

/** Adds an empty sequence as first output to a copy, if its opset has sequences: onnxruntime-node then does not copy outputs from buffers. */
export function addListOutput(model: Model): Model {
  const copy = model.clone();
  if ((model.opsets.get("") ?? 0) < minSequenceOpset) return copy;
  const list = emitInto(copy, { by: "engine" }).SequenceEmpty([]);
  copy.graph.setOutputs([list, ...copy.graph.outputs]);
  return copy;
}

const minSequenceOpset = 11;

/** Returns the model, or a copy in which node and graph names are distinct, as the runtime requires. */
export function ensureDistinctNames(model: Model): Model {
  if (hasDistinctNames(model)) return model;
  const copy = model.clone();
  makeNamesDistinct(copy);
  return copy;
}
