/** Pairs of reductions, and of a reduction with a change of its axes. */
import { isFloat } from "../../tensor/convert.ts";
import { readFlag } from "../shared/attributes.ts";
import { integersConstant, range } from "../shared/rules.ts";
import { axesOf, skipMissingAxes, writeAxes } from "./layout.ts";
import { emitNamed, type Pair } from "./rule.ts";

const associative = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1"];

const keptAxes: Pair = {
  id: "kept-axes",
  description: "keepdims moves into the reduction",
  first: [...associative, "ReduceL2"],
  second: ["Squeeze", "Unsqueeze"],
  fuse(scope) {
    const { first, firstSite, second, secondSite, isOnlyReader } = scope;
    const rank = firstSite.inputs[0]?.dims?.length;
    const [x, axesInput] = first.inputs;
    if (!isOnlyReader || rank === undefined || x === undefined) return undefined;
    const keeps = readFlag(firstSite, "keepdims", true);
    // The axes of Squeeze and of Unsqueeze must both be axes of the reduction's input.
    const longer = keeps ? secondSite.inputs[0]?.dims : second.outputs[0]?.type?.dims;
    if (keeps === (second.op === "Unsqueeze") || longer?.length !== rank) return undefined;
    const [reduced, moved] = [axesOf(firstSite, rank), axesOf(secondSite, rank)];
    if (reduced === undefined || moved === undefined || readFlag(firstSite, "noop_with_empty_axes")) return undefined;
    if ([...reduced].sort().join() !== [...moved].sort().join()) return undefined;
    const write = emitNamed(scope)[first.op as "ReduceSum"];
    const keepdims = keeps ? 0 : 1;
    if (axesInput !== undefined) return { value: write([x, axesInput], { keepdims }) };
    return { value: write([x], { keepdims, axes: reduced } as { keepdims: number }) };
  },
};

/** Merges two reductions of one kind. Means can be merged, too, because all groups have the same size. */
const reducedTwice: Pair = {
  id: "reduced-twice",
  description: "two reductions are one over the axes of both",
  first: associative,
  second: associative,
  same: true,
  reorders: true,
  fuse(scope) {
    const { first, firstSite, secondSite, isOnlyReader } = scope;
    const rank = firstSite.inputs[0]?.dims?.length;
    const [inner, outer] = [axesOf(firstSite, rank), axesOf(secondSite, secondSite.inputs[0]?.dims?.length)];
    if (!isOnlyReader || rank === undefined || !inner?.length || !outer?.length) return undefined;
    // Means of integers are rounded, so a mean of means would differ.
    const type = firstSite.inputs[0]?.type;
    if (first.op === "ReduceMean" && (type === undefined || !isFloat(type))) return undefined;
    const keeps = readFlag(firstSite, "keepdims", true);
    if (keeps !== readFlag(secondSite, "keepdims", true)) return undefined;
    return writeAxes(scope, [...new Set([...inner, ...(keeps ? outer : skipMissingAxes(outer, rank, inner))])]);
  },
};

/**
 * A global average is a mean over the axes after the second:
 *     ReduceMean(GlobalAveragePool(x)) {axes=[2, 3], keepdims=0} = ReduceMean(x) {axes=[2, 3], keepdims=0}
 * Along these axes only one element remains, so that its sum, extremum or product is the same.
 */
const reducedPool: Pair = {
  id: "reduced-pool",
  description: "a reduction of a global average is one ReduceMean",
  first: ["GlobalAveragePool"],
  second: associative,
  reorders: true,
  fuse(scope) {
    const { first, second, firstSite, secondSite, isOnlyReader, emit } = scope;
    const [x] = first.inputs;
    const rank = firstSite.inputs[0]?.dims?.length;
    const axes = axesOf(secondSite, rank);
    if (!isOnlyReader || x === undefined || rank === undefined || axes === undefined || axes.length === 0)
      return undefined;
    const pooled = range(rank - 2, 2);
    const keepdims = readFlag(secondSite, "keepdims", true) ? 1 : 0;
    // Without keepdims, all pooled axes must disappear.
    if (keepdims === 0 && !pooled.every((axis) => axes.includes(axis))) return undefined;
    if (second.op === "ReduceL1") return undefined;
    if (second.op !== "ReduceMean" && !axes.every((axis) => axis >= 2)) return undefined;
    const all = [...new Set([...axes, ...pooled])].sort((a, b) => a - b);
    const write = emitNamed(scope);
    if (secondSite.version < 18) return { value: write.ReduceMean([x], { axes: all, keepdims }) };
    return { value: write.ReduceMean([x, integersConstant(emit, all)], { keepdims }) };
  },
};

export const reductionPairs: readonly Pair[] = [keptAxes, reducedTwice, reducedPool];
