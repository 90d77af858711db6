/**
 * Compares the inferred type of every value of a model with that of ONNX Runtime: all values that nodes of the main graph produce become
 * outputs, and the model runs once. The types that the file declares are removed first, so that only inference is tested.
 */
import { infer } from "../../src/core/analysis/infer.ts";
import type { Engine } from "../../src/core/engine/index.ts";
import { internalTypes } from "../../src/core/engine/screen-model.ts";
import { allGraphs, nodeText, type Value, type ValueType } from "../../src/core/graph/graph.ts";
import { type Container, isContainer } from "../../src/core/graph/graph-elements.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { toNumbers } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import {
  type Dim,
  dimsText,
  dimText,
  dimValue,
  elementCount,
  isSymbolic,
  isUnknownDim,
  symbol,
} from "../../src/core/tensor/dims.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import { type ObservedTypes, observeTypes } from "./observe-types.ts";

export interface TypeCheck {
  /** The operator that produces the value. */
  readonly op: string;
  readonly value: string;
  readonly answer: "equal" | "stored" | "data" | "unknown" | "wrong" | "hidden";
  /** The difference, or the reason why the type is not known. */
  readonly text: string;
}

/** Returns the sizes of named dimensions from the inputs. */
function sizesOf(model: Model, feeds: Batch): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const value of model.graph.feeds) {
    value.type?.dims?.forEach((dim: Dim, axis) => {
      if (isSymbolic(dim)) sizes[dim.text] = feeds[value.name]?.dims[axis] ?? 0;
    });
  }
  return sizes;
}

/** Stores inputs whose type JavaScript cannot feed in the model. Returns the other inputs. */
export function storeUnfeedable(model: Model, feeds: Batch): Batch {
  const rest: Record<string, Dense> = {};
  for (const value of model.graph.feeds) {
    const dense = feeds[value.name];
    if (dense === undefined) continue;
    if (internalTypes.has(dense.type)) store(value, dense);
    else rest[value.name] = dense;
  }
  return rest;
}

/** Makes small inputs constants, as shapes, axes and scales mostly are in real models. Returns the other inputs. */
export function storeSmall(model: Model, feeds: Batch): Batch {
  const rest: Record<string, Dense> = {};
  for (const value of model.graph.feeds) {
    const dense = feeds[value.name];
    if (dense === undefined) continue;
    if (dense.dims.length <= 1 && elementCount(dense.dims) <= 64) store(value, dense);
    else rest[value.name] = dense;
  }
  return rest;
}

function store(value: Value, dense: Dense): void {
  value.type = { type: dense.type, dims: dense.dims };
  value.tensor = inMemory(dense);
}

/** Names all input sizes except 0 and 1: only axes of the number 1 are known to broadcast and to squeeze. */
export function nameSizes(model: Model): void {
  for (const value of model.graph.feeds) {
    const { type } = value;
    if (type?.dims === undefined) continue;
    const named = type.dims.map((dim, axis) =>
      typeof dim === "number" && dim > 1 ? symbol(`${value.name.replaceAll(/\W/g, "_")}_axis${axis}`) : dim,
    );
    value.type = { type: type.type, dims: named };
  }
}

/** Runs the model without declared types and returns the type of every value. */
export async function observe(engine: Engine, model: Model, feeds: Batch): Promise<ObservedTypes> {
  const names = [...model.graph.nodes()].flatMap((node) => node.outputs.flatMap((value) => value?.name ?? []));
  return observeTypes(engine, undeclared(model), feeds, names);
}

function undeclared(given: Model): Model {
  const model = given.clone();
  for (const graph of allGraphs(model.graph)) {
    for (const value of graph.values()) if (value.producer !== undefined) value.type = undefined;
  }
  return model;
}

/**
 * Judges every value. "data": the rank is right, and each size that depends on the data has one name wherever it
 * recurs. "stored": set by callers if the type is equal after small inputs became constants. "hidden": the runtime cannot return it to JavaScript.
 */
export function judgeTypes(given: Model, feeds: Batch, observed: ObservedTypes): readonly TypeCheck[] {
  const model = undeclared(given);
  const inference = infer(model);
  const reasons = new Map(inference.misses.map(({ at, reason }) => [at, reason]));
  const values = [...model.graph.nodes()].flatMap((node) => node.outputs.flatMap((value) => value ?? []));
  const hidden = new Map(observed.misses.map(({ at, reason }) => [at, reason]));
  const sizes = sizesOf(model, feeds);
  return values.map((value): TypeCheck => {
    const node = value.producer;
    const op = `${node?.domain ? `${node.domain}.` : ""}${node?.op}`;
    const check = (answer: TypeCheck["answer"], text = ""): TypeCheck => ({ op, value: value.name, answer, text });
    const inferredType = inference.operand(value);
    const sequence = observed.sequences.get(value.name);
    if (sequence !== undefined) return judgeSequence(inferredType?.container, sequence, sizes, check);
    const truth = observed.types.get(value.name);
    if (truth?.dims === undefined) return check("hidden", hidden.get(value.name) ?? "did not come out");
    if (inferredType === undefined)
      return check("unknown", (node === undefined ? undefined : reasons.get(nodeText(node))) ?? "type not known");
    const judged = judgeTensor(inferredType, truth, sizes);
    if (judged.answer === "wrong" || judged.answer === "unknown") return check(judged.answer, judged.text);
    const wrong = wrongContents(inferredType.elements, observed.results[value.name], sizes);
    if (wrong !== undefined) return check("wrong", `${judged.text} holds ${wrong}`);
    return check(judged.answer, judged.text);
  });
}

interface Judged {
  readonly answer: TypeCheck["answer"];
  readonly text: string;
}

function judgeTensor(known: ValueType, truth: ValueType, sizes: Record<string, number>): Judged {
  const [inferredText, actualText] = [known, truth].map(({ type, dims }) => `${type}${dimsText(dims)}`);
  if (known.type !== truth.type) return { answer: "wrong", text: `${inferredText}, not ${actualText}` };
  if (known.dims === undefined) return { answer: "unknown", text: "rank not known" };
  if (known.dims.length !== truth.dims?.length) return { answer: "wrong", text: `${inferredText}, not ${actualText}` };
  let open = false;
  for (const [axis, dim] of known.dims.entries()) {
    const size = truth.dims[axis];
    const unknown = isUnknownDim(dim);
    if (unknown) open = true;
    const number = dimValue(dim, sizes);
    // The first occurrence of a size that depends on the data sets its number.
    if (number === undefined && unknown && isSymbolic(dim) && typeof size === "number") sizes[dim.text] = size;
    else if (number !== size)
      return { answer: "wrong", text: `${inferredText}, not ${actualText} (${dimText(dim)} = ${number})` };
  }
  return { answer: open ? "data" : "equal", text: `${inferredText}` };
}

/** Judges each element if inference knows the length of the sequence, else the common type of all elements. */
function judgeSequence(
  container: Container | undefined,
  truth: readonly ValueType[],
  sizes: Record<string, number>,
  check: (answer: TypeCheck["answer"], text?: string) => TypeCheck,
): TypeCheck {
  if (container?.kind !== "sequence") return check("unknown", "is a sequence");
  const { items } = container;
  if (items !== undefined && items.length !== truth.length)
    return check("wrong", `a sequence of ${items.length}, not ${truth.length}`);
  let answer: TypeCheck["answer"] = items === undefined ? "data" : "equal";
  for (const [index, type] of truth.entries()) {
    const elementType = items?.[index] ?? container.of;
    if (isContainer(elementType)) return check("wrong", "a sequence whose elements are not tensors");
    // A size in the common element type can differ between elements, so each element is judged with a copy of the sizes.
    const judged = judgeTensor(elementType, type, items === undefined ? { ...sizes } : sizes);
    if (judged.answer === "wrong") return check("wrong", `element ${index}: ${judged.text}`);
    if (judged.answer !== "equal") answer = "data";
  }
  return check(answer);
}

function wrongContents(
  elements: readonly Dim[] | undefined,
  result: Dense | undefined,
  sizes: Record<string, number>,
): string | undefined {
  if (elements === undefined || result === undefined) return undefined;
  const got = toNumbers(result);
  const inferredElements = elements.map((element, at) => {
    const number = dimValue(element, sizes);
    if (number === undefined && isSymbolic(element) && isUnknownDim(element)) sizes[element.text] = got[at] ?? 0;
    return number ?? got[at];
  });
  return String(inferredElements) === String(got) ? undefined : `${elements.map(dimText)}, not ${got}`;
}
