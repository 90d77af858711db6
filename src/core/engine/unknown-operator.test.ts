import { expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { createEngine } from "./index.ts";
import { findUnknownOperator, unknownOperator } from "./runtime-messages.ts";

test.each([
  ["opset 21, custom 1", "custom.MyAct", { domain: "custom", op: "MyAct" }],
  ["opset 21, com.microsoft 1", "com.microsoft.NoSuchThing", { domain: "com.microsoft", op: "NoSuchThing" }],
  ["opset 21", "RequantShift", { domain: "", op: "RequantShift" }],
  ["opset 21", "custom.MyAct", { domain: "custom", op: "MyAct" }],
])(
  "findUnknownOperator with %s reads %s from the error, which suggests alternatives",
  async (opsets, name, expected) => {
    const model = parseModel(`${opsets}\ngraph (x: float32[n]) -> (y: float32[n]) {\n  y = ${name}(x)\n}`);
    const error: unknown = await createEngine()
      .load(model)
      .catch((error: unknown) => error);
    expect(error).toMatchObject({
      code: "E_ENGINE",
      hint: expect.stringMatching(/^This runtime has no kernel for .*do not run the model\.$/),
    });
    expect(error instanceof Error ? findUnknownOperator(error) : undefined).toEqual(expected);
  },
);

test("unknownOperator ignores other errors", () => {
  expect(unknownOperator("MatMul dimension mismatch")).toBeUndefined();
});
