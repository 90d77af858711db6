import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import type { Dim } from "../../tensor/dims.ts";
import type { AxisLink, Homogeneity, Site } from "../define.ts";
import { alignedAxes, castLike, range, widenToFloat32 } from "./rules.ts";

/** Facets of operators that scale by input 1 and shift by input 2. */
export const scaling = {
  parameters: [1, 2],
  scales: (): readonly number[] => [1],
  weight: new Miss("scales and shifts; it has no matrix"),
};

/** Scale and shift align with the last, normalized axes. */
export const alongLastAxes =
  (...inputs: readonly number[]) =>
  (_: unknown, site: Site): Homogeneity => {
    const rank = site.inputs[0]?.dims?.length ?? 0;
    const links = inputs.flatMap((input) => alignedAxes(site, input, rank));
    return { products: inputs.map((input) => [input]), links };
  };

interface NormalizedPorts {
  /** The first normalized axis; the axes before it pass through. */
  readonly first: number;
  /** Inputs that align with the last axes of the data. */
  readonly inputs: readonly number[];
  /** Outputs with statistics of each row. */
  readonly outputs: readonly number[];
  readonly reason: string;
}

/** Links the axes that pass through; the normalized axes of all inputs and of out0 refuse, because the statistics cover them. */
export function normalizedAxes(
  site: Site,
  dims: readonly Dim[],
  { first, inputs, outputs, reason }: NormalizedPorts,
): readonly AxisLink[] {
  const operands = inputs.flatMap((input) => {
    const operandDims = site.inputs[input]?.dims ?? [];
    return operandDims.flatMap((dim, axis): AxisLink[] => {
      const [end, out] = [[`in${input}`, axis] as const, dims.length - operandDims.length + axis];
      if (out >= first) return [{ refuses: end, reason, statistics: dim === 1 ? {} : { to: ["out0", out] } }];
      return dim !== 1 || dims[out] === 1 ? [{ from: end, to: ["out0", out] }] : [];
    });
  });
  const statistics = outputs.flatMap((output) =>
    range(first).map((axis): AxisLink => ({ from: [`out${output}`, axis], to: ["out0", axis] })),
  );
  const normalized = range(dims.length - first, first).map(
    (axis): AxisLink => ({ refuses: ["out0", axis], reason, statistics: {} }),
  );
  return [...operands, ...normalized, ...statistics];
}

const average = (emit: Emit, value: Value, axes: readonly number[]): Value =>
  emit.ReduceMean([value, axes], { keepdims: 1 });

const root = (emit: Emit, x: Value, epsilon: number): Value => emit.Sqrt([emit.Add([x, epsilon])]);

/** Writes (x - mean) / √(variance + ε), the mean, and 1 / √(…), over axes kept as 1. E[x²] - E[x]² would cancel for large means. */
export function normalize(emit: Emit, x: Value, axes: readonly number[], epsilon: number) {
  const mean = average(emit, x, axes);
  const centred = emit.Sub([x, mean]);
  const variance = average(emit, emit.Mul([centred, centred]), axes);
  const deviation = root(emit, variance, epsilon);
  return { normalized: emit.Div([centred, deviation]), mean, variance, inverse: emit.Reciprocal([deviation]) };
}

/** Writes x / √(mean(x²) + ε) · scale and 1/√(…); 16-bit floats are computed in float32. */
export function rootMeanSquare(
  emit: Emit,
  x: Value,
  scale: Value | undefined,
  { axes, epsilon }: { readonly axes: readonly number[]; readonly epsilon: number },
) {
  const wide = widenToFloat32(emit, x);
  const inverse = emit.Reciprocal([root(emit, average(emit, emit.Mul([wide, wide]), axes), epsilon)]);
  return { y: emit.Mul([castLike(emit, emit.Mul([wide, inverse]), scale), scale]), inverse };
}
