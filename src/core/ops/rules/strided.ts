/**
 * A rule that replaces a Gather of all elements of a flat tensor, in storage order, by a Reshape. PyTorch exports such an `as_strided` as follows:
 *      flat = Reshape(x, [-1])
 *      indices = Range(0, batch) · 768 + [0, 1, …, 767]        →    y = x
 *      y = Gather(flat, indices)
 */
import { type Dim, multiplyDims, sameDims, toNumbers, type Value } from "#graph";
import { constantIntegersOf, wrapAxis } from "../shared/attributes.ts";
import { range } from "../shared/rules.ts";
import { reshapeTarget } from "./layout.ts";
import { dimsOf, emitNamed, type Pair, type PairScope } from "./rule.ts";

/** An integer tensor whose element at position i is offset + Σ steps[k] · i[k]. Steps along an axis of length 1 are 0. */
interface Grid {
  readonly offset: number;
  readonly steps: readonly number[];
}

/** The maximum depth, in nodes, of the computation of indices. */
const maxNodes = 32;

/** Returns the grid that a value and at most `depth` levels of nodes before it compute. Undefined if the value is not a grid. */
function gridOf(scope: PairScope, value: Value | undefined, depth = maxNodes): Grid | undefined {
  const operand = value && scope.operand(value);
  const dims = operand?.dims;
  if (value === undefined || dims === undefined || depth === 0) return undefined;
  const stored = value.tensor?.small;
  const numbers = constantIntegersOf(operand) ?? (stored?.type === "int64" ? toNumbers(stored) : undefined);
  if (numbers !== undefined) return gridOfNumbers(numbers, dims);
  const { producer } = value;
  if (producer === undefined || producer.domain !== "") return undefined;
  const [first, second, third] = producer.inputs;
  const constant = (input: Value | undefined): number | undefined => {
    const [number, ...otherNumbers] = (input && constantIntegersOf(scope.operand(input))) ?? [];
    return otherNumbers.length === 0 ? number : undefined;
  };
  switch (producer.op) {
    case "Range": {
      const [offset, step] = [constant(first), constant(third)];
      return offset === undefined || step === undefined ? undefined : { offset, steps: [step] };
    }
    case "Mul": {
      const [factor, other] = constant(second) === undefined ? [constant(first), second] : [constant(second), first];
      const grid = factor === undefined ? undefined : gridOf(scope, other, depth - 1);
      if (factor === undefined || grid === undefined || grid.steps.length !== dims.length) return undefined;
      return { offset: factor * grid.offset, steps: grid.steps.map((step) => factor * step) };
    }
    case "Add": {
      const parts = [gridOf(scope, first, depth - 1), gridOf(scope, second, depth - 1)];
      const steps = dims.map(() => 0);
      let offset = 0;
      for (const part of parts) {
        if (part === undefined) return undefined;
        offset += part.offset;
        const missingAxes = dims.length - part.steps.length;
        for (const [axis, step] of part.steps.entries())
          steps[axis + missingAxes] = (steps[axis + missingAxes] ?? 0) + step;
      }
      return { offset, steps };
    }
    case "Unsqueeze": {
      const grid = gridOf(scope, first, depth - 1);
      const axes = second && constantIntegersOf(scope.operand(second));
      if (grid === undefined || axes === undefined) return undefined;
      const addedAxes = axes.map((axis) => wrapAxis(axis, dims.length));
      const keptAxes = range(dims.length).filter((axis) => !addedAxes.includes(axis));
      return { offset: grid.offset, steps: dims.map((_, axis) => grid.steps[keptAxes.indexOf(axis)] ?? 0) };
    }
    default:
      return undefined;
  }
}

function gridOfNumbers(numbers: readonly number[], dims: readonly Dim[]): Grid | undefined {
  const [offset] = numbers;
  if (offset === undefined) return undefined;
  const strides = stridesOf(dims);
  if (strides === undefined) return undefined;
  const steps = dims.map((size, axis) => (size === 1 ? 0 : (numbers[strides[axis] ?? 0] ?? 0) - offset));
  const isGrid = numbers.every((number, index) => {
    let expected = offset;
    let remainder = index;
    for (const [axis, stride] of strides.entries()) {
      expected += (steps[axis] ?? 0) * Math.floor(remainder / stride);
      remainder %= stride;
    }
    return number === expected;
  });
  return isGrid ? { offset, steps } : undefined;
}

function stridesOf(dims: readonly Dim[]): readonly number[] | undefined {
  const strides: number[] = [];
  let stride = 1;
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    const size = dims[axis];
    if (axis > 0 && typeof size !== "number") return undefined;
    if (typeof size === "number") stride *= size;
  }
  return strides;
}

export const stridedGatherPair: Pair = {
  id: "in-order",
  description: "elements are selected in storage order",
  first: ["Reshape", "Flatten"],
  second: ["Gather"],
  fuse(scope) {
    const { first, second, input } = scope;
    const [x] = first.inputs;
    const [flatDims, dims] = [dimsOf(scope, first.outputs[0]), dimsOf(scope, x)];
    const out = dimsOf(scope, second.outputs[0]);
    if (input !== 0 || x === undefined || flatDims?.length !== 1 || dims === undefined || out === undefined)
      return undefined;
    const grid = gridOf(scope, second.inputs[1]);
    const strides = stridesOf(out);
    if (grid?.offset !== 0 || strides === undefined) return undefined;
    if (dims.reduce(multiplyDims, 1) !== out.reduce(multiplyDims, 1)) return undefined;
    const isInOrder = out.every((size, axis) => size === 1 || grid.steps[axis] === strides[axis]);
    if (!isInOrder) return undefined;
    if (sameDims(dims, out)) return { value: x };
    const target = reshapeTarget(dims, out);
    return target && { value: emitNamed(scope).Reshape([x, target]) };
  },
};
