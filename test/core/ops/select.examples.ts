import { between, type Example, table } from "./define.examples.ts";

const wide = { feeds: { x: between(-3, 3) } };

export const selectExamples: readonly Example[] = [
  ...table()`
    Where of equal shapes | (c: bool[batch, 3], a: float32[batch, 3], b: float32[batch, 3]) y = Where(c, a, b)
    Where broadcasting all three | (c: bool[batch, 1, 1], a: float32[2, 1], b: float32[3]) y = Where(c, a, b)
    Where of stored shapes | () a: int64[2] = [3, 4]; b: int64[] = -1; c = Equal(a, b); y = Where(c, b, a)
    Where with scalars | (c: bool[batch, 2], a: float32[], b: float32[]) y = Where(c, a, b)
    Clip to what lies above zero |
      (x: float32[batch, 4]) low: float32[] = 1; high: float32[] = 2; y = Clip(x, low, high) | feeds x: from -3 to 3
      | no quantize: does not contain 0
    Clip without bounds | (x: float32[batch, 2]) y = Clip(x) | feeds x: from -3 to 3
    Clip with computed bounds |
      (x: float32[batch, 4], low: float32[], high: float32[]) y = Clip(x, low, high) | feeds x: from -3 to 3 | feeds low: -0.7
      | feeds high: 0.9 | no quantize: its bounds are not stored
    Clip with bounds as attributes | opset 6 (x: float32[batch, 4]) y = Clip(x) {min=0.0, max=2.0} | feeds x: from -3 to 3
    Clip of a scalar | (x: float32[]) low: float32[] = 0; y = Clip(x, low) | feeds x: -0.5
  `,
  ...table(wide)`
    Clip on both sides | (x: float32[batch, 4]) low: float32[] = -1; high: float32[] = 1.5; y = Clip(x, low, high)
    Clip above only | (x: float32[batch, 4]) high: float32[] = 0.5; y = Clip(x, _, high)
  `,
];
