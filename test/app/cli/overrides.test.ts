/** Tests options of individual layers on the command line. */
import { describe, expect, test } from "vitest";
import { json, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

describe("--override", () => {
  const out = ["-o", at("overridden.onnx"), "--force"];

  test("sets options of layers, which are printed and in --json", async () => {
    const words = ["prune", at("hidden.onnx"), "--amount", "50%", "--override", "fc1:amount=75%"];
    const result = await json(...words, "--override", "fc2:amount=0", ...out);
    expect(result.changes).toMatchObject([{ at: "fc1", what: "6 of 8 pruned, 2 of 8 left", decidedBy: "layer" }]);
    expect((await pith(...words, ...out)).out).toContain("fc1: 6 of 8 pruned, 2 of 8 left (per-layer override)");
    const quantized = ["quantize", at("hidden.onnx"), "--scheme", "weights", "--override", "fc*:per-channel=false"];
    expect(await json(...quantized, ...out)).toMatchObject({
      changes: [{ at: "fc1", what: "weight as int8, one scale", decidedBy: "layer" }, { at: "fc2" }],
    });
  });

  test("rejects an unknown layer before it reads data", async () => {
    const words = ["quantize", at("hidden.onnx"), "--scheme", "static", "--data", at("nowhere.csv")];
    const { code, err } = await pith(...words, "--override", "fc9:bits=8", ...out);
    expect({ code, err }).toMatchObject({ code: 2, err: expect.stringContaining("E_NAME: --override: no layer") });
  });

  test.each([
    ["fc1", 'E_OPTION: --override: expected layer:option=value, got "fc1".\n'],
    ["fc9:amount=0.1", 'E_NAME: --override: no layer or operator type is called "fc9".\nhint: '],
    [
      "fc1:amuont=0.1",
      'E_OPTION: --override: fc1: amuont: "amuont" is not known here, only amount.\nhint: Did you mean "amount"?\n',
    ],
    ["fc1:amount=lots", 'E_OPTION: --override: fc1: amount: takes a number from 0 to 1, got "lots".\n'],
  ])("rejects %s as wrong usage", async (override, message) => {
    const { code, err } = await pith("prune", at("hidden.onnx"), "--amount", "50%", "--override", override, ...out);
    expect(code).toBe(2);
    expect(err.slice(err.indexOf("E_"))).toContain(message);
  });
});
