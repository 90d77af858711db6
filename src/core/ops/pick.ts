/**
 * Data-dependent selection: NonZero, Compress, Unique, ArgMax, ArgMin, TopK. Unknown output counts get a name (`Site.open`).
 * Opset history: ArgMax and ArgMin have `select_last_index` since 12; TopK has k as an input since 10, `largest` and `sorted` since 11.
 */
import { Miss } from "../errors.ts";
import { toNumbers } from "../tensor/convert.ts";
import { type Dim, elementCount } from "../tensor/dims.ts";
import { type AxisLink, defineOp, type Inferred, type Op, type Operand } from "./define.ts";
import { integer, wrapAxis } from "./shared/attributes.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { filled, fixed, need, sameAxes, shaped, typeOf } from "./shared/rules.ts";

const byData = new Miss("its size depends on the data");

function chosen(operand: Operand | undefined): readonly number[] | undefined {
  if (operand?.dims === undefined || operand.dims.length > 1) return undefined;
  const { small } = operand;
  const known = operand.elements ?? (small === undefined || !isNumeric(small.type) ? undefined : toNumbers(small));
  if (!known?.every((element) => typeof element === "number")) return undefined;
  return known.flatMap((element, position) => (element === 0 ? [] : [position]));
}

const isNumeric = (type: string): boolean => type !== "string" && !type.startsWith("complex");

/** The coordinates of nonzero elements, one per column. ONNX Runtime treats a scalar as a vector of one. */
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
  readonly axis: number | undefined;
}

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
    const refused = (other: number): boolean => along === undefined || other === along;
    return sameAxes(dims, { refused, reason: "Compress selects by position along this axis" });
  },
  gradient: inferenceOnly,
  quantize: () => ({ kind: "transparent" }),
});

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

function position(name: "ArgMax" | "ArgMin"): Op {
  return defineOp({
    name,
    read: (site) => ({
      axis: integer(site, "axis", 0),
      keep: integer(site, "keepdims", 1) !== 0,
      last: integer(site, "select_last_index", 0) !== 0,
    }),
    infer: (s, site) =>
      shaped(site, (dims = []) => dims.toSpliced(wrapAxis(s.axis, dims.length), 1, ...(s.keep ? [1] : [])), "int64"),
    axes: (s, _, dims) => {
      const along = wrapAxis(s.axis, dims.length);
      return dims.map((_, axis): AxisLink => {
        if (axis === along) return { refuses: ["in0", axis], reason: `${name} outputs indices along this axis` };
        return { from: ["in0", axis], to: ["out0", s.keep || axis < along ? axis : axis - 1] };
      });
    },
    gradient: new Miss("outputs indices"),
    quantize: new Miss("outputs indices"),
  });
}

export const TopK = defineOp({
  name: "TopK",
  read: (site) => ({
    axis: integer(site, "axis", -1),
    // Undefined if computed at run time.
    count: site.version < 10 ? integer(site, "k", 1) : site.inputs[1]?.elements?.[0],
    largest: integer(site, "largest", 1) !== 0,
    sorted: integer(site, "sorted", 1) !== 0,
  }),
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    const along = dims === undefined ? 0 : wrapAxis(s.axis, dims.length);
    const out = dims?.map((dim, axis) => (axis === along ? (s.count ?? site.open(0, axis)) : dim));
    const found: readonly Inferred[] = [
      { type, dims: out },
      { type: "int64", dims: out },
    ];
    return found;
  },
  axes: (s, _site, dims) => {
    const along = wrapAxis(s.axis, dims.length);
    return dims.flatMap((_, axis): AxisLink[] => {
      if (axis === along) return [{ refuses: ["in0", axis], reason: "TopK picks along this axis" }];
      return [
        { from: ["in0", axis], to: ["out0", axis] },
        { from: ["in0", axis], to: ["out1", axis] },
      ];
    });
  },
  // Selected values are elements of x; of equal elements, ONNX Runtime selects the first.
  gradient: (s, { emit, inputs: [x], outputs: [, positions], up }) => {
    if (positions === undefined) return new Miss("the positions that it selects are not an output");
    const dims = fixed(x);
    const zeros = filled(emit, typeOf(x), dims, 0);
    return [emit.ScatterElements([zeros, positions, up], { axis: wrapAxis(s.axis, dims.length), reduction: "add" })];
  },
});

export const orderOperators: readonly Op[] = [position("ArgMax"), position("ArgMin")];
