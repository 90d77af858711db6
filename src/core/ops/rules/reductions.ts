/** Merges two reductions, or a reduction and a Squeeze or Unsqueeze. */
import { isFloat } from "#graph";
import { readFlag } from "../shared/attributes.ts";
import { axesOf, skipMissingAxes, writeAxes } from "./layout.ts";
import { emitNamed, type PairRule } from "./rule.ts";

const associativeOperators = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1"];

const keptAxes: PairRule = {
  id: "kept-axes",
  description: "keepdims moves into the reduction",
  first: [...associativeOperators, "ReduceL2"],
  second: ["Squeeze", "Unsqueeze"],
  fuse(scope) {
    const { first, firstSite, second, secondSite, isOnlyReader } = scope;
    const rank = firstSite.inputs[0]?.dims?.length;
    const [x, axesInput] = first.inputs;
    if (!isOnlyReader || rank === undefined || x === undefined) return undefined;
    const keeps = readFlag(firstSite, "keepdims", true);
    const longerDims = keeps ? secondSite.inputs[0]?.dims : second.outputs[0]?.type?.dims;
    if (keeps === (second.op === "Unsqueeze") || longerDims?.length !== rank) return undefined;
    const [reducedAxes, changedAxes] = [axesOf(firstSite, rank), axesOf(secondSite, rank)];
    if (reducedAxes === undefined || changedAxes === undefined || readFlag(firstSite, "noop_with_empty_axes"))
      return undefined;
    if ([...reducedAxes].sort().join() !== [...changedAxes].sort().join()) return undefined;
    const write = emitNamed(scope)[first.op as "ReduceSum"];
    const keepdims = keeps ? 0 : 1;
    if (axesInput !== undefined) return { value: write([x, axesInput], { keepdims }) };
    return { value: write([x], { keepdims, axes: reducedAxes } as { keepdims: number }) };
  },
};

/** Means can be merged, too, because the groups have the same size. */
const reducedTwice: PairRule = {
  id: "reduced-twice",
  description: "two reductions are one over the axes of both",
  first: associativeOperators,
  second: associativeOperators,
  requiresSameOperator: true,
  reorders: true,
  fuse(scope) {
    const { first, firstSite, secondSite, isOnlyReader } = scope;
    const rank = firstSite.inputs[0]?.dims?.length;
    const [inner, outer] = [axesOf(firstSite, rank), axesOf(secondSite, secondSite.inputs[0]?.dims?.length)];
    if (!isOnlyReader || rank === undefined || !inner?.length || !outer?.length) return undefined;
    // ONNX Runtime reduces empty tensors to other sizes (see `reduce.ts`).
    if (firstSite.inputs[0]?.dims?.includes(0) === true) return undefined;
    // Means of integers are rounded, so a mean of means would differ.
    const type = firstSite.inputs[0]?.type;
    if (first.op === "ReduceMean" && (type === undefined || !isFloat(type))) return undefined;
    const keeps = readFlag(firstSite, "keepdims", true);
    if (keeps !== readFlag(secondSite, "keepdims", true)) return undefined;
    return writeAxes(scope, [...new Set([...inner, ...(keeps ? outer : skipMissingAxes(outer, rank, inner))])]);
  },
};

export const reductionPairs: readonly PairRule[] = [keptAxes, reducedTwice];
