import { expect, test } from "vitest";
import { float32, float64 } from "../../src/learn/train/kernels.generated.ts";
import { compileKernels } from "./kernels.ts";

test("the stored kernels equal the compiled source", () => {
  expect([compileKernels("f32"), compileKernels("f64")]).toEqual([float32, float64]);
});
