/** Promises of analyses: their results are correct, and they do not change the network. */

import { extractBlock, findBlocks } from "../../../src/core/analysis/blocks.ts";
import { channelGroups } from "../../../src/core/analysis/channels.ts";
import { cost } from "../../../src/core/analysis/cost.ts";
import { dataDependentSizes } from "../../../src/core/analysis/data-dependent-sizes.ts";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { emitInto } from "../../../src/core/graph/emit.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { parseModel, printWholeModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { dimsText, dimText, dimValue, isSymbolic, isUnknownDim } from "../../../src/core/tensor/dims.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { compareFunction, findLostForm } from "../../../src/judge/compare/compare-function.ts";
import { checkEquivalence } from "../../../src/judge/compare/equivalence.ts";
import { simplify } from "../../../src/rewrite/clean-up/simplify.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import type { Network } from "../network.ts";
import { answers, batchesOf, engine, expectThat, originalAnswers, refused } from "../runs.ts";
import type { Promised } from "./promised.ts";

/** Returns models with one output less, or with twice the rows in one output. */
function brokenResults(original: Model): readonly { readonly output: string; readonly result: Model }[] {
  infer(original);
  const isOpen = dataDependentSizes(original);
  return original.graph.outputs.flatMap(({ name, type }, index) => {
    const without = original.clone();
    without.graph.setOutputs(without.graph.outputs.filter((_, at) => at !== index));
    const results = original.graph.outputs.length > 1 ? [{ output: name, result: without }] : [];
    const [rows] = type?.dims ?? [];
    if (rows === undefined || rows === 0 || isUnknownDim(rows) || isOpen(name)) return results;
    const longer = original.clone();
    const output = longer.graph.outputs[index];
    if (output === undefined || output.producer === undefined) return results;
    const emit = emitInto(longer);
    longer.graph.rename(output, `${name} before it is doubled`);
    const doubled = emit.Concat([output, output], { axis: 0 });
    longer.graph.rename(doubled, name);
    longer.graph.setOutputs(longer.graph.outputs.map((each, at) => (at === index ? doubled : each)));
    return [...results, { output: name, result: longer }];
  });
}

export const analyses: readonly Promised[] = [
  {
    name: "shapes and all outputs are compared",
    async keep({ model }) {
      const itself = await compareFunction(engine, model, model.clone());
      if (typeof itself === "string") return;
      expectThat(itself.lost === undefined, `the network differs from itself: ${itself.lost}`);
      for (const { output, result } of brokenResults(model)) {
        const compared = await compareFunction(engine, model, result);
        const lost = [typeof compared === "string" ? compared : compared.lost];
        lost.push(await findLostForm({ engine, original: model, result }, undefined));
        for (const sentence of lost)
          expectThat(
            sentence?.includes(output) === true,
            `"${output}" is broken, and the comparison says: ${sentence}`,
          );
      }
    },
  },
  {
    name: "running changes nothing",
    async keep(network) {
      const [fault] = verify(network.model);
      expectThat(fault === undefined, `${fault}`);
      const hash = structureHash(network.model);
      await originalAnswers(network);
      expectThat(structureHash(network.model) === hash, "running changed it");
    },
  },
  {
    name: "files and texts",
    async keep({ model }) {
      const bytes = await encodeToBytes(model);
      expectThat(
        Buffer.compare(await encodeToBytes(await open(bytes)), bytes) === 0,
        "written again, it is another file",
      );
      const text = await printWholeModel(model);
      expectThat((await printWholeModel(parseModel(text))) === text, "its text is not read as it was");
    },
  },
  {
    name: "types",
    async keep(network) {
      const model = network.model.clone();
      const inference = infer(model);
      const listed = new Set(model.graph.outputs);
      for (const node of model.graph.nodes())
        for (const output of node.outputs)
          if (output?.type !== undefined && !output.type.type.startsWith("string")) listed.add(output);
      model.graph.setOutputs([...listed]);
      for (const batch of batchesOf(network)) {
        const [actual] = await answers(model, [batch], false);
        const sizes = sizesOf(network, batch);
        for (const value of listed) {
          const inferredType = inference.operand(value);
          const dense = actual?.[value.name];
          if (inferredType?.dims === undefined || dense === undefined) continue;
          const dims = inferredType.dims.map((dim, axis) =>
            isSymbolic(dim) ? (dimValue(dim, sizes) ?? dense.dims[axis]) : dim,
          );
          expectThat(
            inferredType.type === dense.type &&
              dims.length === dense.dims.length &&
              dims.every((dim, axis) => dim === dense.dims[axis]),
            `"${value.name}" is taken for ${inferredType.type}[${dimsText(inferredType.dims)}], and is ${dense.type}[${dense.dims}]`,
          );
          if (inferredType.elements === undefined) continue;
          const got = toNumbers(dense);
          inferredType.elements.forEach((element, at) => {
            const size = isSymbolic(element) ? dimValue(element, sizes) : element;
            expectThat(
              size === undefined || size === got[at],
              `"${value.name}"[${at}] is taken for ${size}, and is ${got[at]}`,
            );
          });
        }
      }
    },
  },
  {
    name: "analyses change nothing",
    async keep({ model }) {
      const before = structureHash(model);
      const inference = infer(model);
      cost(model, inference);
      layers(model, inference);
      channelGroups(model, inference);
      findBlocks(model, inference);
      expectThat(structureHash(model) === before, "looked at, and changed");
    },
  },
  {
    name: "remembered analyses equal new ones",
    async keep(network) {
      const model = network.model.clone();
      const edits: readonly ((model: Model) => Promise<unknown>)[] = [
        (given) => simplify(given, {}, { engine }),
        (given) => prune(given, { structured: 0.5 }, { engine }),
        (given) => quantize(given, { scheme: "weights" }, { engine }).catch(refused),
      ];
      for (const edit of edits) {
        infer(model);
        await edit(model);
        expectThat(describeAnalyses(model) === describeAnalyses(model.clone()), "what is remembered is out of date");
      }
    },
  },
  {
    name: "compared with itself",
    async keep({ model }) {
      const comparison = await checkEquivalence(engine, model, model.clone(), { seed: 1 });
      if (typeof comparison === "string") expectThat(!/\n|undefined/.test(comparison), comparison);
      else
        expectThat(
          comparison.difference <= comparison.tolerance,
          `differs from itself by ${comparison.difference} at ${comparison.at}`,
        );
    },
  },
  {
    name: "blocks in a row",
    async keep(network) {
      const { model } = network;
      const all = findBlocks(model, infer(model)).blocks;
      for (const block of all) {
        const part = extractBlock(model, block);
        const [fault] = verify(part);
        expectThat(fault === undefined, `${fault}`);
      }
    },
  },
];

/** Formats the results of inference and layers. */
function describeAnalyses(model: Model): string {
  const inference = infer(model);
  const values = [...model.graph.values()].map((value) => {
    const { type, dims, elements, stored } = inference.operand(value) ?? {};
    return [value.name, type, dimsText(dims), elements?.map(dimText).join(), stored].join(" ");
  });
  return [...values, ...layers(model, inference).map(({ name, weight }) => `${name} ${weight.name}`)].join("\n");
}

function sizesOf({ model }: Network, batch: Batch): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const { name, type } of model.graph.feeds)
    type?.dims?.forEach((dim, axis) => {
      if (isSymbolic(dim)) sizes[dim.text] = batch[name]?.dims[axis] ?? 0;
    });
  return sizes;
}
