/**
 * What the data pick: NonZero, Compress, Unique. How many elements there will be, the elements decide, so their count has a name of its own
 * (`Site.open`) unless they are known.
 */
import { Miss } from "../errors.ts";
import { toNumbers } from "../tensor/convert.ts";
import { type Dim, elementCount } from "../tensor/dims.ts";
import { defineOp, type Inferred, type Operand } from "./define.ts";
import { integer, wrapAxis } from "./shared/attributes.ts";
import { filled, fixed, inverse, need, reshapeTo, sameAxes, shaped, typeOf } from "./shared/rules.ts";

const byData = new Miss("its size depends on the data");

/** Positions of what is not 0 in a vector, where that is known. */
function chosen(operand: Operand | undefined): readonly number[] | undefined {
  if (operand?.dims === undefined || operand.dims.length > 1) return undefined;
  const { small } = operand;
  const known = operand.elements ?? (small === undefined || !isNumeric(small.type) ? undefined : toNumbers(small));
  if (!known?.every((element) => typeof element === "number")) return undefined;
  return known.flatMap((element, position) => (element === 0 ? [] : [position]));
}

const isNumeric = (type: string): boolean => type !== "string" && !type.startsWith("complex");

/** The coordinates of what is not 0, a column each. ONNX Runtime takes a scalar for a vector of one. */
export const NonZero = defineOp({
  name: "NonZero",
  infer: (_, site) => {
    const operand = need(site, 0);
    const { dims } = operand;
    if (dims === undefined) return [{ type: "int64", dims: [site.open(0, 0), site.open(0, 1)] }];
    const rank = Math.max(1, dims.length);
    const positions = rank === 1 ? chosen(operand) : undefined;
    if (positions === undefined) return [{ type: "int64", dims: [rank, site.open(0, 1)] }];
    return [{ type: "int64", dims: [rank, positions.length], elements: positions }];
  },
  axes: byData,
  gradient: new Miss("outputs indices"),
  quantize: new Miss("outputs indices"),
});

interface Along {
  /** Undefined: of all elements in a row. */
  readonly axis: number | undefined;
}

/** The slices along an axis at which a condition holds. */
export const Compress = defineOp<Along>({
  name: "Compress",
  read: (site) => ({ axis: site.attribute("axis") === undefined ? undefined : integer(site, "axis", 0) }),
  infer: ({ axis }, site) => {
    const { type, dims, elements } = need(site, 0);
    const positions = chosen(site.inputs[1]);
    if (axis === undefined) {
      const out = [positions?.length ?? site.open(0, 0)];
      const kept = dims?.length === 1 ? positions?.flatMap((position) => elements?.[position] ?? []) : undefined;
      return [kept === undefined || kept.length !== out[0] ? { type, dims: out } : { type, dims: out, elements: kept }];
    }
    return shaped(site, (x) => {
      const along = wrapAxis(axis, x.length);
      return x.with(along, positions?.length ?? site.open(0, along));
    });
  },
  axes: ({ axis }, _site, dims) => {
    const along = axis === undefined ? undefined : wrapAxis(axis, dims.length);
    const but = (own: number): boolean => along === undefined || own === along;
    return sameAxes(dims, { but, why: "Compress selects by position along this axis" });
  },
  // Where the condition holds is known as positions once the graph runs; each is scattered back.
  gradient: ({ axis }, { emit, inputs: [x, condition], up }) => {
    const dims = fixed(x);
    const count = dims.reduce((all, dim) => all * dim, 1);
    const along = axis === undefined ? 0 : wrapAxis(axis, dims.length);
    const flat = axis === undefined ? [count] : dims;
    // Slices stand in front, so that a row of indices is a slice: [k, …] scattered into zeros.
    const order = [along, ...flat.map((_, own) => own).filter((own) => own !== along)];
    const positions = emit.Transpose([emit.NonZero([condition])], { perm: [1, 0] });
    const rows = along === 0 ? up : emit.Transpose([up], { perm: order });
    const shape = order.map((own) => flat[own] ?? 1);
    const placed = emit.ScatterND([filled(emit, typeOf(x), shape, 0), positions, rows]);
    const back = along === 0 ? placed : emit.Transpose([placed], { perm: inverse(order) });
    return [axis === undefined ? reshapeTo(emit, back, dims) : back];
  },
  quantize: () => ({ kind: "transparent" }),
});

/** What is left without repetitions, where each stands first, which of them each element is, and how often. */
export const Unique = defineOp({
  name: "Unique",
  read: (site) => ({
    axis: site.attribute("axis") === undefined ? undefined : integer(site, "axis", 0),
    sorted: integer(site, "sorted", 1) !== 0,
  }),
  infer: ({ axis }, site) => {
    const { type, dims } = need(site, 0);
    const along = axis === undefined || dims === undefined ? 0 : wrapAxis(axis, dims.length);
    const count = site.open(0, along);
    const whole: Dim | undefined =
      dims === undefined ? undefined : axis === undefined ? elementCount(dims) : dims[along];
    const values = axis === undefined ? [count] : dims?.map((dim, own) => (own === along ? count : dim));
    const found: readonly Inferred[] = [
      { type, dims: values },
      { type: "int64", dims: [count] },
      { type: "int64", dims: [whole ?? site.open(2, 0)] },
      { type: "int64", dims: [count] },
    ];
    return found.slice(0, site.outputs);
  },
  axes: byData,
  gradient: new Miss("is discontinuous where two elements become equal"),
});
