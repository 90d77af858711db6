import { expect, test } from "vitest";
import { symbol } from "../../core/tensor/dims.ts";
import { operationCountOf, operationsText } from "./operation-count.ts";

test("a long formula is shortened to the names of its dimensions, without its functions", () => {
  const formula = symbol("24*max(slice(frames, -50, -1, 1), batch) + 96*floor((side + 1)/2)");
  expect(operationsText(operationCountOf(formula))).toBe("depends on side, frames and batch");
});
