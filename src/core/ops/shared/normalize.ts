/** Facets and primitives that normalization operators share. */
import { type Dim, type Emit, Miss, type Value } from "#graph";
import type { AxisLink, Homogeneity, Site } from "../define.ts";
import { alignedAxes } from "./axis-links.ts";
import { castLike, range, widenToFloat32 } from "./shapes.ts";

/** Facets of operators that scale by the stored input 1 and shift by the stored input 2. */
export const scaleAndShiftFacets = {
  parameters: [1, 2],
  scales: (): readonly number[] => [1],
  weight: new Miss("scales and shifts; it has no matrix"),
};

/** Scale and shift align with the last axes of the data, which are normalized. */
export const homogeneousAlongLastAxes =
  (...inputs: readonly number[]) =>
  (_: unknown, site: Site): Homogeneity => {
    const rank = site.inputs[0]?.dims?.length ?? 0;
    const links = inputs.flatMap((input) => alignedAxes(site, input, rank));
    return { products: inputs.map((input) => [input]), links };
  };

interface NormalizedPorts {
  readonly first: number;
  /** Inputs that align with the last axes of the data. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly reason: string;
}

/** Links the axes before `first`. Normalized axes keep all indices, because their mean and variance cover them. */
export function normalizedAxes(
  site: Site,
  dims: readonly Dim[],
  { first, inputs, outputs, reason }: NormalizedPorts,
): readonly AxisLink[] {
  const operands = inputs.flatMap((input) => {
    const operandDims = site.inputs[input]?.dims ?? [];
    return operandDims.flatMap((dim, axis): AxisLink[] => {
      const [end, outAxis] = [[`in${input}`, axis] as const, dims.length - operandDims.length + axis];
      if (outAxis >= first) return [{ refuses: end, reason, statistics: dim === 1 ? {} : { to: ["out0", outAxis] } }];
      return dim !== 1 || dims[outAxis] === 1 ? [{ from: end, to: ["out0", outAxis] }] : [];
    });
  });
  const statistics = outputs.flatMap((output) =>
    range(first).map((axis): AxisLink => ({ from: [`out${output}`, axis], to: ["out0", axis] })),
  );
  const refusals = range(dims.length - first, first).map(
    (axis): AxisLink => ({ refuses: ["out0", axis], reason, statistics: {} }),
  );
  return [...operands, ...refusals, ...statistics];
}

const writeMean = (emit: Emit, value: Value, axes: readonly number[]): Value =>
  emit.ReduceMean([value, axes], { keepdims: 1 });

const writeDeviation = (emit: Emit, x: Value, epsilon: number): Value => emit.Sqrt([emit.Add([x, epsilon])]);

/** Writes (x - mean) / √(variance + ε) and its statistics. E[x²] - E[x]² would lose precision for large means. */
export function normalize(emit: Emit, x: Value, axes: readonly number[], epsilon: number) {
  const mean = writeMean(emit, x, axes);
  const centeredInput = emit.Sub([x, mean]);
  const variance = writeMean(emit, emit.Mul([centeredInput, centeredInput]), axes);
  const deviation = writeDeviation(emit, variance, epsilon);
  return { normalized: emit.Div([centeredInput, deviation]), mean, variance, inverse: emit.Reciprocal([deviation]) };
}

/** Writes x / √(mean(x²) + ε) · scale and 1 / √(mean(x²) + ε). */
export function rootMeanSquare(
  emit: Emit,
  x: Value,
  scale: Value | undefined,
  { axes, epsilon }: { readonly axes: readonly number[]; readonly epsilon: number },
) {
  const wideX = widenToFloat32(emit, x);
  const inverse = emit.Reciprocal([writeDeviation(emit, writeMean(emit, emit.Mul([wideX, wideX]), axes), epsilon)]);
  return { y: emit.Mul([castLike(emit, emit.Mul([wideX, inverse]), scale), scale]), inverse };
}
