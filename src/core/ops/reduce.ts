/** Reductions over axes, and cumulative sums. An empty list of axes reduces all axes, unless `noop_with_empty_axes` is set. */
import { addDims, type Dim, type Emit, elementCount, extremeDims, Miss, multiplyDims, type Value } from "#graph";
import { type AxisLink, defineOp, type Op, type Site } from "./define.ts";
import { constantIntegersOf, readAttributeOrInput, readFlag, wrapAxis } from "./shared/attributes.ts";
import { sameAxes } from "./shared/axis-links.ts";
import { exactElements, withElements } from "./shared/elements.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { inferShape, inputIfSameDims, range, requireInput, reshapeTo, sizesOf } from "./shared/shapes.ts";

interface Settings {
  /** Undefined means all axes, "runtime" axes that are computed at run time. */
  readonly axes: readonly number[] | "runtime" | undefined;
  /** The number of axes that are computed at run time. */
  readonly count?: number;
  readonly keepsAxes: boolean;
  /** Whether an empty list of axes leaves the data unchanged. */
  readonly isIdentity: boolean;
}

interface Reduction {
  readonly onDims?: (elements: readonly Dim[]) => Dim | undefined;
  /** Whether the reduction of one element is that element. */
  readonly keepsOne?: true;
  /** Whether the result is one of the elements (maximum, minimum). */
  readonly picks?: true;
  readonly homogeneous?: readonly (readonly number[])[];
  /** Whether a channel of zeros can be removed. */
  readonly absorbsZeros?: true;
  /** Whether the reduction is also meaningful over fewer channels, as a mean. */
  readonly averages?: true;
  /** Writes dLoss/dx. `up` and `y` have the reduced axes with length 1. */
  readonly derivative:
    | ((parts: { emit: Emit; up: Value; x: Value; y: Value; count: number; sum: (value: Value) => Value }) => Value)
    | Miss;
}

function read(site: Site): Settings {
  const axes = readAttributeOrInput(site, "axes", 1);
  const keepsAxes = readFlag(site, "keepdims", true);
  const isIdentity = readFlag(site, "noop_with_empty_axes");
  if (axes === "runtime") {
    const count = site.inputs[1]?.dims?.[0];
    return typeof count === "number" && count > 0
      ? { axes, count, keepsAxes, isIdentity: false }
      : { axes, keepsAxes, isIdentity };
  }
  const isEmpty = axes === undefined || axes.known.length === 0;
  return { axes: isEmpty ? undefined : axes.known, keepsAxes, isIdentity: isEmpty && isIdentity };
}

const runtimeAxes = new Miss("its axes are computed at run time");

function reducedAxes(s: Settings, rank: number): ReadonlySet<number> | undefined {
  if (s.axes === "runtime") return s.count === rank ? new Set(range(rank)) : undefined;
  if (s.isIdentity) return new Set();
  return new Set(s.axes?.map((axis) => wrapAxis(axis, rank)) ?? range(rank));
}

/** Whether ONNX Runtime reduces to another size than the standard: an empty tensor along negative axes. */
const hasWrongSize = ({ axes }: Settings, dims: readonly Dim[]): boolean =>
  dims.includes(0) && axes !== undefined && axes !== "runtime" && axes.some((axis) => axis < 0);

function reducedDims(s: Settings, dims: readonly Dim[]): readonly Dim[] | undefined {
  const reducedSet = hasWrongSize(s, dims) ? undefined : reducedAxes(s, dims.length);
  return reducedSet && dims.flatMap((dim, axis): Dim[] => (reducedSet.has(axis) ? (s.keepsAxes ? [1] : []) : [dim]));
}

/** Returns symbols for the output dimensions; undefined if the rank is unknown. */
function openDims(s: Settings, dims: readonly Dim[], site: Site): readonly Dim[] | undefined {
  const rank = s.keepsAxes ? dims.length : s.count === undefined ? undefined : dims.length - s.count;
  return rank === undefined ? undefined : range(rank).map((axis) => site.open(0, axis));
}

function defineReduction(name: string, row: Reduction): Op {
  const { derivative, onDims } = row;
  return defineOp<Settings>({
    name,
    needsFloat32: () => (row.picks === true ? undefined : "it sums or multiplies many values"),
    ...(row.picks === true ? { quantize: () => ({ kind: "transparent" }) } : {}),
    read,
    infer: (s, site) => {
      const outputs = inferShape(site, (dims) => reducedDims(s, dims) ?? openDims(s, dims, site));
      const elements = exactElements(site.inputs[0]);
      if (outputs instanceof Miss || onDims === undefined || elements === undefined || s.isIdentity) return outputs;
      if (site.inputs[0]?.dims?.length !== 1) return outputs;
      return outputs.map((output) => withElements(output, [onDims(elements)]));
    },
    unchanged: (s, site) => {
      const dims = site.inputs[0]?.dims;
      if (dims === undefined || row.keepsOne !== true) return undefined;
      const isSingle = [...(reducedAxes(s, dims.length) ?? dims.keys())].every((axis) => dims[axis] === 1);
      return isSingle ? inputIfSameDims(site, reducedDims(s, dims)) : undefined;
    },
    homogeneous: row.homogeneous,
    axes: (s, _, dims) => {
      const reducedSet = reducedAxes(s, dims.length);
      if (reducedSet === undefined) return runtimeAxes;
      return dims.map((_, axis): AxisLink => {
        const outAxis = s.keepsAxes ? axis : range(axis).filter((other) => !reducedSet.has(other)).length;
        if (!reducedSet.has(axis)) return { from: ["in0", axis], to: ["out0", outAxis] };
        if (row.absorbsZeros) return { absorbs: ["in0", axis] };
        const reason = `${name} over this axis would change`;
        return { refuses: ["in0", axis], reason, ...(row.averages === true ? { statistics: {} } : {}) };
      });
    },
    gradient:
      derivative instanceof Miss
        ? derivative
        : (s, { emit, inputs: [x], y, up }) => {
            const dims = sizesOf(x);
            const reducedSet = reducedAxes(s, dims.length);
            if (reducedSet === undefined) return runtimeAxes;
            if (reducedSet.size === 0) return [derivative({ emit, up, x, y, count: 1, sum: (value) => value })];
            const keptDims = dims.map((dim, axis) => (reducedSet.has(axis) ? 1 : dim));
            const count = elementCount(dims.filter((_, axis) => reducedSet.has(axis)));
            const withReducedAxes = (value: Value): Value => (s.keepsAxes ? value : reshapeTo(emit, value, keptDims));
            const sum = (value: Value): Value => emit.ReduceSum([value, [...reducedSet]], { keepdims: 1 });
            return [
              emit.Expand([derivative({ emit, up: withReducedAxes(up), x, y: withReducedAxes(y), count, sum }), dims]),
            ];
          },
  });
}

const extremumReduction = (name: "max" | "min"): Reduction => ({
  keepsOne: true,
  picks: true,
  homogeneous: [[0]],
  onDims: (elements) => (elements.length === 0 ? undefined : extremeDims(name, elements)),
  // Elements that equal the extremum share its gradient evenly.
  derivative: ({ emit, up, x, y, sum }) => {
    const isExtremum = emit.CastLike([emit.Equal([x, y]), x]);
    return emit.Mul([emit.Div([up, sum(isExtremum)]), isExtremum]);
  },
});

const reductions: Readonly<Record<string, Reduction>> = {
  ReduceSum: {
    homogeneous: [[0]],
    keepsOne: true,
    onDims: (elements) => elements.reduce(addDims, 0),
    absorbsZeros: true,
    derivative: ({ up }) => up,
  },
  ReduceMean: {
    homogeneous: [[0]],
    keepsOne: true,
    averages: true,
    derivative: ({ emit, up, count }) => emit.Div([up, count]),
  },
  ReduceSumSquare: { absorbsZeros: true, derivative: ({ emit, up, x }) => emit.Mul([up, emit.Mul([x, 2])]) },
  ReduceL2: {
    homogeneous: [[0]],
    absorbsZeros: true,
    // dx = dy · x / ‖x‖, defined as 0 if the norm is 0.
    derivative: ({ emit, up, x, y }) => emit.Mul([up, emit.Div([x, emit.Where([emit.Equal([y, 0]), 1, y])])]),
  },
  ReduceL1: { homogeneous: [[0]], absorbsZeros: true, derivative: ({ emit, up, x }) => emit.Mul([up, emit.Sign([x])]) },
  // y = ln Σ x, so dy/dx = e⁻ʸ.
  ReduceLogSum: { absorbsZeros: true, derivative: ({ emit, up, y }) => emit.Mul([up, emit.Exp([emit.Neg([y])])]) },
  ReduceLogSumExp: { derivative: ({ emit, up, x, y }) => emit.Mul([up, emit.Exp([emit.Sub([x, y])])]) },
  ReduceMax: extremumReduction("max"),
  ReduceMin: extremumReduction("min"),
  ReduceProd: { keepsOne: true, onDims: (elements) => elements.reduce(multiplyDims, 1), derivative: inferenceOnly },
};

export const reduceOperators: readonly Op[] = Object.entries(reductions).map(([name, row]) =>
  defineReduction(name, row),
);

interface ScanSettings {
  readonly isExclusive: boolean;
  readonly isReversed: boolean;
}

function accumulate({ isExclusive, isReversed }: ScanSettings, elements: readonly Dim[]): readonly Dim[] {
  const results: Dim[] = [];
  let total: Dim = 0;
  for (const element of isReversed ? elements.toReversed() : elements) {
    const next = addDims(total, element);
    results.push(isExclusive ? total : next);
    total = next;
  }
  return isReversed ? results.reverse() : results;
}

export const CumSum = defineOp<ScanSettings>({
  name: "CumSum",
  needsFloat32: () => "it sums many values",
  read: (site) => ({ isExclusive: readFlag(site, "exclusive"), isReversed: readFlag(site, "reverse") }),
  infer: (s, site) => {
    const { type, dims } = requireInput(site, 0);
    const elements = dims?.length === 1 ? exactElements(site.inputs[0]) : undefined;
    return [withElements({ type, dims }, elements && accumulate(s, elements))];
  },
  unchanged: (s, site) => {
    const dims = site.inputs[0]?.dims;
    const [axis] = constantIntegersOf(site.inputs[1]) ?? [];
    if (dims === undefined || axis === undefined || s.isExclusive) return undefined;
    return dims[wrapAxis(axis, dims.length)] === 1 ? 0 : undefined;
  },
  axes: (_, site, dims) => {
    const [axis] = constantIntegersOf(site.inputs[1]) ?? [];
    if (axis === undefined) return new Miss("its axis is computed at run time");
    const summedAxis = wrapAxis(axis, dims.length);
    return sameAxes(dims, { refused: (other) => other === summedAxis, reason: "CumSum runs along this axis" });
  },
  // The gradient is the cumulative sum in the other direction.
  gradient: (s, { emit, inputs: [, axis], up }) => [
    emit.CumSum([up, axis], { exclusive: s.isExclusive ? 1 : 0, reverse: s.isReversed ? 0 : 1 }),
  ],
});
