/**
 * Reductions over axes. Axes are an input since opset 13 for ReduceSum, since 18 for the others, where an empty list reduces all axes unless
 * `noop_with_empty_axes`. `derivative` gets the upstream gradient and the output with reduced axes kept as 1, so they broadcast against x.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { addDims, type Dim, extremeDims, multiplyDims } from "../tensor/dims.ts";
import { type AxisLink, defineOp, type Op, type Site } from "./define.ts";
import { attributeOrInput, integer, wrapAxis } from "./shared/attributes.ts";
import { exactElements, withElements } from "./shared/elements.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { dimsAt, fixed, ifSameDims, need, range, reshapeTo } from "./shared/rules.ts";

interface Settings {
  /** Undefined: all. */
  readonly axes: readonly number[] | "runtime" | undefined;
  readonly count?: number;
  readonly keep: boolean;
  readonly nothing: boolean;
}

interface Row {
  readonly name: string;
  /** Computes the reduction over dimensions, for shapes computed in the graph. */
  readonly onDims?: (elements: readonly Dim[]) => Dim | undefined;
  /** The reduction of one element is that element. */
  readonly keepsOne?: boolean;
  readonly picks?: boolean;
  readonly homogeneous?: readonly (readonly number[])[];
  /** A channel of zeros does not change the result. */
  readonly absorbsZeros: boolean;
  /** A mean, which is also valid over fewer channels. */
  readonly averages?: true;
  readonly derivative:
    | ((parts: { emit: Emit; up: Value; x: Value; y: Value; count: number; sum: (value: Value) => Value }) => Value)
    | Miss;
}

function read(site: Site): Settings {
  const given = attributeOrInput(site, "axes", 1);
  const keep = integer(site, "keepdims", 1) !== 0;
  const noop = integer(site, "noop_with_empty_axes", 0) !== 0;
  if (given === "runtime") {
    const count = site.inputs[1]?.dims?.[0];
    return typeof count === "number" && count > 0
      ? { axes: "runtime", count, keep, nothing: false }
      : { axes: "runtime", keep, nothing: noop };
  }
  const empty = given === undefined || given.known.length === 0;
  return { axes: empty ? undefined : given.known, keep, nothing: empty && noop };
}

const atRunTime = new Miss("its axes are computed at run time");

function reducedAxes(s: Settings, rank: number): ReadonlySet<number> | undefined {
  if (s.axes === "runtime") return s.count === rank ? new Set(range(rank)) : undefined;
  if (s.nothing) return new Set();
  return new Set(s.axes?.map((axis) => wrapAxis(axis, rank)) ?? range(rank));
}

function outDims(s: Settings, dims: readonly Dim[]): readonly Dim[] | undefined {
  const gone = reducedAxes(s, dims.length);
  return gone === undefined
    ? undefined
    : dims.flatMap((dim, axis): Dim[] => (gone.has(axis) ? (s.keep ? [1] : []) : [dim]));
}

/** Names the output dimensions if the axes are unknown; undefined if the rank is unknown, too. */
function openDims(s: Settings, dims: readonly Dim[], site: Site): readonly Dim[] | undefined {
  const rank = s.keep ? dims.length : s.count === undefined ? undefined : dims.length - s.count;
  return rank === undefined ? undefined : Array.from({ length: rank }, (_, axis) => site.open(0, axis));
}

function links(s: Settings, dims: readonly Dim[], row: Row): readonly AxisLink[] | Miss {
  const gone = reducedAxes(s, dims.length);
  if (gone === undefined) return atRunTime;
  let outAxis = 0;
  return dims.map((_, axis): AxisLink => {
    const at = outAxis;
    if (!gone.has(axis) || s.keep) outAxis++;
    if (!gone.has(axis)) return { from: ["in0", axis], to: ["out0", at] };
    if (row.absorbsZeros) return { absorbs: ["in0", axis] };
    const reason = `${row.name} over this axis would change`;
    return { refuses: ["in0", axis], reason, ...(row.averages === true ? { statistics: {} } : {}) };
  });
}

function reduction(row: Row): Op {
  const { derivative } = row;
  return defineOp<Settings>({
    name: row.name,
    needsFloat32: () => (row.picks === true ? undefined : "it sums or multiplies many values"),
    ...(row.picks === true ? { quantize: () => ({ kind: "transparent" }) } : {}),
    read,
    infer: (s, site) => {
      const { type } = need(site, 0);
      const dims = dimsAt(site, 0);
      if (dims instanceof Miss) return [{ type, dims: undefined }];
      const inferred = { type, dims: outDims(s, dims) ?? openDims(s, dims, site) };
      const elements = exactElements(site.inputs[0]);
      if (row.onDims === undefined || elements === undefined || dims.length !== 1 || s.nothing) return [inferred];
      return [withElements(inferred, [row.onDims(elements)])];
    },
    unchanged: (s, site) => {
      const dims = site.inputs[0]?.dims;
      if (dims === undefined || row.keepsOne !== true) return undefined;
      const single = [...(reducedAxes(s, dims.length) ?? dims.keys())].every((axis) => dims[axis] === 1);
      return single ? ifSameDims(site, outDims(s, dims)) : undefined;
    },
    homogeneous: row.homogeneous,
    axes: (s, _, dims) => links(s, dims, row),
    gradient:
      derivative instanceof Miss
        ? derivative
        : (s, { emit, inputs: [x], y, up }) => {
            const dims = fixed(x);
            const gone = reducedAxes(s, dims.length);
            if (gone === undefined) return atRunTime;
            const kept = dims.map((dim, axis) => (gone.has(axis) ? 1 : dim));
            const count = dims.reduce((product, dim, axis) => (gone.has(axis) ? product * dim : product), 1);
            const open = (value: Value): Value => (s.keep || gone.size === 0 ? value : reshapeTo(emit, value, kept));
            const sum = (value: Value): Value =>
              gone.size === 0 ? value : emit.ReduceSum([value, [...gone]], { keepdims: 1 });
            const part = derivative({ emit, up: open(up), x, y: open(y), count, sum });
            return [gone.size === 0 ? part : emit.Expand([part, dims])];
          },
  });
}

export const reduceOperators: readonly Op[] = [
  reduction({
    name: "ReduceSum",
    homogeneous: [[0]],
    keepsOne: true,
    onDims: (elements) => elements.reduce(addDims, 0),
    absorbsZeros: true,
    derivative: ({ up }) => up,
  }),
  reduction({
    name: "ReduceMean",
    homogeneous: [[0]],
    keepsOne: true,
    absorbsZeros: false,
    averages: true,
    derivative: ({ emit, up, count }) => emit.Div([up, count]),
  }),
  reduction({
    name: "ReduceSumSquare",
    absorbsZeros: true,
    derivative: ({ emit, up, x }) => emit.Mul([up, emit.Mul([x, 2])]),
  }),
  reduction({
    name: "ReduceL2",
    homogeneous: [[0]],
    absorbsZeros: true,
    // x / ‖x‖, defined as 0 if the norm is 0.
    derivative: ({ emit, up, x, y }) => {
      const safe = emit.Where([emit.Equal([y, 0]), 1, y]);
      return emit.Mul([up, emit.Div([x, safe])]);
    },
  }),
  reduction({
    name: "ReduceL1",
    homogeneous: [[0]],
    absorbsZeros: true,
    derivative: ({ emit, up, x }) => emit.Mul([up, emit.Sign([x])]),
  }),
  reduction({
    name: "ReduceLogSum",
    absorbsZeros: true,
    // y = ln Σx, so dy/dx = e⁻ʸ.
    derivative: ({ emit, up, y }) => emit.Mul([up, emit.Exp([emit.Neg([y])])]),
  }),
  reduction({
    name: "ReduceLogSumExp",
    absorbsZeros: false,
    derivative: ({ emit, up, x, y }) => emit.Mul([up, emit.Exp([emit.Sub([x, y])])]),
  }),
  ...(["ReduceMax", "ReduceMin"] as const).map((name) =>
    reduction({
      name,
      keepsOne: true,
      picks: true,
      homogeneous: [[0]],
      onDims: (elements) =>
        elements.length === 0 ? undefined : extremeDims(name === "ReduceMax" ? "max" : "min", elements),
      absorbsZeros: false,
      // Elements that share the extremum share its gradient evenly.
      derivative: ({ emit, up, x, y, sum }) => {
        const reached = emit.CastLike([emit.Equal([x, y]), x]);
        return emit.Mul([emit.Div([up, sum(reached)]), reached]);
      },
    }),
  ),
  reduction({
    name: "ReduceProd",
    keepsOne: true,
    onDims: (elements) => elements.reduce(multiplyDims, 1),
    absorbsZeros: false,
    derivative: inferenceOnly,
  }),
];
