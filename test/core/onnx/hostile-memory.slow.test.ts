/** Tests a small file that requests more elements than fit in memory. */
import { expect, test } from "vitest";
import { graphFields, modelFields, nodeFields } from "../../../src/core/onnx/field-numbers.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { message } from "./messages.ts";

test("open rejects a model with too many elements before they are all in memory", async () => {
  // An unnamed output takes two bytes.
  const outputs = Buffer.alloc(2 * (2 ** 20 + 1), Uint8Array.of(8 * nodeFields.output + 2, 0));
  const node = Buffer.concat([outputs, Uint8Array.of(8 * nodeFields.op + 2, 1, 0x57)]);
  const bytes = await message((model) => {
    model.integer(modelFields.irVersion, 8);
    model.message(modelFields.graph, (graph) => graph.bytes(graphFields.node, node));
    model.message(modelFields.opsetImport, (opset) => opset.integer(2, 17));
  });
  await expect(open(bytes)).rejects.toMatchObject({
    code: "E_UNSUPPORTED",
    message: expect.stringMatching(/more than 1048576 nodes, values and attributes/),
  });
});
