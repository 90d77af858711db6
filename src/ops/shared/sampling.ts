/**
 * Interpolated image sampling: y(p) = Σ weight(p, q) · x[q] over neighbors q. Per axis, weights are polynomials of t = u - ⌊u⌋; axes multiply.
 * The derivative of ⌊u⌋ is 0, so gradients by image and coordinates are exact (from above at integer u).
 */
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { elementCount, stridesOf } from "../../tensor/dims.ts";
import { typeCodes } from "../../tensor/types.ts";
import { scalar, typeOf } from "./rules.ts";

export type Kernel = "nearest" | "linear" | "cubic";

/** Padding mode: 0, the nearest position, or reflection at the centers of border positions or around them. */
export type Outside = "zeros" | "border" | "reflection" | "reflection around";

/** Polynomials of t for the positions from `first` on, lowest power first. Keys' cubic convolution has a = -0.75. */
const kernels: Readonly<Record<Exclude<Kernel, "nearest">, { readonly first: number; readonly weights: number[][] }>> =
  {
    linear: {
      first: 0,
      weights: [
        [1, -1],
        [0, 1],
      ],
    },
    cubic: {
      first: -1,
      weights: [
        [0, -0.75, 1.5, -0.75],
        [1, 0, -2.25, 1.25],
        [0, 0.75, 1.5, -1.25],
        [0, 0, -0.75, 0.75],
      ],
    },
  };

interface Around {
  readonly places: Value;
  readonly weight: Value | undefined;
}

/** Samples images N × spatial × C at coordinates N × Q per axis, counted from 0: N × Q × C. */
export function sample(
  emit: Emit,
  images: Value,
  spatial: readonly number[],
  coordinates: readonly Value[],
  { kernel, outside }: { readonly kernel: Kernel; readonly outside: Outside },
): Value {
  const strides = stridesOf(spatial);
  const perAxis = coordinates.map((u, axis) => around(emit, u, spatial[axis] ?? 1, kernel, outside));
  const empty: { readonly index: Value | undefined; readonly weight: Value | undefined } = {
    index: undefined,
    weight: undefined,
  };
  const both = (a: Value | undefined, b: Value | undefined, op: "Add" | "Mul"): Value | undefined =>
    a === undefined || b === undefined ? (a ?? b) : emit[op]([a, b]);
  const corners = perAxis.reduce(
    (before, choices, axis) =>
      before.flatMap(({ index, weight }) =>
        choices.map((choice) => ({
          index: both(index, emit.Mul([choice.places, strides[axis] ?? 1]), "Add"),
          weight: both(weight, choice.weight, "Mul"),
        })),
      ),
    [empty],
  );
  const raised = (values: readonly (Value | undefined)[]): Value =>
    emit.Concat(
      values.flatMap((value) => (value === undefined ? [] : [emit.Unsqueeze([value, [1, 3]])])),
      { axis: 1 },
    );
  // N × corners × Q × 1
  const rows = emit.Reshape([images, [0, elementCount(spatial), -1]]);
  const read = emit.GatherND([rows, raised(corners.map(({ index }) => index))], { batch_dims: 1 });
  const weighed = corners.some(({ weight }) => weight === undefined)
    ? read
    : emit.Mul([read, raised(corners.map(({ weight }) => weight))]);
  return emit.ReduceSum([weighed, [1]], { keepdims: 0 });
}

function around(emit: Emit, u: Value, size: number, kernel: Kernel, outside: Outside): readonly Around[] {
  const type = typeOf(u);
  const floor = kernel === "nearest" ? emit.Round([u]) : emit.Floor([u]);
  const whole = emit.Cast([floor], { to: typeCodes.int64 });
  const { first, weights } = kernel === "nearest" ? { first: 0, weights: [undefined] } : kernels[kernel];
  const t = kernel === "nearest" ? undefined : emit.Sub([u, floor]);
  return weights.map((polynomial, at) => {
    const place = first + at === 0 ? whole : emit.Add([whole, first + at]);
    const weight = polynomial === undefined || t === undefined ? undefined : horner(emit, t, polynomial);
    const places = inside(emit, place, size, outside);
    if (outside !== "zeros") return { places, weight };
    const seen = emit.Equal([places, place]);
    if (weight === undefined) return { places, weight: emit.Cast([seen], { to: typeCodes[type] }) };
    return { places, weight: emit.Where([seen, weight, 0]) };
  });
}

function horner(emit: Emit, t: Value, polynomial: readonly number[]): Value {
  const [last = 0, ...rest] = polynomial.toReversed();
  const start: Value | undefined = undefined;
  const sum = rest.reduce<Value | undefined>((before, coefficient) => {
    const product = before === undefined ? (last === 1 ? t : emit.Mul([t, last])) : emit.Mul([t, before]);
    return coefficient === 0 ? product : emit.Add([product, coefficient]);
  }, start);
  return sum ?? scalar(emit, typeOf(t), last);
}

function inside(emit: Emit, place: Value, size: number, outside: Outside): Value {
  if (outside === "zeros" || outside === "border") return emit.Min([emit.Max([place, 0]), size - 1]);
  // 0 1 2 1 0 1 2 … or 0 1 2 2 1 0 0 1 2 …
  const period = outside === "reflection" ? 2 * (size - 1) : 2 * size;
  if (period === 0) return emit.Mul([place, 0]);
  const turn = emit.Mod([place, period]);
  return emit.Min([turn, emit.Sub([outside === "reflection" ? period : period - 1, turn])]);
}
