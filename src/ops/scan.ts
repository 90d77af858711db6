/**
 * Cumulative sums and products. The gradient of a sum is the cumulative sum in the other direction. The gradient of a product multiplies,
 * in a matrix of all pairs, the elements before with those up to each position. Nothing is divided, so zeros are safe.
 */
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { fromNumbers, toNumbers } from "../tensor/convert.ts";
import { int64 } from "../tensor/dense.ts";
import { addDims, type Dim, multiplyDims } from "../tensor/dims.ts";
import { defineOp, type Op, type OpDef } from "./define.ts";
import { constantIntegers, integer, wrapAxis } from "./shared/attributes.ts";
import { exactElements, withElements } from "./shared/elements.ts";
import { fixed, inverse, need, range, sameAxes } from "./shared/rules.ts";

interface Settings {
  readonly exclusive: boolean;
  readonly reverse: boolean;
}

function running(
  { exclusive, reverse }: Settings,
  elements: readonly Dim[],
  start: Dim,
  combine: (a: Dim, b: Dim) => Dim,
): readonly Dim[] {
  const found: Dim[] = [];
  let so = start;
  for (const element of reverse ? elements.toReversed() : elements) {
    const next = combine(so, element);
    found.push(exclusive ? so : next);
    so = next;
  }
  return reverse ? found.reverse() : found;
}

type Gradient = Exclude<OpDef<Settings>["gradient"], Miss | undefined>;

const sumGradient: Gradient = (s, { emit, inputs: [, axis], up }) => [
  emit.CumSum([up, axis], { exclusive: s.exclusive ? 1 : 0, reverse: s.reverse ? 0 : 1 }),
];

const productGradient: Gradient = (s, { emit, inputs: [x, axis], up }) => {
  const dims = fixed(x);
  const [given] = axis?.tensor?.small === undefined ? [] : toNumbers(axis.tensor.small);
  if (given === undefined) return new Miss("its axis is computed at run time");
  const along = wrapAxis(given, dims.length);
  const size = dims[along] ?? 1;
  // Moves the axis last, and adds one for the other element of a pair.
  const order = [...dims.map((_, own) => own).filter((own) => own !== along), along];
  const turned = (value: Value, perm: readonly number[]): Value => emit.Transpose([value], { perm });
  const [row, column] = [turned(x, order), emit.Unsqueeze([turned(up, order), [-1]])];
  const pairs = (holds: (i: number, j: number) => boolean): Value => {
    const places = range(size * size).map((at) => (holds(Math.floor(at / size), at % size) ? 1 : 0));
    return emit.constant(fromNumbers("bool", [size, size], places), "pairs");
  };
  const how = { exclusive: s.exclusive ? 1 : 0, reverse: s.reverse ? 1 : 0 };
  const end = emit.constant(int64([], [-1n]), "axis");
  const beyond = pairs((i, j) => (s.reverse ? j < i : j > i));
  const reached = s.exclusive ? beyond : pairs((i, j) => (s.reverse ? j <= i : j >= i));
  const factors = emit.Where([beyond, emit.Unsqueeze([row, [-2]]), 1]);
  const between = emit.Where([reached, emit.CumProd([factors, end], how), 0]);
  const before = emit.CumProd([row, end], { exclusive: 1, reverse: how.reverse });
  const part = emit.Mul([before, emit.Squeeze([emit.MatMul([between, column]), [-1]])]);
  return [turned(part, inverse(order))];
};

function scan(name: "CumSum" | "CumProd", start: Dim, combine: (a: Dim, b: Dim) => Dim): Op {
  return defineOp<Settings>({
    name,
    needsFloat32: () => "it sums or multiplies many values",
    read: (site) => ({
      exclusive: integer(site, "exclusive", 0) !== 0,
      reverse: integer(site, "reverse", 0) !== 0,
    }),
    infer: (s, site) => {
      const { type, dims } = need(site, 0);
      const known = dims?.length === 1 ? exactElements(site.inputs[0]) : undefined;
      return [withElements({ type, dims }, known === undefined ? known : running(s, known, start, combine))];
    },
    // An axis of length 1 has nothing to accumulate.
    unchanged: (s, site) => {
      const dims = site.inputs[0]?.dims;
      const [axis] = constantIntegers(site.inputs[1]) ?? [];
      if (dims === undefined || axis === undefined || s.exclusive) return undefined;
      return dims[wrapAxis(axis, dims.length)] === 1 ? 0 : undefined;
    },
    axes: (_, site, dims) => {
      const [axis] = constantIntegers(site.inputs[1]) ?? [];
      if (axis === undefined) return new Miss("its axis is computed at run time");
      const along = wrapAxis(axis, dims.length);
      return sameAxes(dims, { but: (own) => own === along, why: `${name} runs along this axis` });
    },
    gradient: name === "CumProd" ? productGradient : sumGradient,
  });
}

export const scanOperators: readonly Op[] = [scan("CumSum", 0, addDims), scan("CumProd", 1, multiplyDims)];
