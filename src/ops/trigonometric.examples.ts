/** Circular and hyperbolic functions: a batch, a scalar and an empty tensor each, inside their domains. */
import { between, type Example, example } from "./define.examples.ts";

function cases(op: string, feeds: Example["feeds"]): readonly Example[] {
  return [
    example(`${op} of a batch`, `(x: float32[batch, 3]) y = ${op}(x)`, { feeds }),
    example(`${op} of a scalar`, `(x: float32[]) y = ${op}(x)`, { feeds }),
    example(`${op} of nothing`, `(x: float32[0, 3]) y = ${op}(x)`, { feeds }),
    example(`${op} of opset 9`, `(x: float32[3]) y = ${op}(x)`, { opset: 9, feeds }),
  ];
}

export const trigonometricExamples: readonly Example[] = [
  ...["Sin", "Cos", "Atan", "Sinh", "Cosh", "Asinh"].flatMap((op) => cases(op, { x: between(-2, 2) })),
  ...cases("Tan", { x: between(-1, 1) }),
  ...["Asin", "Acos", "Atanh"].flatMap((op) => cases(op, { x: between(-0.8, 0.8) })),
  ...cases("Acosh", { x: between(1.3, 3) }),
];
