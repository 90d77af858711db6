/** Tests weight formats that formats.test.ts omits, and a published network with a palette. */
import { expect, test } from "vitest";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { shared } from "../../shared.ts";
import { testFormats } from "./layers-of-formats.ts";
import { numbersFor, run } from "./networks.ts";

testFormats([
  [{ bits: 4, block: 16, onnxOnly: true, zeroPoints: true }, 0.2, ["uint4", "int4", "int4", "uint4", "uint4", "int8"]],
  [
    { bits: 4, onnxOnly: true, rounder: "mse", zeroPoints: true },
    0.25,
    ["int4", "int4", "int4", "uint4", "uint4", "int8"],
  ],
  [{ bits: 8, block: 16, onnxOnly: true }, 0.01, ["int8", "int8", "int8", "int8", "int8", "int8"]],
  [{ weights: "palette", bits: 8 }, 0.01, ["int8", "int8", "int8", "uint8", "int8", "uint8"]],
  [{ weights: "palette", bits: 7 }, 0.02, ["int8", "int8", "int8", "uint8", "uint8", "uint8"]],
  [{ weights: "palette", bits: 3 }, 0.25, ["uint8", "uint8", "uint8", "uint8", "uint8", "uint8"]],
  [{ weights: "palette", bits: 4 }, 0.15, ["uint8", "uint8", "uint8", "uint8", "uint8", "uint8"]],
  [{ weights: "palette", bits: 1 }, 0.9, ["uint8", "uint8", "uint8", "uint8", "uint8", "uint8"]],
]);

test("the published file of Deep Compression keeps its exact values, in 8-bit indices", async (context) => {
  const path = shared("data/models/squeezenet1.0_deepcompression.onnx");
  if (path === undefined) return context.skip();
  const model = await open(path);
  const image = { [model.graph.inputs[0]?.name ?? ""]: numbersFor([1, 3, 227, 227]) };
  const before = await run(model, image, { optimize: false });
  await quantize(model, { scheme: "weights", weights: "palette" });
  expect(await run(model, image, { optimize: false })).toEqual(before);
  expect((await encodeToBytes(model)).length).toBeLessThan(1.32e6);
});
