/** The loss by which `recover` follows the outputs of the original. */
import { outputPartsOf } from "#analysis";
import { type Emit, elementCount, fixedDims, float32, type Model, sameDims, type Value } from "#ir";
import { castToFloat32, type Loss, type NamedValues, outputOf } from "../loss.ts";

/**
 * The relative noise of an output s against the original's t, Σ (s - t)² / Σ t², which needs no labels. On logits it is no worse than
 * softened distributions (Kim et al. 2021, arXiv 2105.08919). For an output of several parts, it is the mean over the parts.
 */
export function imitation(original: Model, output?: string): Loss {
  return {
    name: "imitation",
    build(scope) {
      const { emit } = scope;
      const teacher = scope.teacher(original);
      const target = outputOf(teacher, output);
      const [outputs, expected] = scaleParts(emit, teacher, target, [outputOf(scope, output), target]);
      const error = emit.Sub([outputs, expected]);
      const sum = (value: Value) => emit.ReduceSum([emit.Mul([value, value])], { keepdims: 0 });
      return { value: emit.Div([sum(error), sum(expected)]), feeds: () => ({}) };
    },
  };
}

/** Smallest power of a part, as a share of the mean power. It keeps the scale of a part of zeros finite. */
const minPower = 1e-12;

/**
 * Divides each part p of an output by √(K Σₚ t² / n), with K parts, n elements and the teacher's values t. The mean square of t is then 1, and all
 * parts have the same weight. An output of one part is only cast.
 * @param values values of the same shape as `target`.
 */
export function scaleParts<const V extends readonly Value[]>(
  emit: Emit,
  teacher: NamedValues,
  target: Value,
  values: V,
): { readonly [K in keyof V]: Value } {
  const floats = values.map((value) => castToFloat32(emit, value)) as { readonly [K in keyof V]: Value };
  const name = [...teacher.outputs].find(([, value]) => value === target)?.[0];
  const parts = name === undefined ? [] : outputPartsOf(teacher.network(), name);
  const dims = fixedDims(target.type?.dims);
  const isAlike = dims !== undefined && values.every(({ type }) => sameDims(type?.dims ?? [], dims));
  if (parts.length < 2 || !isAlike) return floats;
  const numbers = castToFloat32(emit, target);
  const squares = emit.Mul([numbers, numbers]);
  const meanOf = (value: Value, count: number): Value =>
    emit.Mul([emit.ReduceSum([value], { keepdims: 0 }), 1 / count]);
  const count = elementCount(dims);
  const lowest = emit.Mul([meanOf(squares, count), minPower]);
  const scales = parts.map(({ indices }) => {
    const masks = [...indices].map(([axis, positions]) => {
      const size = dims[axis] ?? 1;
      const mask = new Float32Array(size);
      for (const position of positions) mask[position] = 1;
      return emit.constant(
        float32(
          dims.map((_, other) => (other === axis ? size : 1)),
          mask,
        ),
      );
    });
    const mask = masks.reduce((product, other) => emit.Mul([product, other]));
    return emit.Div([mask, emit.Sqrt([emit.Max([meanOf(emit.Mul([squares, mask]), count / parts.length), lowest])])]);
  });
  const scale = scales.reduce((sum, other) => emit.Add([sum, other]));
  return floats.map((value) => emit.Mul([value, scale])) as { readonly [K in keyof V]: Value };
}
