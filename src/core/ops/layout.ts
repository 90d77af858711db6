/** Operators that move, join, split or repeat elements: Transpose, Concat, Split, Expand. */
import { addDims, type Dim, fixedDims, Miss, modelError, type Node } from "#graph";
import { quirks } from "../quirks.ts";
import { type AxisLink, defineOp, type Inferred } from "./define.ts";
import { readAttributeOrInput, readInteger, readIntegers, wrapAxis } from "./shared/attributes.ts";
import { joinedAxes } from "./shared/axis-links.ts";
import { knownTensorOf, maxElements, withMovedElements, withUncheckedElements } from "./shared/elements.ts";
import { noRank } from "./shared/misses.ts";
import {
  broadcast,
  dimsAt,
  fillWith,
  forwardWanted,
  inputIfSameDims,
  invertPermutation,
  range,
  replaceLists,
  requireInput,
  shapeChange,
  sizesOf,
  sumOf,
  typeOf,
} from "./shared/shapes.ts";

/** Matrix products that ONNX Runtime computes in float32 between Casts. */
const float32Products = new Set(["MatMul", "FusedMatMul"]);

/** Returns whether a Transpose moves the first axis in front of the last axis. */
function movesBatch({ attributes }: Node): boolean {
  const perm = attributes.get("perm");
  if (perm?.kind !== "ints" || perm.value.length < 3) return false;
  const firstMovedBack = [...range(perm.value.length - 2, 1), 0, perm.value.length - 1];
  return perm.value.every((axis, index) => Number(axis) === firstMovedBack[index]);
}

export const Transpose = defineOp({
  name: "Transpose",
  needsFloat32: (node) =>
    movesBatch(node) && [...(node.outputs[0]?.uses ?? [])].some(({ node: reader }) => float32Products.has(reader.op))
      ? `ONNX Runtime ${quirks["cast-before-product"]}`
      : undefined,
  read: (site) => {
    const rank = site.inputs[0]?.dims?.length;
    const perm = readIntegers(site, "perm");
    const axes = range(rank ?? perm?.length ?? 0);
    if (perm !== undefined && !(perm.length === axes.length && axes.every((axis) => perm.includes(axis))))
      throw modelError(`attribute "perm" orders ${axes.length} axes, got [${perm.join(", ")}].`);
    return { perm: perm ?? (rank === undefined ? undefined : axes.reverse()) };
  },
  infer: (s, site) => {
    const { type, dims } = requireInput(site, 0);
    if (dims === undefined || s.perm === undefined) return [{ type, dims: undefined }];
    const { perm } = s;
    const sourceOf = (position: readonly number[]): number[] =>
      dims.map((_, axis) => position[perm.indexOf(axis)] ?? 0);
    return [withMovedElements({ type, dims: perm.map((axis) => dims[axis] as Dim) }, site, () => sourceOf)];
  },
  unchanged: ({ perm }, site) => {
    const dims = site.inputs[0]?.dims;
    if (dims === undefined || perm === undefined) return undefined;
    const longAxes = perm.filter((axis) => dims[axis] !== 1);
    const isInOrder = longAxes.every((axis, index) => index === 0 || axis > (longAxes[index - 1] ?? -1));
    return isInOrder
      ? inputIfSameDims(
          site,
          perm.map((axis) => dims[axis] ?? 1),
        )
      : undefined;
  },
  homogeneous: [[0]],
  axes: (s) =>
    s.perm === undefined
      ? noRank
      : s.perm.map((sourceAxis, to): AxisLink => ({ from: ["in0", sourceAxis], to: ["out0", to] })),
  gradient: (s, { emit, up }) => {
    if (s.perm === undefined) return [];
    return [emit.Transpose([up], { perm: invertPermutation(s.perm) })];
  },
  quantize: () => ({ kind: "transparent" }),
});

/** Joins inputs along an axis: index i of input k is index offset(k) + i of the output. Before opset 4 the axis defaults to 1. */
export const Concat = defineOp({
  name: "Concat",
  sameType: 0,
  read: (site) => {
    const rank = site.inputs.find((operand) => operand?.dims !== undefined)?.dims?.length;
    return rank === undefined
      ? new Miss("the rank of its inputs is not known")
      : { axis: wrapAxis(readInteger(site, "axis", 1), rank) };
  },
  infer: (s, site) => {
    const { type } = requireInput(site, 0);
    const shapes = site.inputs.flatMap((operand) => (operand?.dims === undefined ? [] : [operand.dims]));
    if (shapes.length < site.inputs.length) return [{ type, dims: undefined }];
    const dims = shapes[0]?.map((dim, axis): Dim => {
      const sizes = shapes.map((shape) => shape[axis] ?? 1);
      return axis === s.axis ? sizes.reduce(addDims, 0) : (sizes.find((size) => typeof size === "number") ?? dim);
    });
    const knownOperands = site.inputs.flatMap((operand) => knownTensorOf(operand) ?? []);
    if (knownOperands.length < site.inputs.length) return [{ type, dims }];
    const count = knownOperands.reduce((sum, { elements }) => sum + elements.length, 0);
    if (count === 0 || count > maxElements)
      return [withUncheckedElements({ type, dims }, count === 0 ? [] : undefined)];
    const rows = knownOperands[0]?.dims.slice(0, s.axis).reduce((product, size) => product * size, 1) ?? 0;
    const joinedElements = Array.from({ length: rows }, (_, row) =>
      knownOperands.flatMap(({ elements }) => {
        const length = elements.length / rows;
        return elements.slice(row * length, (row + 1) * length);
      }),
    );
    return [withUncheckedElements({ type, dims }, joinedElements.flat())];
  },
  wants: (_, site, output) => forwardWanted(output, ...site.inputs.keys()),
  unchanged: (_, site) => (site.inputs.length === 1 ? 0 : undefined),
  // A stored operand next to a computed one is trained, such as the class token of a vision transformer.
  parameters: (_, site) =>
    site.inputs.some((operand) => operand?.stored === false)
      ? site.inputs.flatMap((operand, input) => (operand?.stored === true ? [input] : []))
      : [],
  homogeneous: (_, site) => ({ products: site.inputs.map((_, input) => [input]) }),
  axes: (s, site) => joinedAxes(site, s.axis),
  gradient: (s, { emit, inputs, up }) => {
    const sizes = inputs.map((input) => sizesOf(input)[s.axis] ?? 0);
    return emit.many("Split", [up, sizes], { axis: s.axis }, inputs.length);
  },
  quantize: (_, site) => ({ kind: "activation", joins: true, inputs: site.inputs.map((_, input) => input) }),
});

/** Splits an axis. Before opset 13, the sizes are an attribute, since then an input. Since opset 18, `num_outputs` can request equal parts. */
export const Split = defineOp({
  name: "Split",
  sameType: 0,
  read: (site) => {
    const dims = dimsAt(site, 0);
    if (dims instanceof Miss) return dims;
    const axis = wrapAxis(readInteger(site, "axis", 0), dims.length);
    const splitInput = readAttributeOrInput(site, "split", 1);
    if (splitInput === "runtime") return { axis, sizes: undefined };
    if (splitInput !== undefined) return { axis, sizes: splitInput.known };
    const size = dims[axis];
    if (typeof size !== "number") return { axis, sizes: undefined };
    const partSize = Math.ceil(size / site.outputs);
    return { axis, sizes: range(site.outputs).map((output) => Math.min(partSize, size - output * partSize)) };
  },
  infer: (s, site) => {
    const { type, dims } = requireInput(site, 0);
    return range(site.outputs).map((output): Inferred => {
      const size = s.sizes?.[output];
      if (dims === undefined || size === undefined) return { type, dims: undefined };
      const start = sumOf(s.sizes?.slice(0, output) ?? []);
      return withMovedElements({ type, dims: dims.with(s.axis, size) }, site, () => (position) => {
        return position.map((index, axis) => (axis === s.axis ? index + start : index));
      });
    });
  },
  unchanged: ({ axis, sizes }, site) =>
    site.outputs === 1 && sizes?.[0] !== undefined && sizes[0] === site.inputs[0]?.dims?.[axis] ? 0 : undefined,
  homogeneous: [[0]],
  axes: (s, site, dims) => {
    const { sizes } = s;
    if (sizes === undefined) return new Miss("its sizes are computed at run time");
    const links = sizes.flatMap((_, output) => {
      const start = sumOf(sizes.slice(0, output));
      return dims.map(
        (_, axis): AxisLink =>
          axis === s.axis
            ? { from: [`out${output}`, axis], to: ["in0", axis], map: (index) => [start + index] }
            : { from: ["in0", axis], to: [`out${output}`, axis] },
      );
    });
    return {
      links,
      resize: (removal) => {
        const newSizes = fixedDims(sizes.map((size, output) => removal.dims(`out${output}`)[s.axis] ?? size)) ?? sizes;
        return { attributes: { num_outputs: undefined }, ...replaceLists(site.version < 13, { split: newSizes }) };
      },
    };
  },
  gradient: (s, { emit, inputs: [x], upstream }) => {
    if (s.sizes === undefined) return new Miss("its sizes are computed at run time");
    const gradientParts = s.sizes.map(
      (size, output) => upstream[output] ?? fillWith(emit, typeOf(x), sizesOf(x).with(s.axis, size), 0),
    );
    return [emit.Concat(gradientParts, { axis: s.axis })];
  },
  quantize: () => ({ kind: "transparent" }),
});

/** The gradient is dY; backpropagation sums it over the broadcast axes. */
export const Expand = defineOp({
  name: "Expand",
  infer: (_, site) => {
    const { type, dims } = requireInput(site, 0);
    const shape = site.inputs[1];
    const targetDims = shape?.elements;
    if (dims === undefined) return [{ type, dims: undefined }];
    if (targetDims === undefined) {
      const [rank] = shape?.dims ?? [];
      if (typeof rank !== "number") return [{ type, dims: undefined }];
      return [{ type, dims: range(Math.max(rank, dims.length)).map((axis) => site.open(0, axis)) }];
    }
    const outDims = broadcast(dims, targetDims);
    if (outDims instanceof Miss) return outDims;
    const missingAxes = outDims.length - dims.length;
    const sourceOf = (position: readonly number[]): number[] =>
      dims.map((size, axis) => (size === 1 ? 0 : (position[axis + missingAxes] ?? 0)));
    return [withMovedElements({ type, dims: outDims }, site, () => sourceOf)];
  },
  unchanged: (_, site) => {
    const [dims, targetDims] = [site.inputs[0]?.dims, site.inputs[1]?.elements];
    // Different symbols can be equal at run time.
    if (dims === undefined || targetDims === undefined || targetDims.length > dims.length) return undefined;
    const missingAxes = dims.length - targetDims.length;
    return targetDims.every((dim, axis) => dim === 1 || dim === dims[axis + missingAxes]) ? 0 : undefined;
  },
  homogeneous: [[0]],
  // If indices of an axis that Expand repeats are removed, it repeats the axis fewer times.
  axes: (_, site) => {
    const dims = dimsAt(site, 0);
    const targetDims = site.inputs[1]?.elements;
    if (dims instanceof Miss) return dims;
    if (targetDims === undefined) return new Miss("its target shape is computed at run time");
    const outDims = broadcast(dims, targetDims);
    if (outDims instanceof Miss) return outDims;
    const links = outDims.map((dim, axis): AxisLink => {
      const inAxis = axis - (outDims.length - dims.length);
      const repeats = inAxis < 0 || (dims[inAxis] === 1 && dim !== 1);
      return { from: repeats ? ["out0", axis] : ["in0", inAxis], to: ["out0", axis] };
    });
    return {
      links,
      resize: (removal) => {
        const newDims = removal.dims("out0").slice(outDims.length - targetDims.length);
        const shape = targetDims.map((dim, axis) => (dim === 1 ? 1 : newDims[axis]));
        if (!shape.every((dim) => typeof dim === "number")) return { shifts: { 1: shapeChange(targetDims, shape) } };
        return replaceLists(false, { shape: shape as number[] });
      },
    };
  },
  gradient: (_, { up }) => [up],
  quantize: () => ({ kind: "transparent" }),
});
