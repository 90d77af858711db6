import { expect, test } from "vitest";
import { float32, float64 } from "../../src/learn/train/kernels.generated.ts";
import { compiled } from "./kernels.ts";

test("the checked-in kernels equal the compiled source", () => {
  expect([compiled("f32"), compiled("f64")]).toEqual([float32, float64]);
});
