/**
 * ScatterElements, ScatterND, TensorScatter, and Scatter (before opset 11). Reductions add and mul exist since opset 16, max and min since 18.
 * Replaced data gets no gradient; sums pass it to both; products multiply it by the other factors; equal extrema share it evenly.
 * If several updates replace one position, the result is undefined, so each gets the full gradient.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { toNumbers } from "../tensor/convert.ts";
import { int64 } from "../tensor/dense.ts";
import { addDims, type Dim, extremeDims, multiplyDims } from "../tensor/dims.ts";
import { type AxisLink, defineOp, type Op, type Operand, type Site, type Wanted } from "./define.ts";
import { integer, text, wrapAxis } from "./shared/attributes.ts";
import { exactElements, withElements } from "./shared/elements.ts";
import {
  dimsAt,
  filled,
  fixed,
  handedOn,
  inTuples,
  positions,
  present,
  range,
  reshapeTo,
  sameAsInput,
  sameAxes,
  typeOf,
} from "./shared/rules.ts";

type Name = "ScatterElements" | "ScatterND";

interface Settings {
  readonly reduction: string;
  readonly axis: number;
}

function indicesOf(operand: Operand | undefined): readonly number[] | undefined {
  const { elements, small } = operand ?? {};
  if (elements?.every((element) => typeof element === "number")) return elements as readonly number[];
  return small?.type === "int64" || small?.type === "int32" ? toNumbers(small) : undefined;
}

const combine: Readonly<Record<string, (old: Dim, update: Dim) => Dim>> = {
  none: (_, update) => update,
  add: addDims,
  mul: multiplyDims,
  max: (old, update) => extremeDims("max", [old, update]),
  min: (old, update) => extremeDims("min", [old, update]),
};

function placed(site: Site, reduction: string): readonly Dim[] | undefined {
  const [data, indices, updates] = site.inputs;
  const places = indicesOf(indices);
  const rule = combine[reduction];
  const [old, own] = [exactElements(data), exactElements(updates)];
  if (data?.dims?.length !== 1 || old === undefined || own === undefined || places === undefined || rule === undefined)
    return undefined;
  const found = [...old];
  for (const [position, place] of places.entries()) {
    const at = place < 0 ? place + found.length : place;
    const [before, update] = [found[at], own[position]];
    if (before === undefined || update === undefined) return undefined;
    found[at] = rule(before, update);
  }
  return found;
}

/** Links the axes along which nothing is placed by position, from all three operands. */
function links(name: Name, s: Settings, site: Site, dims: readonly Dim[]): readonly AxisLink[] | Miss {
  const [indices, updates] = [dimsAt(site, 1), dimsAt(site, 2)];
  if (indices instanceof Miss) return indices;
  if (updates instanceof Miss) return updates;
  const fixes = indices.at(-1);
  if (name === "ScatterND" && typeof fixes !== "number") return new Miss("the length of its index tuples is not known");
  const along = name === "ScatterElements" ? wrapAxis(s.axis, dims.length) : 0;
  return dims.flatMap((dim, axis): AxisLink[] => {
    const chosen = name === "ScatterND" ? axis < Number(fixes) : axis === along || indices[axis] !== dim;
    if (chosen) return [{ refuses: ["in0", axis], reason: `${name} writes by position along this axis` }];
    const own: AxisLink = { from: ["in0", axis], to: ["out0", axis] };
    const update = name === "ScatterND" ? updates.length - dims.length + axis : axis;
    const more: AxisLink = { from: ["in2", update], to: ["out0", axis] };
    return name === "ScatterND" ? [own, more] : [own, more, { from: ["in1", axis], to: ["out0", axis] }];
  });
}

interface Parts {
  readonly x: Value;
  readonly y: Value;
  readonly updates: Value;
  readonly up: Value;
  readonly place: (data: Value, updates: Value, reduction: string) => Value;
  readonly pick: (data: Value) => Value;
}

/** dLoss/dx and dLoss/dupdates */
type Rule = (emit: Emit, parts: Parts) => readonly [Value, Value];

const multiplied: Rule = (emit, { x, updates, up, place, pick }) => {
  // As in ReduceProd: the product of nonzero factors divided by this one, or 0 if another factor is 0.
  const factor = (value: Value): Value => emit.Where([emit.Equal([value, 0]), 1, value]);
  const isZero = (value: Value): Value => emit.CastLike([emit.Equal([value, 0]), up]);
  const product = place(factor(x), factor(updates), "mul");
  const zeros = place(isZero(x), isZero(updates), "add");
  const part = (value: Value, at: (data: Value) => Value): Value => {
    const others = emit.Equal([emit.Sub([at(zeros), isZero(value)]), 0]);
    return emit.Mul([at(up), emit.Where([others, emit.Div([at(product), factor(value)]), 0])]);
  };
  return [part(x, (data) => data), part(updates, pick)];
};

const extreme: Rule = (emit, { x, y, updates, up, place, pick }) => {
  const reached = (value: Value, result: Value): Value => emit.CastLike([emit.Equal([value, result]), up]);
  const [old, own] = [reached(x, y), reached(updates, pick(y))];
  const share = emit.Div([up, place(old, own, "add")]);
  return [emit.Mul([share, old]), emit.Mul([pick(share), own])];
};

const rules: Readonly<Record<string, Rule>> = {
  none: (emit, { updates, up, place, pick }) => [
    place(up, filled(emit, typeOf(up), fixed(updates), 0), "none"),
    pick(up),
  ],
  add: (_, { up, pick }) => [up, pick(up)],
  mul: multiplied,
  max: extreme,
  min: extreme,
};

function alongAxis(s: Settings, site: Site): readonly Wanted[] {
  const dims = site.inputs[0]?.dims;
  return dims === undefined ? [] : positions(1, dims[wrapAxis(s.axis, dims.length)]);
}

function tuples(site: Site): readonly Wanted[] {
  const fixes = site.inputs[1]?.dims?.at(-1);
  return typeof fixes === "number" ? inTuples(site.inputs[0]?.dims?.slice(0, fixes) ?? []) : [];
}

function scatter(name: Name): Op {
  return defineOp<Settings>({
    name,
    needsFloat32: ({ attributes }) =>
      (attributes.get("reduction")?.value ?? "none") === "none"
        ? undefined
        : "ONNX Runtime has no kernel for it in float16 that combines numbers",
    read: (site) => ({ reduction: text(site, "reduction", "none"), axis: integer(site, "axis", 0) }),
    infer: ({ reduction }, site) => sameAsInput(site).map((found) => withElements(found, placed(site, reduction))),
    wants: (s, site, output) => [
      ...(name === "ScatterElements" ? alongAxis(s, site) : tuples(site)),
      ...handedOn(output, 0, 2),
    ],
    axes: (s, site, dims) => links(name, s, site, dims),
    gradient: ({ reduction, axis }, { emit, inputs: [x, indices, given], y, up, wanted }) => {
      const [rule, updates] = [rules[reduction], present(given)];
      if (rule === undefined) return new Miss(`has the unsupported reduction "${reduction}"`);
      const at = name === "ScatterElements" ? { axis } : {};
      const parts: Parts = {
        x,
        y,
        updates,
        up,
        place: (data, own, how) => emit[name]([data, indices, own], how === "none" ? at : { ...at, reduction: how }),
        pick: (data) =>
          name === "ScatterElements" ? emit.GatherElements([data, indices], at) : emit.GatherND([data, indices]),
      };
      const [dX, dU] = rule(emit, parts);
      return [wanted(0) ? dX : undefined, undefined, wanted(2) ? dU : undefined];
    },
  });
}

export const Scatter = defineOp<Settings>({
  name: "Scatter",
  read: (site) => ({ reduction: "none", axis: integer(site, "axis", 0) }),
  infer: (_, site) => sameAsInput(site).map((found) => withElements(found, placed(site, "none"))),
  wants: (s, site, output) => [...alongAxis(s, site), ...handedOn(output, 0, 2)],
  axes: (s, site, dims) => links("ScatterElements", s, site, dims),
  lower: (s, emit, inputs) => [emit.ScatterElements(inputs, { axis: s.axis })],
});

/** Updates a cache from a start position per sample; can wrap around. */
export const TensorScatter = defineOp({
  name: "TensorScatter",
  read: (site) => ({ axis: integer(site, "axis", -2), mode: text(site, "mode", "linear") }),
  infer: (_, site) => sameAsInput(site),
  axes: (s, _, dims) => {
    const along = wrapAxis(s.axis, dims.length);
    const but = (axis: number): boolean => axis === along;
    const why = "TensorScatter writes by position along this axis";
    return [
      ...([0, 1] as const).flatMap((input) => sameAxes(dims, { but, why, input })),
      { from: ["in2", 0], to: ["out0", 0] },
    ];
  },
  gradient: ({ axis, mode }, { emit, inputs: [cache, updates, starts], up }) => {
    const dims = fixed(updates);
    const along = wrapAxis(axis, dims.length);
    const count = dims[along] ?? 0;
    const only = (place: number, size: number): readonly number[] => dims.map((_, own) => (own === place ? size : 1));
    const rows = emit.Reshape([range(count), only(along, count)]);
    const from = starts === undefined ? rows : emit.Add([rows, reshapeTo(emit, starts, only(0, dims[0] ?? 0))]);
    const size = emit.constant(int64([], [BigInt(fixed(cache)[along] ?? 0)]), "size");
    const around = mode === "circular" ? emit.Mod([from, size]) : from;
    const places = emit.Expand([around, dims]);
    const without = emit.ScatterElements([up, places, filled(emit, typeOf(up), dims, 0)], { axis: along });
    return [without, emit.GatherElements([up, places], { axis: along })];
  },
});

export const scatterOperators: readonly Op[] = [scatter("ScatterElements"), scatter("ScatterND")];
