/**
 * Operators of com.microsoft that have a like in the default domain, mostly older than it (ExpandDims, Trilu, Pad, Range, Unique, GatherND), and
 * some that have none: Inverse, CropAndResize, CDist, UnfoldTensor, MaxpoolWithMask, NGramRepeatBlock, mixtures of experts. Typed, lowered where
 * there is a like, otherwise left alone.
 */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { toFloat64 } from "../../tensor/convert.ts";
import { addDims, type Dim, floorDims } from "../../tensor/dims.ts";
import { typeCodes } from "../../tensor/types.ts";
import { defineOp, type Inferred, type Op, type Operand, type Site } from "../define.ts";
import { constantIntegers, integer, integers, text, wrapAxis } from "../shared/attributes.ts";
import { integersConstant, need, sameAsInput, scalar } from "../shared/rules.ts";
import { readWindow, type Window, windowDims } from "../shared/window.ts";
import { typed } from "./typed.ts";

interface Like<S> {
  readonly name: string;
  read(site: Site): S | Miss;
  infer(s: S, site: Site): readonly Inferred[] | Miss;
  lower(s: S, emit: Emit, inputs: readonly (Value | undefined)[]): readonly Value[] | Miss;
}

const lowerFirst = new Miss("is in another domain: lower it first");

/** An operator that has a like in the default domain. */
function like<S>({ name, read, infer, lower }: Like<S>): Op {
  return defineOp<S>({
    name,
    domain: "com.microsoft",
    read,
    infer,
    axes: lowerFirst,
    lower,
    quantize: lowerFirst,
  });
}

const ExpandDims = like<{ readonly axis: number | undefined }>({
  name: "ExpandDims",
  read: (site) => {
    const [axis] = constantIntegers(site.inputs[1]) ?? [];
    const rank = site.inputs[0]?.dims?.length;
    return { axis: axis === undefined || rank === undefined ? undefined : wrapAxis(axis, rank + 1) };
  },
  infer: ({ axis }, site) => {
    const { type, dims } = need(site, 0);
    const known = axis !== undefined && dims !== undefined;
    return [{ type, dims: known ? [...dims.slice(0, axis), 1, ...dims.slice(axis)] : undefined }];
  },
  lower: ({ axis }, emit, [x]) =>
    axis === undefined
      ? new Miss("its axis is computed at run time")
      : [emit.Unsqueeze([x, integersConstant(emit, [axis])])],
});

const Trilu = like<{ readonly upper: number }>({
  name: "Trilu",
  read: (site) => ({ upper: integer(site, "upper", 1) }),
  infer: (_, site) => sameAsInput(site),
  lower: ({ upper }, emit, [x, k]) => [emit.Trilu([x, k], { upper })],
});

const Pad = like<{ readonly mode: string }>({
  name: "Pad",
  read: (site) => ({ mode: text(site, "mode", "constant") }),
  infer: (_, site) => {
    const { type, dims } = need(site, 0);
    const pads = constantIntegers(site.inputs[1]);
    if (dims === undefined) return [{ type, dims }];
    const added = (axis: number): number | undefined => pads && (pads[axis] ?? 0) + (pads[dims.length + axis] ?? 0);
    return [
      {
        type,
        dims: dims.map((dim, axis) => (pads === undefined ? site.open(0, axis) : addDims(dim, added(axis) ?? 0))),
      },
    ];
  },
  lower: ({ mode }, emit, [x, pads, value]) => {
    const alone = value?.type?.dims?.length === 1;
    return [emit.Pad([x, pads, alone ? emit.Squeeze([value, integersConstant(emit, [0])]) : value], { mode })];
  },
});

/** The one number of a scalar or a vector of one. */
function numberAt(operand: Operand | undefined): number | undefined {
  const [known] = constantIntegers(operand) ?? [];
  const { small } = operand ?? {};
  return known ?? (small === undefined || small.type === "string" ? undefined : toFloat64(small)[0]);
}

const Range = like<null>({
  name: "Range",
  read: () => null,
  infer: (_, site) => {
    const [start, limit] = [numberAt(site.inputs[0]), numberAt(site.inputs[1])];
    const step = site.inputs[2] === undefined ? 1 : numberAt(site.inputs[2]);
    const known = start !== undefined && limit !== undefined && step !== undefined && step !== 0;
    const count = known ? Math.max(0, Math.ceil((limit - start) / step)) : site.open(0, 0);
    return [{ type: need(site, 0).type, dims: [count] }];
  },
  lower: (_, emit, [start, limit, step]) => {
    if (start?.type === undefined || limit === undefined) return new Miss("an operand is missing");
    const alone = (value: Value): Value =>
      value.type?.dims?.length === 1 ? emit.Squeeze([value, integersConstant(emit, [0])]) : value;
    const by = step === undefined ? scalar(emit, start.type.type, 1) : alone(step);
    return [emit.Range([alone(start), alone(limit), by])];
  },
});

const Unique = typed<null>({
  name: "Unique",
  read: () => null,
  infer: (_, site): readonly Inferred[] => {
    const { type, dims } = need(site, 0);
    const found = site.open(0, 0);
    const all: readonly Inferred[] = [
      { type, dims: [found] },
      { type: "int64", dims },
      { type: "int64", dims: [found] },
    ];
    return all.slice(0, site.outputs);
  },
  why: "its result depends on its data",
});

const GatherND = like<null>({
  name: "GatherND",
  read: () => null,
  infer: (_, site) => {
    const { type, dims } = need(site, 0);
    const indices = site.inputs[1]?.dims;
    const depth = indices?.at(-1);
    const known = dims !== undefined && indices !== undefined && typeof depth === "number";
    return [{ type, dims: known ? [...indices.slice(0, -1), ...dims.slice(depth)] : undefined }];
  },
  lower: (_, emit, [x, indices]) => [emit.GatherND([x, emit.Cast([indices], { to: typeCodes.int64 })])],
});

/** windows × size for an axis, at its place and at the end. */
const UnfoldTensor = typed<{ readonly dim: number; readonly size: number; readonly step: number }>({
  name: "UnfoldTensor",
  read: (site) => ({ dim: integer(site, "dim", -1), size: integer(site, "size", 1), step: integer(site, "step", 1) }),
  infer: ({ dim, size, step }, site) => {
    const { type, dims } = need(site, 0);
    if (dims === undefined) return [{ type, dims }];
    const along = wrapAxis(dim, dims.length);
    const windows = (length: Dim): Dim => addDims(floorDims(addDims(length, -size), step), 1);
    return [{ type, dims: [...dims.map((length, axis) => (axis === along ? windows(length) : length)), size] }];
  },
  why: "extracts sliding windows of an axis",
});

const Inverse = typed<null>({
  name: "Inverse",
  read: () => null,
  infer: (_, site) => sameAsInput(site),
  why: "inverts matrices",
});

const NGramRepeatBlock = typed<null>({
  name: "NGramRepeatBlock",
  read: () => null,
  infer: (_, site) => sameAsInput(site, 1),
  why: "masks repeated n-grams",
});

/** Distances of every row of one matrix to every row of the other. */
const CDist = typed<null>({
  name: "CDist",
  read: () => null,
  infer: (_, site): readonly Inferred[] => {
    const { type, dims } = need(site, 0);
    const other = site.inputs[1]?.dims;
    return [{ type, dims: dims && other && [dims[0] as Dim, other[0] as Dim] }];
  },
  why: "measures distances",
});

const CropAndResize = typed<null>({
  name: "CropAndResize",
  read: () => null,
  infer: (_, site): readonly Inferred[] => {
    const { type, dims } = need(site, 0);
    const boxes = site.inputs[1]?.dims;
    const size = constantIntegers(site.inputs[3]);
    if (dims === undefined || boxes === undefined) return [{ type, dims: undefined }];
    return [
      { type, dims: [boxes[0] as Dim, dims[1] as Dim, size?.[0] ?? site.open(0, 2), size?.[1] ?? site.open(0, 3)] },
    ];
  },
  why: "cuts boxes out of pictures",
});

const MaxpoolWithMask = typed<Window>({
  name: "MaxpoolWithMask",
  read: (site) => {
    const kernel = integers(site, "kernel_shape");
    return kernel === undefined ? new Miss("has no kernel_shape") : readWindow(site, kernel);
  },
  infer: (s, site): readonly Inferred[] => {
    const { type, dims } = need(site, 0);
    return [{ type, dims: dims && [...dims.slice(0, 2), ...windowDims(s, dims.slice(2))] }];
  },
  why: "pools under a mask",
});

/** Layers of which each token passes through a few. */
function experts(name: string, parameters: readonly number[], why: string): Op {
  return typed<null>({
    name,
    read: () => null,
    infer: (_, site) => sameAsInput(site),
    why,
    parameters: (_, site) => parameters.filter((input) => site.inputs[input]?.stored === true),
    cost: () => new Miss("which experts compute depends on the data"),
  });
}

export const microsoftMiscOperators: readonly Op[] = [
  ExpandDims,
  Trilu,
  Pad,
  Range,
  Unique,
  GatherND,
  UnfoldTensor,
  Inverse,
  NGramRepeatBlock,
  CDist,
  CropAndResize,
  MaxpoolWithMask,
  experts("MoE", [2, 3, 4, 5, 6, 7], "sends each token to a few of its experts"),
  experts("QMoE", [4, 7], "sends each token to a few of its experts, whose weights are stored quantized"),
];
