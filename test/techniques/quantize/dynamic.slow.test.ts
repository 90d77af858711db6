/** Dynamic quantization of convolutions. */
import { describe, expect, test } from "vitest";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { cnn, difference, numbersFor, reopened, run } from "./networks.ts";

describe("the outputs of a quantized layer", () => {
  test("are close to float for convolutions with shortcut, groups and bias", async () => {
    const x = numbersFor([2, 3, 8, 8]);
    const expected = await run(cnn(), { x });
    for (const perChannel of [true, false]) {
      for (const weights of [undefined, "int8", "uint8"] as const) {
        const model = cnn();
        await quantize(model, { scheme: "dynamic", perChannel, ...(weights === undefined ? {} : { weights }) });
        assertValid(model);
        expect(difference(expected, await run(model, { x }))).toBeLessThan(0.03);
        expect(await run(await reopened(model), { x })).toEqual(await run(model, { x }));
      }
    }
  });
});
