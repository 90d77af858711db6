/** Tensors made from a few numbers: Range, EyeLike, OneHot. */
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { fromNumbers, isFloat, toFloat64 } from "../tensor/convert.ts";
import { addDims, ceilDims, type Dim, isSymbolic, multiplyDims, quotientParts } from "../tensor/dims.ts";
import type { DataType } from "../tensor/types.ts";
import { type AxisLink, defineOp, type Operand, type Site } from "./define.ts";
import { elementType, integer, wrapAxis } from "./shared/attributes.ts";
import { withElements } from "./shared/elements.ts";
import { need, positions, reshapeTo, shaped, typeOf } from "./shared/rules.ts";

/** The one number of an operand, as far as it is known: a dimension, or stored. */
function single(operand: Operand | undefined): Dim | undefined {
  const { elements, small } = operand ?? {};
  if (elements !== undefined) return elements[0];
  return small === undefined || small.type === "string" || small.type.startsWith("complex")
    ? undefined
    : toFloat64(small)[0];
}

/** How many numbers there are from `start` to before `limit`, in steps. */
function counted(start: Dim, limit: Dim, step: Dim, type: DataType): Dim | undefined {
  if (isSymbolic(step) || step === 0) return undefined;
  if (!isSymbolic(start) && !isSymbolic(limit)) {
    // The runtime subtracts in the type of the operands.
    const length = type === "float32" ? Math.fround(limit - start) : limit - start;
    return Math.max(0, Math.ceil(length / step));
  }
  if (!Number.isInteger(step)) return undefined;
  const [from, to] = step > 0 ? [start, limit] : [limit, start];
  // Half of a height, as a float: what is rounded is the quotient.
  const share = from === 0 ? quotientParts(to) : undefined;
  if (share !== undefined) return ceilDims(share[0], multiplyDims(share[1], Math.abs(step)));
  const length = addDims(to, multiplyDims(-1, from));
  if (!isSymbolic(length)) return Math.max(0, Math.ceil(length / Math.abs(step)));
  return isFloat(type) && length.text.includes(")/(") ? undefined : ceilDims(length, Math.abs(step));
}

/** The longest list whose elements are followed. */
const most = 64;

/** start, start + step, …: as many as come before the limit. */
export const Range = defineOp({
  name: "Range",
  infer: (_, site) => {
    const { type } = need(site, 0);
    const [start, limit, step] = [0, 1, 2].map((input) => single(site.inputs[input]));
    const count =
      start === undefined || limit === undefined || step === undefined ? undefined : counted(start, limit, step, type);
    if (count === undefined || start === undefined || step === undefined) return [{ type, dims: [site.open(0, 0)] }];
    if (typeof count !== "number" || count > most) return [{ type, dims: [count] }];
    const elements = Array.from({ length: count }, (_, k) => addDims(start, multiplyDims(k, step)));
    return [withElements({ type, dims: [count] }, elements)];
  },
  axes: new Miss("generates a range"),
  gradient: new Miss("its length is a step function of its bounds"),
  quantize: new Miss("generates a range"),
});

/** Ones on a diagonal of a matrix as large as the input. */
export const EyeLike = defineOp({
  name: "EyeLike",
  read: (site) => ({ type: elementType(site, "dtype"), diagonal: integer(site, "k", 0) }),
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    return [{ type: s.type ?? type, dims }];
  },
  axes: new Miss("writes by position"),
  // It does not depend on its input's elements.
  gradient: () => [],
  quantize: new Miss("is a constant"),
});

interface Hot {
  /** Undefined where it is computed at run time. */
  readonly depth: Dim | undefined;
  /** The new axis, in the output. */
  readonly axis: number;
}

/** The new axis among those of the output. */
function newAxis(s: Hot, site: Site): number {
  return wrapAxis(s.axis, (site.inputs[0]?.dims?.length ?? 0) + 1);
}

/** values = [off, on]: on where the new axis stands at the index, off elsewhere. */
export const OneHot = defineOp<Hot>({
  name: "OneHot",
  read: (site) => {
    const depth = single(site.inputs[1]);
    return { depth: typeof depth === "number" ? Math.trunc(depth) : depth, axis: integer(site, "axis", -1) };
  },
  infer: (s, site) => {
    const at = newAxis(s, site);
    return shaped(site, (dims) => dims.toSpliced(at, 0, s.depth ?? site.open(0, at)), need(site, 2).type);
  },
  wants: (s) => positions(0, s.depth),
  axes: (s, site, dims) => {
    const at = newAxis(s, site);
    const places = dims.map(
      (_, axis): AxisLink => ({ from: ["in0", axis], to: ["out0", axis < at ? axis : axis + 1] }),
    );
    return [...places, { refuses: ["out0", at], reason: "OneHot counts along this axis" }];
  },
  // What goes to "on" is the sum of the places that are hot, what goes to "off" that of the others.
  gradient: (s, { emit, inputs: [indices, depth, values], up, wanted }) => {
    if (values === undefined || up === undefined || !wanted(2)) return [];
    const share = (lit: 0 | 1): Value => {
      const pair = emit.constant(fromNumbers(floatType(values), [2], [1 - lit, lit]));
      return emit.ReduceSum([emit.Mul([up, emit.OneHot([indices, depth, pair], { axis: s.axis })])], { keepdims: 0 });
    };
    const pair = [share(0), share(1)].map((value) => reshapeTo(emit, value, [1]));
    return [undefined, undefined, emit.Concat(pair, { axis: 0 })];
  },
});

function floatType(value: Value): "float32" | "float64" {
  return typeOf(value) === "float64" ? "float64" : "float32";
}
