import { expect, test } from "vitest";
import { withoutSimd, withSimd } from "../../src/train/kernels.generated.ts";
import { compiled } from "./kernels.ts";

test("the kernels are what their source compiles to", () => {
  expect([compiled(true), compiled(false)]).toEqual([withSimd, withoutSimd]);
});
