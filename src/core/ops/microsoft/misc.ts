/**
 * Other operators of com.microsoft. Those with a counterpart in the default domain (ExpandDims, Trilu, Pad, Range, Unique, GatherND) are lowered;
 * the others (Inverse, CropAndResize, mixtures of experts, …) are only typed.
 */
import { Miss } from "../../errors.ts";
import type { Value } from "../../graph/graph.ts";
import { toFloat64 } from "../../tensor/convert.ts";
import { addDims, type Dim, floorDims } from "../../tensor/dims.ts";
import { typeCodes } from "../../tensor/types.ts";
import { defineOp, type Inferred, type Op, type OpDef, type Operand } from "../define.ts";
import { constantIntegers, integer, text, wrapAxis } from "../shared/attributes.ts";
import { lowerFirst } from "../shared/misses.ts";
import { need, sameAsInput, scalar, shaped } from "../shared/rules.ts";
import { pooledDims, readPool, type Window } from "../shared/window.ts";
import { typed } from "./typed.ts";

type Like<S> = Pick<OpDef<S>, "name" | "read" | "infer"> & {
  readonly lower: Exclude<OpDef<S>["lower"], Miss | undefined>;
};

const fused = new Miss(`is not an operator of ai.onnx: ${lowerFirst}`);

const like = <S = null>({ read = () => null as S, ...row }: Like<S>): Op =>
  defineOp<S>({ ...row, read, domain: "com.microsoft", axes: fused, quantize: fused });

export const ExpandDims = like({
  name: "ExpandDims",
  read: (site) => {
    const [axis] = constantIntegers(site.inputs[1]) ?? [];
    const rank = site.inputs[0]?.dims?.length;
    return { axis: axis === undefined || rank === undefined ? undefined : wrapAxis(axis, rank + 1) };
  },
  infer: ({ axis }, site) => shaped(site, (dims) => (axis === undefined ? undefined : dims.toSpliced(axis, 0, 1))),
  lower: ({ axis }, emit, [x]) =>
    axis === undefined ? new Miss("its axis is computed at run time") : [emit.Unsqueeze([x, [axis]])],
});

export const Trilu = like({
  name: "Trilu",
  read: (site) => ({ upper: integer(site, "upper", 1) }),
  infer: (_, site) => sameAsInput(site),
  lower: ({ upper }, emit, [x, k]) => [emit.Trilu([x, k], { upper })],
});

export const Pad = like({
  name: "Pad",
  read: (site) => ({ mode: text(site, "mode", "constant") }),
  infer: (_, site) => {
    const pads = constantIntegers(site.inputs[1]);
    return shaped(site, (dims) =>
      dims.map((dim, axis) =>
        pads === undefined ? site.open(0, axis) : addDims(dim, (pads[axis] ?? 0) + (pads[dims.length + axis] ?? 0)),
      ),
    );
  },
  lower: ({ mode }, emit, [x, pads, value]) => {
    const alone = value?.type?.dims?.length === 1;
    return [emit.Pad([x, pads, alone ? emit.Squeeze([value, [0]]) : value], { mode })];
  },
});

function numberAt(operand: Operand | undefined): number | undefined {
  const [known] = constantIntegers(operand) ?? [];
  const { small } = operand ?? {};
  return known ?? (small === undefined || small.type === "string" ? undefined : toFloat64(small)[0]);
}

export const Range = like({
  name: "Range",
  infer: (_, site) => {
    const [start, limit] = [numberAt(site.inputs[0]), numberAt(site.inputs[1])];
    const step = site.inputs[2] === undefined ? 1 : numberAt(site.inputs[2]);
    const known = start !== undefined && limit !== undefined && step !== undefined && step !== 0;
    const count = known ? Math.max(0, Math.ceil((limit - start) / step)) : site.open(0, 0);
    return [{ type: need(site, 0).type, dims: [count] }];
  },
  lower: (_, emit, [start, limit, step]) => {
    if (start?.type === undefined || limit === undefined) return new Miss("an operand is missing");
    const alone = (value: Value): Value => (value.type?.dims?.length === 1 ? emit.Squeeze([value, [0]]) : value);
    const by = step === undefined ? scalar(emit, start.type.type, 1) : alone(step);
    return [emit.Range([alone(start), alone(limit), by])];
  },
});

export const Unique = typed({
  name: "Unique",
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

function gatheredDims(dims: readonly Dim[] = [], indices: readonly Dim[] = []): readonly Dim[] | undefined {
  const depth = indices.at(-1);
  return typeof depth === "number" ? [...indices.slice(0, -1), ...dims.slice(depth)] : undefined;
}

export const GatherND = like({
  name: "GatherND",
  infer: (_, site) => shaped(site, gatheredDims, undefined, [0, 1]),
  lower: (_, emit, [x, indices]) => [emit.GatherND([x, emit.Cast([indices], { to: typeCodes.int64 })])],
});

/** Writes windows × size for an axis, windows at its position and size at the end. */
export const UnfoldTensor = typed({
  name: "UnfoldTensor",
  needsFloat32: () => "ONNX Runtime has no kernel for it in float16",
  read: (site) => ({ dim: integer(site, "dim", -1), size: integer(site, "size", 1), step: integer(site, "step", 1) }),
  infer: ({ dim, size, step }, site) =>
    shaped(site, (dims) => {
      const along = wrapAxis(dim, dims.length);
      const windows = addDims(floorDims(addDims(dims[along] ?? size, -size), step), 1);
      return [...dims.with(along, windows), size];
    }),
  why: "extracts sliding windows of an axis",
});

export const Inverse = typed({
  name: "Inverse",
  infer: (_, site) => sameAsInput(site),
  why: "inverts matrices",
});

export const NGramRepeatBlock = typed({
  name: "NGramRepeatBlock",
  infer: (_, site) => sameAsInput(site, 1),
  why: "masks repeated n-grams",
});

export const CDist = typed({
  name: "CDist",
  infer: (_, site) => shaped(site, ([rows = 1] = [], [others = 1] = []) => [rows, others], undefined, [0, 1]),
  why: "measures distances",
});

export const CropAndResize = typed({
  name: "CropAndResize",
  infer: (_, site) => {
    const [height = site.open(0, 2), width = site.open(0, 3)] = constantIntegers(site.inputs[3]) ?? [];
    const follow = ([, channels = 1]: readonly Dim[] = [], [boxes = 1]: readonly Dim[] = []) => [
      boxes,
      channels,
      height,
      width,
    ];
    return shaped(site, follow, undefined, [0, 1]);
  },
  why: "crops boxes from images",
});

export const MaxpoolWithMask = typed<Window>({
  name: "MaxpoolWithMask",
  read: readPool,
  infer: (s, site) => shaped(site, (dims) => pooledDims(s, dims)),
  why: "pools under a mask",
});

function experts(name: string, parameters: readonly number[], why: string): Op {
  return typed({
    name,
    infer: (_, site) => sameAsInput(site),
    why,
    parameters,
    cost: () => new Miss("which experts compute depends on the data"),
  });
}

export const microsoftMiscOperators: readonly Op[] = [
  experts("MoE", [2, 3, 4, 5, 6, 7], "routes each token to a few experts"),
  experts("QMoE", [4, 7], "routes each token to a few experts, whose weights are quantized"),
];
