/**
 * Replaces a layer by a chain of low-rank layers, W ≈ U V:
 *
 *     y = Gemm(x, fc.weight)    →    h = Gemm(x, fc.down.weight), y = Gemm(h, fc.up.weight)
 */
import { type Inference, type Layer, transposedMatrixOf, weightElements, weightMatrices } from "#analysis";
import type { Dense, FloatType, Model, Value } from "#ir";
import { emitInto, fromNumbers, inMemory, isFloat, substitute, toFloat64 } from "#ir";
import type { ChainPart } from "../../core/ops/entry.ts";
import { type Part, type PartShape, type Problem, product } from "./decomposition.ts";

/** How a layer reads its stored weight. */
export interface WeightView {
  /** The stored value, before any transposition. */
  readonly source: Value;
  readonly isTransposed: boolean;
  /** Axis of the stored value that counts the layer's outputs. */
  readonly outputAxis: number;
}

export function weightViewOf({ effective, role }: Layer, inference: Inference): WeightView {
  let [source, isTransposed] = [effective, false];
  for (;;) {
    const before = transposedMatrixOf(source, inference);
    if (before === undefined) return { source, isTransposed, outputAxis: isTransposed ? 1 - role.out : role.out };
    [source, isTransposed] = [before, !isTransposed];
  }
}

/** Returns the matrices to decompose, one per group of channels, and the sizes that determine the cost of a chain. */
export function problemOf(layer: Layer, weight: Dense, tools: Pick<Problem, "multiply" | "seed" | "inputs">): Problem {
  const { node, role } = layer;
  const { axes, strides } = role.window ?? { axes: [], strides: [] };
  const sizes = (dims: readonly unknown[] = [], channels: number) => dims.slice(channels + 1);
  const before = sizes(node.inputs[role.data]?.type?.dims, role.dataAxis);
  const after = sizes(node.outputs[0]?.type?.dims, role.outputAxis);
  return {
    matrices: weightMatrices(role, weight.dims, toFloat64(weight)),
    kernel: axes.map((axis) => weight.dims[axis] ?? 1),
    // Falls back to strides if sizes are unknown.
    reduction: strides.map((stride, axis) => {
      const [from, to] = [before[axis], after[axis]];
      return typeof from === "number" && typeof to === "number" && to > 0 ? from / to : stride;
    }),
    lookup: role.kind === "lookup",
    ...tools,
  };
}

/** Returns the shape of the weight of a part, one layer of the chain. @param dims shape of the layer's weight. */
function partDims(
  { role }: Layer,
  dims: readonly number[],
  { rows, columns, window }: Omit<PartShape, "name">,
): readonly number[] {
  const axes = role.window?.axes ?? [];
  const inputs = columns / product(window.map((axis) => dims[axes[axis] ?? 0] ?? 1));
  return dims.map((size, axis) => {
    const channels = axis === role.out ? rows : axis === role.in ? inputs : undefined;
    if (channels !== undefined) return axis === 0 ? channels * role.groups : channels;
    return window.includes(axes.indexOf(axis)) ? size : 1;
  });
}

/** Returns the float type of the factors: that of the weight, or of the data for weights in packed formats. */
export function factorType({ effective, node, role }: Layer): FloatType {
  const type = (role.packed === undefined ? effective : node.inputs[role.data])?.type?.type;
  return type !== undefined && isFloat(type) ? type : "float32";
}

/** Stores the matrices of each part as a weight in the layout of the layer's operator. */
export function storeParts(
  model: Model,
  layer: Layer,
  dims: readonly number[],
  parts: readonly Part[],
): readonly ChainPart[] {
  const { name, role, weight } = layer;
  const type = factorType(layer);
  const store = ({ name: part, matrices, window }: Part): ChainPart => {
    const [{ rows, columns } = { rows: 0, columns: 0 }] = matrices;
    const shape = partDims(layer, dims, { rows, columns, window });
    const tensor = inMemory(fromNumbers(type, shape, weightElements(role, shape, matrices)));
    const partWeight = model.graph.addTensor(`${name}.${part}.weight`, tensor, weight.role);
    return { name: `${name}.${part}`, weight: partWeight, window };
  };
  return parts.map(store);
}

/** @param decomposedView view of the layer whose weight was decomposed. If this layer reads it transposed, (U V)ᵀ = Vᵀ Uᵀ reverses the chain. */
export function replaceByChain(
  model: Model,
  { node, role }: Layer,
  parts: readonly ChainPart[],
  view?: WeightView,
  decomposedView = view,
): void {
  const [output] = node.outputs;
  const emit = emitInto(model, { before: node, by: "factorize" });
  const orientedParts =
    view?.isTransposed === decomposedView?.isTransposed
      ? parts
      : parts.map((part) => ({ ...part, weight: emit.Transpose([part.weight], { perm: [1, 0] }) }));
  const replacement = role.chain?.(
    emit,
    node.inputs,
    view?.outputAxis === decomposedView?.outputAxis ? orientedParts : orientedParts.toReversed(),
  );
  if (output === undefined || replacement === undefined) return;
  replacement.type = output.type;
  substitute(output, replacement);
}
