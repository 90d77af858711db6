/**
 * What is inferred of every value of a model beside what ONNX Runtime returns: all values that nodes of the main graph produce are made
 * outputs and the model runs once. What the file declares of them is taken away first, so that nothing but inference speaks.
 */
import { infer } from "../../src/core/analysis/infer.ts";
import type { Engine } from "../../src/core/engine/index.ts";
import { insideOnly } from "../../src/core/engine/screen.ts";
import { type Container, isContainer } from "../../src/core/graph/elements.ts";
import { allGraphs, describe, type Value, type ValueType } from "../../src/core/graph/graph.ts";
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
  /** What differs, or why it is not known. */
  readonly text: string;
}

/** What names of dimensions stand for, by what was fed. */
export function sizesOf(model: Model, feeds: Batch): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const value of model.graph.feeds) {
    value.type?.dims?.forEach((dim: Dim, axis) => {
      if (isSymbolic(dim)) sizes[dim.text] = feeds[value.name]?.dims[axis] ?? 0;
    });
  }
  return sizes;
}

/** Inputs of which JavaScript cannot feed the elements are stored in the model instead. */
export function storeUnfeedable(model: Model, feeds: Batch): Batch {
  const rest: Record<string, Dense> = {};
  for (const value of model.graph.feeds) {
    const dense = feeds[value.name];
    if (dense === undefined) continue;
    if (insideOnly.has(dense.type)) store(value, dense);
    else rest[value.name] = dense;
  }
  return rest;
}

/** Small inputs become constants, as shapes, axes and scales mostly are in real models; the other feeds. */
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

/** Names for all sizes of what is fed, 0 and 1 excepted: axes of one element broadcast and can be squeezed, which is known of numbers only. */
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

/** What every value of a model turns out to be. What the file declares of them plays no part. */
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
 * Judges every value. "data": the rank is right, and sizes that only the data decide have names of their own, the same wherever they
 * recur; "stored": given by a caller who found it equal once small inputs were constants; "hidden": the runtime cannot show it to JavaScript.
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
    const known = inference.operand(value);
    const sequence = observed.sequences.get(value.name);
    if (sequence !== undefined) return judgeSequence(known?.container, sequence, sizes, check);
    const truth = observed.types.get(value.name);
    if (truth?.dims === undefined) return check("hidden", hidden.get(value.name) ?? "did not come out");
    if (known === undefined)
      return check("unknown", (node === undefined ? undefined : reasons.get(describe(node))) ?? "type not known");
    const judged = judgeTensor(known, truth, sizes);
    if (judged.answer === "wrong" || judged.answer === "unknown") return check(judged.answer, judged.text);
    const wrong = wrongContents(known.elements, observed.results[value.name], sizes);
    if (wrong !== undefined) return check("wrong", `${judged.text} holds ${wrong}`);
    return check(judged.answer, judged.text);
  });
}

interface Judged {
  readonly answer: TypeCheck["answer"];
  readonly text: string;
}

function judgeTensor(known: ValueType, truth: ValueType, sizes: Record<string, number>): Judged {
  const [said, got] = [known, truth].map(({ type, dims }) => `${type}${dimsText(dims)}`);
  if (known.type !== truth.type) return { answer: "wrong", text: `${said}, not ${got}` };
  if (known.dims === undefined) return { answer: "unknown", text: "rank not known" };
  if (known.dims.length !== truth.dims?.length) return { answer: "wrong", text: `${said}, not ${got}` };
  let open = false;
  for (const [axis, dim] of known.dims.entries()) {
    const size = truth.dims[axis];
    const unknown = isUnknownDim(dim);
    if (unknown) open = true;
    const number = dimValue(dim, sizes);
    // A size that only the data decide is what it first turned out to be.
    if (number === undefined && unknown && isSymbolic(dim) && typeof size === "number") sizes[dim.text] = size;
    else if (number !== size) return { answer: "wrong", text: `${said}, not ${got} (${dimText(dim)} = ${number})` };
  }
  return { answer: open ? "data" : "equal", text: `${said}` };
}

/** Element by element, where the inference knows how many there are; else what it says of all of them. */
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
    const known = items?.[index] ?? container.of;
    if (isContainer(known)) return check("wrong", "a sequence of what is no tensor");
    // What all elements have in common may be a size that differs from one to the next.
    const judged = judgeTensor(known, type, items === undefined ? { ...sizes } : sizes);
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
  const said = elements.map((element, at) => {
    const number = dimValue(element, sizes);
    if (number === undefined && isSymbolic(element) && isUnknownDim(element)) sizes[element.text] = got[at] ?? 0;
    return number ?? got[at];
  });
  return String(said) === String(got) ? undefined : `${elements.map(dimText)}, not ${got}`;
}
