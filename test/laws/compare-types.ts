/**
 * What is inferred of every value of a model beside what ONNX Runtime returns: all values that nodes of the main graph produce are made
 * outputs and the model runs once. What the file declares of them is taken away first, so that nothing but inference speaks.
 */
import { infer } from "../../src/analysis/infer.ts";
import type { Engine } from "../../src/engine/index.ts";
import { insideOnly, observeTypes } from "../../src/evaluate/observe-types.ts";
import { allGraphs, type Value } from "../../src/graph/graph.ts";
import type { Model } from "../../src/graph/model.ts";
import { toNumbers } from "../../src/tensor/convert.ts";
import { inMemory } from "../../src/tensor/dense.ts";
import {
  type Dim,
  dimsText,
  dimText,
  dimValue,
  elementCount,
  isSymbolic,
  isUnknownDim,
} from "../../src/tensor/dims.ts";
import type { Batch, Dense } from "../../src/tensor/types.ts";

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

/**
 * Judges every value. "data": the rank is right, and sizes that only the data decide have names of their own, the same wherever they
 * recur; "stored": given by a caller who found it equal once small inputs were constants; "hidden": the runtime cannot show it to JavaScript.
 */
export async function compareTypes(engine: Engine, given: Model, feeds: Batch): Promise<readonly TypeCheck[]> {
  const model = given.clone();
  for (const graph of allGraphs(model.graph)) {
    for (const value of graph.values()) if (value.producer !== undefined) value.type = undefined;
  }
  const inference = infer(model);
  const reasons = new Map(inference.misses.map(({ at, reason }) => [at, reason]));
  const values = [...model.graph.nodes()].flatMap((node) => node.outputs.flatMap((value) => value ?? []));
  const names = values.map(({ name }) => name);
  const { types, results, misses } = await observeTypes(engine, model, feeds, names);
  const hidden = new Map(misses.map(({ at, reason }) => [at, reason]));
  const sizes = sizesOf(model, feeds);
  return values.map((value): TypeCheck => {
    const op = `${value.producer?.domain ? `${value.producer.domain}.` : ""}${value.producer?.op}`;
    const check = (answer: TypeCheck["answer"], text = ""): TypeCheck => ({ op, value: value.name, answer, text });
    const truth = types.get(value.name);
    const known = inference.operand(value);
    if (truth?.dims === undefined) return check("hidden", hidden.get(value.name) ?? "did not come out");
    const got = `${truth.type}${dimsText(truth.dims)}`;
    if (known === undefined) {
      const name = value.producer?.name || value.name;
      const [, reason] = [...reasons].find(([at]) => at?.endsWith(`"${name}"`)) ?? [];
      return check("unknown", reason ?? "type not known");
    }
    const said = `${known.type}${dimsText(known.dims)}`;
    if (known.type !== truth.type) return check("wrong", `${said}, not ${got}`);
    if (known.dims === undefined) return check("unknown", "rank not known");
    if (known.dims.length !== truth.dims.length) return check("wrong", `${said}, not ${got}`);
    let open = false;
    for (const [axis, dim] of known.dims.entries()) {
      const size = truth.dims[axis];
      const unknown = isUnknownDim(dim);
      if (unknown) open = true;
      const number = dimValue(dim, sizes);
      // A size that only the data decide is what it first turned out to be.
      if (number === undefined && unknown && isSymbolic(dim) && typeof size === "number") sizes[dim.text] = size;
      else if (number !== size) return check("wrong", `${said}, not ${got} (${dimText(dim)} = ${number})`);
    }
    const wrong = wrongContents(known.elements, results[value.name], sizes);
    if (wrong !== undefined) return check("wrong", `${said} holds ${wrong}`);
    return open ? check("data", said) : check("equal");
  });
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
