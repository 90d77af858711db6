/** Runs the functions of `pith/prune` on files of IR 3, which list each stored tensor among the inputs of the graph. */
import { expect, test } from "vitest";
import { createEngine } from "../../../src/core/engine/index.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { zeros } from "../../../src/core/tensor/dense.ts";
import { customFromMask, prune, remove } from "../../../src/techniques/prune/index.ts";
import { topology } from "../../zoo/topologies.ts";
import { oldestFormat } from "../../zoo/variants.ts";

const conv = { layers: "conv1" };
const functions: readonly (readonly [string, (model: Model) => Promise<unknown>])[] = [
  ["customFromMask", (model) => customFromMask(model, { ...conv, mask: zeros("uint8", [8, 3, 3, 3]) })],
  ["prune", (model) => prune(model, { amount: 0.5 })],
  ["prune, masks kept", (model) => prune(model, { amount: 0.5, keepMasks: true })],
  ["prune, whole channels", (model) => prune(model, { structured: 0.5 })],
  [
    "remove",
    async (model) => {
      await prune(model, { amount: 0.5, keepMasks: true });
      await remove(model, { layers: "conv1" });
    },
  ],
];

test.each(functions)("%s writes a file of IR 3 that loads", async (_, apply) => {
  const model = oldestFormat(parseModel(topology("conv-batchnorm").text));
  await apply(model);
  expect(verify(model)).toEqual([]);
  const session = await createEngine().load(await open(await encodeToBytes(model)));
  await session.release();
  expect(model.graph.inputs.map(({ name }) => name)).toEqual(["x"]);
});
