import { expect, test } from "vitest";
import { PithError } from "../errors.ts";
import { fromFault, toFault } from "./serialized-error.ts";

test.each([{}, { at: "layer1.conv" }, { at: "lr", hint: ["Take less.", "Or none."] }])(
  "toFault and fromFault keep a PithError with its location and advice: %j",
  (said) => {
    const error = new PithError("E_MODEL", "it is broken", said);
    const again = fromFault(structuredClone(toFault(error)));
    expect(again).toBeInstanceOf(PithError);
    const { code, message, sentence, at, advice, stack } = error;
    expect(again).toMatchObject({ code, message, sentence, advice, stack });
    expect((again as PithError).at).toBe(at);
  },
);

test("toFault and fromFault keep the name and message of other errors", () => {
  const again = fromFault(structuredClone(toFault(new RangeError("too deep"))));
  expect(again).not.toBeInstanceOf(PithError);
  expect(again).toMatchObject({ name: "RangeError", message: "too deep" });
});
