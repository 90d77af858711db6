/** Any number of operands, element by element: one, two, three, one tensor twice; broadcasting, and equal shapes before opset 8. */
import { type Example, example, table } from "./define.examples.ts";

const dimensions = { channels: "is computed from the dimensions that would change" };

const cases = (op: string): readonly Example[] => [
  example(`${op} of equal shapes`, `(a: float32[batch, 3], b: float32[batch, 3]) y = ${op}(a, b)`),
  example(`${op} broadcasting`, `(a: float32[batch, 1, 3], b: float32[2, 1]) y = ${op}(a, b)`),
  example(`${op} of one operand`, `(a: float32[batch, 3]) y = ${op}(a)`),
  example(`${op} of three operands`, `(a: float32[batch, 3], b: float32[3], c: float32[]) y = ${op}(a, b, c)`),
  example(`${op} of one tensor with itself`, `(a: float32[batch, 3]) y = ${op}(a, a)`),
  example(`${op} of opset 7`, `(a: float32[batch, 3], b: float32[batch, 3]) y = ${op}(a, b)`, { opset: 7 }),
];

export const variadicExamples: readonly Example[] = [
  ...["Max", "Min", "Sum", "Mean"].flatMap(cases),
  example("Sum of a stored bias", "(x: float32[batch, 3]) b: float32[3] = random(seed 1); y = Sum(x, b)"),
  example("Max of stored shapes", "() a: int64[2] = [2, 7]; b: int64[2] = [3, 5]; y = Max(a, b)", { opset: 12 }),
  example("Min of stored shapes", "() a: int64[2] = [2, 7]; b: int64[2] = [3, 5]; y = Min(a, b)", { opset: 12 }),
  ...table({ except: dimensions })`
    Max of a dimension and a number | (x: float32[batch, 3]) n: int64[] = 5; s = Shape(x); y = Max(s, n)
    Min of a dimension and a number | (x: float32[batch, 3]) n: int64[] = 1; s = Shape(x); y = Min(s, n)
  `,
];
