/** What every pass and every technique promises, checked on one network. */
import { blocks, extractBlock } from "../../src/analysis/blocks.ts";
import { channelGroups } from "../../src/analysis/channels.ts";
import { cost } from "../../src/analysis/cost.ts";
import { infer } from "../../src/analysis/infer.ts";
import { layers } from "../../src/analysis/layers.ts";
import { memory } from "../../src/data/index.ts";
import { Miss, PithError } from "../../src/errors.ts";
import { compareOutputs } from "../../src/evaluate/index.ts";
import { factorize } from "../../src/factorize/index.ts";
import { allGraphs } from "../../src/graph/graph.ts";
import { structureHash } from "../../src/graph/hash.ts";
import type { Model } from "../../src/graph/model.ts";
import { parseModel, printWholeModel } from "../../src/graph/text.ts";
import { verify } from "../../src/graph/verify.ts";
import { encodeToBytes, open } from "../../src/onnx/index.ts";
import {
  deduplicate,
  dropNotes,
  dropUnused,
  fixDimensions,
  foldConstants,
  foldShapes,
  fuseAffine,
  fuseBatchNorm,
  fusePairs,
  inlineFunctions,
  keepOutputs,
  lowerFused,
  mergeInitializers,
  type Outcome,
  type Pass,
  raiseOpset,
  removeIdentities,
  resolveConditions,
  setInputs,
  simplify,
  splitSlices,
  storeConstants,
} from "../../src/passes/index.ts";
import { readStoredValue } from "../../src/passes/stored.ts";
import { isPruned, prune, remove } from "../../src/prune/index.ts";
import { fakeQuantize, quantize } from "../../src/quantize/index.ts";
import { recover } from "../../src/recover/index.ts";
import { toFloat64, toNumbers } from "../../src/tensor/convert.ts";
import { inMemory } from "../../src/tensor/dense.ts";
import { dimsText, dimValue, isSymbolic } from "../../src/tensor/dims.ts";
import type { Batch } from "../../src/tensor/types.ts";
import { createStep, meanSquaredError } from "../../src/train/index.ts";
import { expectSameAsSilenced } from "../prune/silenced.ts";
import type { Network } from "./network.ts";
import {
  answers,
  batchesOf,
  engine,
  expectSame,
  expectSentences,
  expectThat,
  originalAnswers,
  refused,
} from "./runs.ts";

export interface Promised {
  readonly name: string;
  keep(network: Network): Promise<void>;
}

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
      const nothing = await answers(network.model, none).catch(() => undefined);
      if (nothing !== undefined) await expectSame(network, result, none, nothing);
    },
  };
}

const passes: readonly Pass[] = [
  simplify,
  storeConstants,
  foldShapes,
  foldConstants,
  removeIdentities,
  fuseBatchNorm,
  fuseAffine,
  fusePairs,
  splitSlices,
  deduplicate,
  mergeInitializers,
  resolveConditions,
  inlineFunctions,
  dropUnused,
  dropNotes,
  lowerFused,
] as readonly Pass[];

const cleanUps: readonly Promised[] = [
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
    name: "fixed dimensions",
    async keep(network) {
      const batch = network.feeds(2);
      const fix: Record<string, number> = {};
      for (const { name, type } of network.model.graph.feeds)
        type?.dims?.forEach((dim, axis) => {
          if (isSymbolic(dim) && dimText(dim.text)) fix[dim.text] = batch[name]?.dims[axis] ?? 1;
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

function dimText(text: string): boolean {
  return text !== "";
}

function nodeCount(model: Model): number {
  return [...allGraphs(model.graph)].reduce((sum, graph) => sum + graph.nodeCount, 0);
}

const analyses: readonly Promised[] = [
  {
    name: "the network itself runs",
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
        const [found] = await answers(model, [batch], false);
        const sizes = sizesOf(network, batch);
        for (const value of listed) {
          const known = inference.operand(value);
          const dense = found?.[value.name];
          if (known?.dims === undefined || dense === undefined) continue;
          const dims = known.dims.map((dim, axis) =>
            isSymbolic(dim) ? (dimValue(dim, sizes) ?? dense.dims[axis]) : dim,
          );
          expectThat(
            known.type === dense.type &&
              dims.length === dense.dims.length &&
              dims.every((dim, axis) => dim === dense.dims[axis]),
            `"${value.name}" is taken for ${known.type}[${dimsText(known.dims)}], and is ${dense.type}[${dense.dims}]`,
          );
          if (known.elements === undefined) continue;
          const got = toNumbers(dense);
          known.elements.forEach((element, at) => {
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
      blocks(model, inference);
      expectThat(structureHash(model) === before, "looked at, and changed");
    },
  },
  {
    name: "compared with itself",
    async keep({ model }) {
      const found = await compareOutputs(engine, model, model.clone(), { seed: 1 });
      if (typeof found === "string") expectThat(!/\n|undefined/.test(found), found);
      else expectThat(found.difference <= found.tolerance, `differs from itself by ${found.difference} at ${found.at}`);
    },
  },
  {
    name: "blocks in a row",
    async keep(network) {
      const { model } = network;
      const all = blocks(model, infer(model)).blocks;
      for (const block of all) {
        const part = extractBlock(model, block);
        const [fault] = verify(part);
        expectThat(fault === undefined, `${fault}`);
      }
    },
  },
];

function sizesOf({ model }: Network, batch: Batch): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const { name, type } of model.graph.feeds)
    type?.dims?.forEach((dim, axis) => {
      if (isSymbolic(dim)) sizes[dim.text] = batch[name]?.dims[axis] ?? 0;
    });
  return sizes;
}

/** The numbers of each layer's weight, as its node reads them, by layer name. */
async function weights(
  model: Model,
): Promise<ReadonlyMap<string, { readonly numbers: Float64Array; readonly at: number }>> {
  const found = new Map<string, { readonly numbers: Float64Array; readonly at: number }>();
  for (const layer of layers(model, infer(model)))
    found.set(layer.name, {
      numbers: toFloat64(await readStoredValue(model, layer.effective, engine)),
      at: layer.role.out,
    });
  return found;
}

const pruning: readonly Promised[] = [0.5, 0.9, 1].map((amount) => ({
  name: `prune ${amount}`,
  async keep(network: Network): Promise<void> {
    const original = await weights(network.model);
    const masked = network.model.clone();
    const outcome = await prune(masked, { amount, keepMasks: true }, { engine });
    expectSentences(outcome);
    const result = network.model.clone();
    await prune(result, { amount }, { engine });
    const batches = batchesOf(network);
    await expectSame({ ...network, model: masked }, result, batches, await answers(masked, batches));
    expectThat(outcome.changes.length === 0 || !isPruned(result), "masks are left");
    const kept = await weights(result);
    for (const [name, { numbers }] of original) {
      const after = kept.get(name)?.numbers;
      expectThat(after?.length === numbers.length, `layer "${name}" is gone`);
      expectThat(
        numbers.every((value, at) => after?.[at] === 0 || after?.[at] === value),
        `layer "${name}" has numbers that are neither its own nor 0`,
      );
    }
    if (outcome.changes.length === 0) return;
    await remove(masked);
    expectThat(!isPruned(masked), "masks are left by remove");
  },
}));

const cutting: readonly Promised[] = [
  {
    name: "channels that are cut",
    async keep(network) {
      for (const [seed, share] of [
        [1, 0.3],
        [2, 0.8],
      ] as const)
        await expectSameAsSilenced(() => network.model.clone(), network.feeds(2), seed, share).catch(
          (error: unknown) => {
            // Weights in integers cannot be silenced, only cut.
            if (!(error instanceof PithError && error.code === "E_UNSUPPORTED")) throw error;
          },
        );
    },
  },
  ...(["uniform", "global"] as const).map((scope) => ({
    name: `prune channels, ${scope}`,
    async keep(network: Network): Promise<void> {
      const expected = await originalAnswers(network);
      const result = network.model.clone();
      const outcome = await prune(result, { structured: 0.5, scope }, { engine });
      expectSentences(outcome);
      const got = await answers(result, batchesOf(network));
      expectSameShapes(expected, got);
      await simplify(result, {}, { engine });
      expectSameShapes(expected, await answers(result, batchesOf(network)));
    },
  })),
];

function expectSameShapes(expected: readonly Batch[], got: readonly Batch[]): void {
  expected.forEach((batch, at) => {
    for (const [name, dense] of Object.entries(batch)) {
      const other = got[at]?.[name];
      expectThat(
        other?.type === dense.type && dimsText(other.dims) === dimsText(dense.dims),
        `"${name}" was ${dense.type}[${dense.dims}], is ${other?.type}[${other?.dims}]`,
      );
    }
  });
}

/** The original with the numbers of its layers replaced by those of another; undefined where one of them is no stored tensor. */
async function withWeights(original: Model, other: Model): Promise<Model | undefined> {
  const model = original.clone();
  await storeConstants(model);
  const numbers = await weights(other);
  for (const layer of layers(model, infer(model))) {
    const found = numbers.get(layer.name)?.numbers;
    const { tensor } = layer.effective;
    if (
      found === undefined ||
      tensor === undefined ||
      tensor.type !== "float32" ||
      tensor.dims.reduce((a, b) => a * b, 1) !== found.length
    )
      return undefined;
    layer.effective.tensor = inMemory({ type: "float32", dims: tensor.dims, data: Float32Array.from(found) });
  }
  return model;
}

const quantizing: readonly Promised[] = [
  ...[{}, { perChannel: false }, { weights: "uint8" as const }].map((options) => ({
    name: `quantize weights ${JSON.stringify(options)}`,
    async keep(network: Network): Promise<void> {
      const before = await weights(network.model);
      const result = network.model.clone();
      const outcome = await quantize(result, { scheme: "weights", ...options }, { engine });
      expectSentences(outcome);
      const after = await weights(result);
      for (const [name, { numbers }] of before) {
        const got = after.get(name)?.numbers;
        expectThat(got?.length === numbers.length, `layer "${name}" is gone`);
        // No grid of 8 bits over all numbers, zero included, has steps wider than this; of one with a zero point the ends may lie half a step off.
        const [low, high] = [Math.min(0, ...numbers), Math.max(0, ...numbers)];
        const step = (options.weights === "uint8" ? high - low : 2 * Math.max(high, -low)) / 254;
        const worst = numbers.reduce(
          (most, value, at) => Math.max(most, Math.abs(value - (got?.[at] ?? Number.NaN))),
          0,
        );
        expectThat(
          worst <= step * (options.weights === "uint8" ? 1.01 : 0.51) + 1e-30,
          `layer "${name}" is off by ${worst}, with steps of ${step}`,
        );
      }
      const same = await withWeights(network.model, result);
      if (same === undefined) return;
      const batches = batchesOf(network);
      // Fused, ONNX Runtime multiplies 8-bit weights by activations that it rounds to 8 bits.
      await expectSame({ ...network, model: same }, result, batches, await answers(same, batches, false), false);
    },
  })),
  ...(["dynamic", "static", "float16"] as const).map((scheme) => ({
    name: `quantize ${scheme}`,
    async keep(network: Network): Promise<void> {
      const batches = batchesOf(network);
      const expected = await originalAnswers(network);
      const result = network.model.clone();
      const names = new Set(layers(result, infer(result)).map(({ name }) => name));
      const feeds = network.feeds(2, 9);
      const rows = new Set(Object.values(feeds).map(({ dims }) => dims[0]));
      if (scheme === "static" && (rows.size > 1 || rows.has(undefined))) return;
      const options = scheme === "static" ? { scheme, data: memory("feeds", feeds) } : { scheme };
      const outcome = await quantize(result, options, { engine }).catch(refused);
      if (outcome instanceof Miss) return;
      expectSentences(outcome);
      expectSameShapes(expected, await answers(result, batches));
      const left = new Set(layers(result, infer(result)).map(({ name }) => name));
      for (const name of names) expectThat(left.has(name), `layer "${name}" is gone`);
    },
  })),
];

const rounding: readonly Promised[] = ([{}, { learnScales: true }, { perChannel: false }] as const).map((options) => ({
  name: `round in float ${JSON.stringify(options)}, then in integers`,
  async keep(network: Network): Promise<void> {
    const batches = batchesOf(network);
    const rounded = network.model.clone();
    const outcome = await fakeQuantize(rounded, options, { engine }).catch(refused);
    if (outcome instanceof Miss) return;
    expectSentences(outcome);
    const result = rounded.clone();
    const { perChannel = true } = "perChannel" in options ? options : {};
    expectSentences(await quantize(result, { scheme: "weights", perChannel }, { engine }));
    await expectSame({ ...network, model: rounded }, result, batches, await answers(rounded, batches, false), false);
  },
}));

const recovering: readonly Promised[] = [
  {
    name: "recover what lost channels",
    async keep(network) {
      const feeds = network.feeds(8, 9);
      const rows = new Set(Object.values(feeds).map(({ dims }) => dims[0]));
      if (rows.size > 1 || !rows.has(8)) return;
      const result = network.model.clone();
      await prune(result, { structured: 0.5 }, { engine });
      const data = memory("feeds", feeds);
      const outcome = await recover(result, { original: network.model, data }, { engine }).catch(refused);
      if (outcome instanceof Miss) return;
      expectSentences(outcome);
      expectSameShapes(await originalAnswers(network), await answers(result, batchesOf(network)));
    },
  },
];

const factorizing: readonly Promised[] = [{ rank: 1 }, { energy: 0.999 }, { ratio: 0.5 }].map((options) => ({
  name: `factorize ${JSON.stringify(options)}`,
  async keep(network: Network): Promise<void> {
    const expected = await originalAnswers(network);
    const result = network.model.clone();
    const outcome = await factorize(result, options, { engine });
    expectSentences(outcome);
    expectSameShapes(expected, await answers(result, batchesOf(network)));
  },
}));

const training: readonly Promised[] = [
  {
    name: "a training step",
    async keep(network) {
      const { model } = network;
      const feeds = network.feeds(2);
      const output = model.graph.outputs.find(({ type }) => type?.type === "float32");
      if (output === undefined) return;
      const before = structureHash(model);
      const [answer] = await answers(model, [feeds]);
      const target = answer?.[output.name];
      if (target === undefined) return;
      const wanted = "what is wanted";
      const batch = { ...feeds, [wanted]: target };
      const loss = meanSquaredError({ output: output.name, label: wanted });
      const step = await createStep(model, batch, { loss }, { engine }).catch(refused);
      expectThat(structureHash(model) === before, "the model was changed");
      if (step instanceof Miss) return;
      try {
        const found = await step.run(batch);
        const finite = target.data.length > 0 && toFloat64(target).every(Number.isFinite);
        expectThat(!finite || Number.isFinite(found), `the loss is ${found}`);
        const unfit = step.parameters.find(({ gradient }) => !gradient.every(Number.isFinite));
        expectThat(!finite || unfit === undefined, `the gradient of "${unfit?.name}" is not finite`);
      } finally {
        await step.release();
      }
    },
  },
];

export const promises: readonly Promised[] = [
  ...analyses,
  ...cleanUps,
  ...pruning,
  ...cutting,
  ...quantizing,
  ...rounding,
  ...recovering,
  ...factorizing,
  ...training,
];
