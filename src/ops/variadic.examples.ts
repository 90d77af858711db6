/** Any number of operands, element by element: one, two, three, one tensor twice; broadcasting, and equal shapes before opset 8. */
import { type Example, table } from "./define.examples.ts";

const cases = (op: string): readonly Example[] => table()`
  ${op} of equal shapes | (a: float32[batch, 3], b: float32[batch, 3]) y = ${op}(a, b)
  ${op} broadcasting | (a: float32[batch, 1, 3], b: float32[2, 1]) y = ${op}(a, b)
  ${op} of one operand | (a: float32[batch, 3]) y = ${op}(a)
  ${op} of three operands | (a: float32[batch, 3], b: float32[3], c: float32[]) y = ${op}(a, b, c)
  ${op} of one tensor with itself | (a: float32[batch, 3]) y = ${op}(a, a)
  ${op} of opset 7 | opset 7 (a: float32[batch, 3], b: float32[batch, 3]) y = ${op}(a, b)
`;

export const variadicExamples: readonly Example[] = [
  ...["Max", "Min", "Sum", "Mean"].flatMap(cases),
  ...table()`
    Sum of a stored bias | (x: float32[batch, 3]) b: float32[3] = random(seed 1); y = Sum(x, b)
    Max of stored shapes | opset 12 () a: int64[2] = [2, 7]; b: int64[2] = [3, 5]; y = Max(a, b)
    Min of stored shapes | opset 12 () a: int64[2] = [2, 7]; b: int64[2] = [3, 5]; y = Min(a, b)
    Max of a dimension and a number | (x: float32[batch, 3]) n: int64[] = 5; s = Shape(x); y = Max(s, n)
      | except channels: is computed from the dimensions that would change
    Min of a dimension and a number | (x: float32[batch, 3]) n: int64[] = 1; s = Shape(x); y = Min(s, n)
      | except channels: is computed from the dimensions that would change
  `,
];
