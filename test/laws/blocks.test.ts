/** Laws of blocks, on real exports: blocks are complete models, cover all nodes that depend on parameters, and together compute the model's outputs. */
import { describe, expect, it } from "vitest";
import { extractBlock, findBlocks } from "../../src/core/analysis/blocks.ts";
import { downstreamValues } from "../../src/core/analysis/downstream.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { parametersOf } from "../../src/core/analysis/parameters.ts";
import { Miss } from "../../src/core/errors.ts";
import { removeUnused } from "../../src/core/graph/remove-unused.ts";
import { replaceUses } from "../../src/core/graph/replace.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { open } from "../../src/core/onnx/index.ts";
import { replacementOf } from "../../src/techniques/prune/repeated-layers.ts";
import { expectSameInARow, folder, inputsOf, networks, run } from "./block-laws.ts";

/** Repeated consecutive blocks of one kind, by network. */
const repeats: Readonly<Record<string, readonly (readonly [first: string, last: string, count: number])[]>> = {
  encoder_additive_mask: [["layers.0", "layers.1", 2]],
  hf_bert: [["model.encoder.layer.0", "model.encoder.layer.1", 2]],
  hf_distilbert_op17: [["model.distilbert.transformer.layer.0", "model.distilbert.transformer.layer.1", 2]],
  hf_gpt2: [["model.transformer.h.0", "model.transformer.h.1", 2]],
  hf_llama_gqa: [["model.model.layers.0", "model.model.layers.1", 2]],
  hf_t5_encoder: [["model.encoder.block.0.layer", "model.encoder.block.1.layer", 2]],
  llama_op13: [["layers.0", "layers.1", 2]],
  torch_encoder: [["encoder.layers.0", "encoder.layers.1", 2]],
  vit: [["layers.0", "layers.1", 2]],
  vit_op17: [["layers.0", "layers.1", 2]],
  resnet_b: [["blocks.0", "blocks.1", 2]],
};

describe.skipIf(folder === undefined)("blocks of exported networks", () => {
  it.each(networks)("%s", async (name) => {
    const model = await open(`${folder}/${name}.onnx`);
    const inference = infer(model);
    const partition = findBlocks(model, inference);

    for (const block of partition.blocks) {
      const part = extractBlock(model, block);
      expect(verify(part), block.name).toEqual([]);
      const inputs = [...block.inputs, ...block.sideInputs];
      expect(part.graph.inputs.map((input) => input.name)).toEqual(inputs.map((input) => input.name));
    }

    const depends = downstreamValues(model.graph, [...parametersOf(model, inference)], inference);
    const nodes = [...model.graph.nodes()].filter((node) =>
      node.outputs.some(
        (output) => output !== undefined && depends.has(output) && inference.operand(output)?.stored !== true,
      ),
    );
    const covered = partition.blocks.flatMap((block) => block.nodes);
    expect(covered.length).toBe(new Set(covered).size);
    expect(new Set(covered)).toEqual(new Set(nodes));
  });

  it.each(["multi_output", "siamese", "hf_gpt2", "hf_t5_encoder", "clip", "whisper", "embedding_bag", "shufflenet"])(
    "the blocks of %s in sequence compute the same outputs",
    (name) => expectSameInARow(name),
  );

  it.each(["multi_output", "siamese", "hf_bert", "hf_t5_encoder"])(
    "the blocks of %s joined in threes compute the same outputs",
    (name) => expectSameInARow(name, 3),
  );

  it.each(Object.entries(repeats))("finds the repeated blocks of %s", async (name, expected) => {
    const model = await open(`${folder}/${name}.onnx`);
    const partition = findBlocks(model, infer(model));
    expect(partition.repeats.map((run) => [run[0]?.name, run.at(-1)?.name, run.length])).toEqual(expected);
    for (const run of partition.repeats) {
      expect(new Set(run.map(({ structureId: kind }) => kind)).size).toBe(1);
      expect(new Set(run.map(({ layers }) => layers.length)).size).toBe(1);
    }
  });

  it.each(Object.keys(repeats))("a repeated block of %s can be removed", async (name) => {
    const model = await open(`${folder}/${name}.onnx`);
    const before = await run(model, await inputsOf(name));
    const [repeated = []] = findBlocks(model, infer(model)).repeats;
    const block = repeated.at(-1);
    const way = block === undefined ? undefined : replacementOf(block);
    if (way === undefined || way instanceof Miss) throw new Error(way?.reason);
    // The skip connects the output of the previous block.
    expect(repeated.at(-2)?.outputs).toEqual([way.input]);
    replaceUses(way.output, way.input);
    const nodeCount = [...model.graph.nodes()].length;
    removeUnused(model.graph);
    expect([...model.graph.nodes()].length).toBeLessThan(nodeCount);
    expect(verify(model)).toEqual([]);
    const shorter = await run(model, await inputsOf(name));
    const sizes = (batch: typeof before) => Object.entries(batch).map(([key, { dims }]) => [key, dims]);
    expect(sizes(shorter)).toEqual(sizes(before));
    expect(shorter).not.toEqual(before);
  });
});
