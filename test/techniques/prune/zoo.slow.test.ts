/**
 * Networks as PyTorch's exporters write them: whatever can be cut is cut, and computes what the silenced network does. What an operator
 * without rule keeps whole may be cut later, but never wrongly.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { channelGroups, freeUnits } from "../../../src/core/analysis/channels.ts";
import { infer } from "../../../src/core/analysis/infer.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { open } from "../../../src/core/onnx/index.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { simplify } from "../../../src/rewrite/clean-up/simplify.ts";
import { shared } from "../../shared.ts";
import { readNpz } from "../../zoo/npz.ts";
import { expectSameAsSilenced } from "./silenced.ts";

const folder = shared("data/zoo");
const names =
  folder === undefined ? [] : Object.keys(JSON.parse(readFileSync(`${folder}/index.json`, "utf8")) as object);

/** Networks that must lose channels. */
const required = new Set([
  "mlp_op13",
  "mlp",
  "plain_cnn_op13",
  "plain_cnn_bn_folded",
  "plain_cnn_bn_training",
  "resnet_b",
  "resnet_b_dynamo_optimized",
  "efficientnet",
  "inception",
  "dilated_grouped",
  "groupnorm",
  "conv1d_causal",
  "conv3d",
  "convnext",
  "multi_input",
  "multi_output",
  "siamese",
  "flatten_linear",
  "nhwc",
  "vit",
  "swin",
  "encoder_additive_mask",
  "torch_encoder",
  "hf_bert",
  "hf_gpt2",
  "hf_llama_gqa",
  "clip",
  "whisper",
  "moe_topk",
  "embedding_mean",
  "negative_axes",
  "external_data",
]);

describe("a pruned network equals the network with silenced channels", () => {
  test.each(names)("%s", async (name) => {
    const path = `${folder}/${name}.onnx`;
    const arrays = readNpz(`${folder}/${name}.npz`);
    const inputs = new Set((await open(path)).graph.feeds.map((value) => value.name));
    const feeds: Batch = Object.fromEntries(Object.entries(arrays).filter(([key]) => inputs.has(key)));
    let change = 0;
    for (const [seed, share] of [
      [1, 0.3],
      [2, 0.7],
    ] as const) {
      change += await expectSameAsSilenced(() => open(path), feeds, seed, share);
    }
    if (required.has(name)) expect(change).toBeGreaterThan(1e-4);
  });

  test.skipIf(folder === undefined)("removes whole heads of a simplified encoder", async () => {
    const make = async (): Promise<Model> => {
      const model = await open(`${folder}/torch_encoder.onnx`);
      await simplify(model);
      return model;
    };
    const model = await make();
    const attention = channelGroups(model, infer(model)).filter(({ layers }) => layers[0]?.name.endsWith("self_attn"));
    expect(attention.map((group) => freeUnits(group).length)).toEqual([3, 3]);
    const { x } = readNpz(`${folder}/torch_encoder.npz`);
    if (x === undefined) throw new Error("no input");
    for (const seed of [1, 2]) expect(await expectSameAsSilenced(make, { x }, seed, 0.4)).toBeGreaterThan(1e-4);
  });
});
