/** Rewrites that change no output. */

import { channelGroups, freeUnits } from "../../../src/core/analysis/channels.ts";
import { infer } from "../../../src/core/analysis/infer.ts";
import { scaleGroups } from "../../../src/core/analysis/scale-groups.ts";
import { allGraphs } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { encodedSize } from "../../../src/core/onnx/encode.ts";
import type { Outcome, Pass } from "../../../src/core/pass/pass.ts";
import { axisLayout } from "../../../src/core/tensor/axis-layout.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { isSymbolic } from "../../../src/core/tensor/dims.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { deduplicate } from "../../../src/rewrite/clean-up/deduplicate.ts";
import { dropDeadChannels } from "../../../src/rewrite/clean-up/drop-dead-channels.ts";
import { dropNotes } from "../../../src/rewrite/clean-up/drop-notes.ts";
import { dropUnused } from "../../../src/rewrite/clean-up/drop-unused.ts";
import { fixDimensions } from "../../../src/rewrite/clean-up/fix-dimensions.ts";
import { foldConstants } from "../../../src/rewrite/clean-up/fold-constants.ts";
import { foldShapes } from "../../../src/rewrite/clean-up/fold-shapes.ts";
import { fuseAffine, fuseBatchNorm } from "../../../src/rewrite/clean-up/fuse-batch-norm.ts";
import { fuseNodes } from "../../../src/rewrite/clean-up/fuse-nodes.ts";
import { inlineFunctions } from "../../../src/rewrite/clean-up/inline-functions.ts";
import { keepOutputs } from "../../../src/rewrite/clean-up/keep-outputs.ts";
import { mergeInitializers } from "../../../src/rewrite/clean-up/merge-initializers.ts";
import { removeIdentities } from "../../../src/rewrite/clean-up/remove-identities.ts";
import { resolveConditions } from "../../../src/rewrite/clean-up/resolve-conditions.ts";
import { setInputs } from "../../../src/rewrite/clean-up/set-inputs.ts";
import { simplify } from "../../../src/rewrite/clean-up/simplify.ts";
import { storeConstants, storeWeights } from "../../../src/rewrite/clean-up/store-constants.ts";
import { lowerFused } from "../../../src/rewrite/edit/lower-fused.ts";
import { migrate } from "../../../src/rewrite/edit/move-factors.ts";
import { raiseOpset } from "../../../src/rewrite/edit/raise-opset.ts";
import type { Network } from "../network.ts";
import {
  answers,
  batchesOf,
  engine,
  expectSame,
  expectSentences,
  expectThat,
  originalAnswers,
  refused,
} from "../runs.ts";
import type { Promised } from "./promised.ts";

/** A rewrite that changes no output. */
function sameFunction(
  name: string,
  rewrite: (model: Model, network: Network) => Promise<Outcome | undefined>,
): Promised {
  return {
    name,
    async keep(network) {
      const batches = batchesOf(network);
      const expected = await originalAnswers(network);
      const result = network.model.clone();
      const outcome = await rewrite(result, network);
      if (outcome !== undefined) expectSentences(outcome);
      await expectSame(network, result, batches, expected);
      if (!network.takesNone) return;
      const none = [network.feeds(0)];
      // Products that ONNX Runtime fuses with a transposition do not take an empty batch.
      const nothing = await answers(network.model, none, false).catch(() => undefined);
      if (nothing !== undefined) await expectSame(network, result, none, nothing, false);
    },
  };
}

/** Random factors for all that lets some through. */
async function moveFactors(model: Model): Promise<undefined> {
  await storeConstants(model);
  const numbers = random(3, "factors");
  for (const group of scaleGroups(model, infer(model))) {
    const factors = Float64Array.from({ length: group.units }, (_, unit) => {
      const factor = 2 ** numbers.uniform(-1, 1);
      return group.refused.has(unit) ? 1 : factor;
    });
    await migrate(model, group, factors);
  }
}

/** The network after training with masks, or a penalty on channels: of each group of channels that can be cut some are made of zeros alone. */
async function withDeadChannels(given: Model): Promise<Model> {
  const model = given.clone();
  storeWeights(model);
  const numbers = random(4, "dead channels");
  for (const group of channelGroups(model, infer(model))) {
    const dead = new Set(freeUnits(group).filter(() => numbers.integer(3) === 0));
    for (const { weight, effective, role } of group.layers) {
      const slice = group.slices.find(({ value, axis }) => value === effective && axis === role.out);
      const dense = await weight.tensor?.read();
      if (slice === undefined || weight !== effective || dense?.type !== "float32") continue;
      const { count, inner } = axisLayout(dense.dims, role.out);
      const data = dense.data.map((number, at) =>
        dead.has(slice.unitOf[Math.floor(at / inner) % count] ?? -1) ? 0 : number,
      );
      weight.tensor = inMemory(float32(dense.dims, data));
    }
  }
  return model;
}

/** Bytes by which a shape of four dimensions may exceed the node that computes it. */
const mostOfShape = 40;

const passes: readonly Pass[] = [
  simplify,
  storeConstants,
  foldShapes,
  foldConstants,
  removeIdentities,
  fuseBatchNorm,
  fuseAffine,
  fuseNodes,
  deduplicate,
  mergeInitializers,
  resolveConditions,
  inlineFunctions,
  dropUnused,
  dropNotes,
  lowerFused,
] as readonly Pass[];

export const cleanUps: readonly Promised[] = [
  ...passes.map((pass) => sameFunction(pass.id, (model) => pass(model, {}, { engine }))),
  sameFunction("lower everything", (model) =>
    lowerFused(model, { operators: ["*"] }, { engine }).catch((error: unknown) => void refused(error)),
  ),
  sameFunction("raise the operator set", async (model) => {
    const before = structureHash(model);
    try {
      // ONNX Runtime lacks kernels of newer sets.
      raiseOpset(model, 21);
    } catch (error) {
      refused(error);
      expectThat(structureHash(model) === before, "refused, and changed");
    }
    return undefined;
  }),
  sameFunction("move factors", moveFactors),
  {
    name: "channels that are dead",
    async keep(network) {
      const [model, batches] = [await withDeadChannels(network.model), batchesOf(network)];
      const expected = await answers(model, batches);
      const result = model.clone();
      expectSentences(await dropDeadChannels(result, {}, { engine }));
      await expectSame({ ...network, model }, result, batches, expected);
      await simplify(result, {}, { engine });
      await expectSame({ ...network, model }, result, batches, expected);
    },
  },
  sameFunction("finalize", (model) => simplify(model, { finalize: true }, { engine })),
  sameFunction("simplify, then once more", async (model) => {
    await simplify(model, {}, { engine });
    const nodes = nodeCount(model);
    const { changes } = await simplify(model, {}, { engine });
    expectThat(changes.length === 0, `a second time: ${changes[0]?.at} ${changes[0]?.what}`);
    expectThat(nodeCount(model) === nodes, "more nodes");
    return undefined;
  }),
  {
    name: "simplify never grows the file",
    async keep({ model }) {
      const result = model.clone();
      const { changes } = await simplify(result, {}, { engine });
      const [before, after] = [await encodedSize(model), await encodedSize(result)];
      // A stored shape, or stored sizes of pieces, may take more bytes than a node with short names that computes them.
      const shapes = changes.filter(({ what }) => /shape|a piece of a sequence/.test(what)).length;
      expectThat(after <= before + mostOfShape * shapes, `${before} bytes become ${after}`);
    },
  },
  {
    name: "fixed dimensions",
    async keep(network) {
      const batch = network.feeds(2);
      const fix: Record<string, number> = {};
      for (const { name, type } of network.model.graph.feeds)
        type?.dims?.forEach((dim, axis) => {
          if (isSymbolic(dim)) fix[dim.text] = batch[name]?.dims[axis] ?? 1;
        });
      const result = network.model.clone();
      const expected = await answers(result, [batch]);
      await fixDimensions(result, { fix }, { engine });
      await expectSame(network, result, [batch], expected);
      await simplify(result, {}, { engine });
      await expectSame(network, result, [batch], expected);
    },
  },
  {
    name: "an input that is set",
    async keep(network) {
      const batch = network.feeds(1);
      const [first] = network.model.graph.feeds;
      const dense = batch[first?.name ?? ""];
      if (first === undefined || dense === undefined || dense.type === "string" || first.type?.dims?.some(isSymbolic))
        return;
      const result = network.model.clone();
      const expected = await answers(result, [batch]);
      const set = { [first.name]: toNumbers(dense) };
      if (!set[first.name]?.every(Number.isFinite)) return;
      await setInputs(result, { set }, { engine });
      await simplify(result, {}, { engine });
      await expectSame(network, result, [batch], expected);
    },
  },
  {
    name: "one output that is kept",
    async keep(network) {
      const kept = network.model.graph.outputs.at(-1)?.name ?? "";
      const batches = batchesOf(network);
      const expected = (await originalAnswers(network)).map((batch) =>
        Object.fromEntries(Object.entries(batch).filter(([name]) => name === kept)),
      );
      const result = network.model.clone();
      await keepOutputs(result, { outputs: [kept] }, { engine });
      await simplify(result, {}, { engine });
      await expectSame(network, result, batches, expected);
    },
  },
];

function nodeCount(model: Model): number {
  return [...allGraphs(model.graph)].reduce((sum, graph) => sum + graph.nodeCount, 0);
}
