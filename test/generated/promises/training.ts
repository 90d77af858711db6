/** Promises of training: whole networks, single layers, masks and distillation. */

import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";
import { Miss } from "../../../src/core/errors.ts";
import type { Value } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import type { Outcome } from "../../../src/core/pass/pass.ts";
import { isFloat, toFloat64 } from "../../../src/core/tensor/convert.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import type { Batch, Dense } from "../../../src/core/tensor/types.ts";
import { memory } from "../../../src/data/index.ts";
import { createStep, meanSquaredError, type TrainOutcome, train } from "../../../src/learn/train/index.ts";
import { storeWeights } from "../../../src/rewrite/clean-up/store-constants.ts";
import { distill, distillation } from "../../../src/techniques/distill/index.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import type { Network } from "../network.ts";
import { answers, batchesOf, engine, expectSentences, expectThat, refused } from "../runs.ts";
import { expectSameShapes, type Promised, samplesOf, weights } from "./promised.ts";

const targetName = "what is wanted";
const samples = 4;

/** Samples with targets: the output of the network plus noise. */
interface Task {
  readonly feeds: Batch;
  readonly output: string;
  readonly loss: ReturnType<typeof meanSquaredError>;
}

async function taskOf(network: Network): Promise<Task | undefined> {
  const { model } = network;
  const inputs = samplesOf(network, samples, 9);
  const output = model.graph.outputs.find(({ type }) => type?.type === "float32");
  if (inputs === undefined || output === undefined) return undefined;
  const [outputs] = await answers(model, [inputs]);
  const answer = outputs?.[output.name];
  if (answer === undefined || answer.dims[0] !== samples || answer.data.length === 0) return undefined;
  const numbers = random(1, "target");
  const target = toFloat64(answer).map((value) => value + 0.1 * numbers.normal());
  if (!target.every(Number.isFinite)) return undefined;
  const feeds = { ...inputs, [targetName]: float32(answer.dims, Float32Array.from(target)) };
  return { feeds, output: output.name, loss: meanSquaredError({ output: output.name, label: targetName }) };
}

async function trained(model: Model, { feeds, loss }: Task, options: object = {}): Promise<TrainOutcome | Miss> {
  const settings = { data: memory("feeds", feeds), loss, epochs: 2, batch: 2, optimizer: "sgd" as const, ...options };
  const outcome = await train(model, settings, { engine, seed: 1 }).catch(refused);
  if (outcome instanceof Miss) return outcome;
  expectSentences(outcome);
  expectThat(outcome.history.length === settings.epochs, `there are ${outcome.history.length} epochs`);
  for (const { loss, epoch } of outcome.history) expectThat(Number.isFinite(loss), `epoch ${epoch} has loss ${loss}`);
  return outcome;
}

/** Checks that only reported tensors changed, except tied copies of reported tensors and running statistics. */
async function expectOthersKept(before: Model, after: Model, { changes }: Outcome): Promise<void> {
  const changed = new Set([...changes.map(({ at }) => at), ...runningStatistics(before)]);
  for (const { name, tensor } of before.graph.values()) {
    const { tensor: other, role } = after.graph.value(name) ?? {};
    const isReported = role?.kind === "state" || changed.has(role?.kind === "tied" ? role.name : name);
    if (tensor === undefined || other === undefined || other === tensor || isReported) continue;
    expectThat(sameNumbers(await tensor.read(), await other.read()), `"${name}" changed, and is not said to`);
  }
}

/** Returns the running statistics of normalizations that are declared to use batch statistics. */
function runningStatistics(model: Model): readonly string[] {
  const inference = infer(model);
  return [...model.graph.nodes()].flatMap((node) => {
    const bound = inference.at(node);
    const form = bound instanceof Miss ? undefined : bound.training();
    return form?.declared === true ? form.states.flatMap((input) => node.inputs[input]?.name ?? []) : [];
  });
}

function sameNumbers(one: Dense, other: Dense): boolean {
  if (one.type === "string" || other.type === "string") return one.type === other.type;
  const [a, b] = [one, other].map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  return one.type === other.type && a !== undefined && b !== undefined && a.equals(b);
}

function isStored({ tensor, producer }: Value): boolean {
  const inputs = producer?.inputs ?? [];
  return tensor !== undefined || (inputs.length > 0 && inputs.every((input) => input === undefined || isStored(input)));
}

/** Returns the names of the stored tensors that a value is computed from. */
function storedBehind(value: Value | undefined): readonly string[] {
  if (value === undefined) return [];
  return value.tensor === undefined ? (value.producer?.inputs ?? []).flatMap(storedBehind) : [value.name];
}

export const training: readonly Promised[] = [
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
      const batch = { ...feeds, [targetName]: target };
      const loss = meanSquaredError({ output: output.name, label: targetName });
      const step = await createStep(model, batch, { loss }, { engine }).catch(refused);
      expectThat(structureHash(model) === before, "the model was changed");
      if (step instanceof Miss) return;
      try {
        const lossValue = await step.run(batch);
        const finite = target.data.length > 0 && toFloat64(target).every(Number.isFinite);
        expectThat(!finite || Number.isFinite(lossValue), `the loss is ${lossValue}`);
        const unfit = step.parameters.find(({ gradient }) => !gradient.every(Number.isFinite));
        expectThat(!finite || unfit === undefined, `the gradient of "${unfit?.name}" is not finite`);
      } finally {
        await step.release();
      }
    },
  },
  {
    name: "a training, and once more",
    async keep(network) {
      const task = await taskOf(network);
      if (task === undefined) return;
      const [first, second] = [network.model.clone(), network.model.clone()];
      const outcome = await trained(first, task);
      const again = await trained(second, task);
      expectThat(outcome instanceof Miss === again instanceof Miss, "refused once, and once not");
      if (outcome instanceof Miss) {
        expectThat(structureHash(first) === structureHash(network.model), `refused, and changed: ${outcome.reason}`);
        return;
      }
      const [bytes, more] = [await encodeToBytes(first), await encodeToBytes(second)];
      expectThat(Buffer.compare(bytes, more) === 0, "the same seed gave other weights");
      await expectOthersKept(network.model, first, outcome);
      await expectSameShapes(network, await answers(first, batchesOf(network)));
    },
  },
  {
    name: "a training of one layer",
    async keep(network) {
      const task = await taskOf(network);
      const stored = network.model.clone();
      storeWeights(stored);
      const all = layers(stored, infer(stored));
      const layer = all.at(-1);
      if (task === undefined || layer === undefined) return;
      const result = network.model.clone();
      const outcome = await trained(result, task, { layers: layer.name });
      if (outcome instanceof Miss) return;
      const named = all.filter(({ name }) => name === layer.name);
      const read = named.flatMap(({ node }) => node.inputs.filter((input) => input !== undefined && isStored(input)));
      const layerTensors = new Set(read.flatMap(storedBehind));
      // A tied copy is trained through the tensor it is tied to.
      for (const name of [...layerTensors]) {
        const role = result.graph.value(name)?.role;
        if (role?.kind === "tied") layerTensors.add(role.name);
      }
      for (const { at } of outcome.changes)
        expectThat(layerTensors.has(at), `"${at}" learnt, which "${layer.name}" does not read`);
      await expectOthersKept(network.model, result, outcome);
    },
  },
  {
    name: "a training behind masks",
    async keep(network) {
      const task = await taskOf(network);
      if (task === undefined) return;
      const before = await weights(network.model);
      const result = network.model.clone();
      await prune(result, { amount: 0.5, keepMasks: true }, { engine });
      const masked = await weights(result);
      const outcome = await trained(result, task);
      if (outcome instanceof Miss) return;
      const after = await weights(result);
      for (const [name, { numbers }] of before) {
        const [zeros, got] = [masked.get(name)?.numbers, after.get(name)?.numbers];
        const wrong = numbers.findIndex((value, at) => value !== 0 && zeros?.[at] === 0 && got?.[at] !== 0);
        expectThat(wrong < 0, `layer "${name}"[${wrong}] is masked, and became ${got?.[wrong]}`);
      }
    },
  },
  {
    name: "distillation",
    async keep(network) {
      const { model } = network;
      const feeds = samplesOf(network, samples, 9);
      // A student with batch statistics is not the same function as its teacher.
      if (feeds === undefined || [...model.graph.values()].some(({ role }) => role?.kind === "state")) return;
      const [outputs] = await answers(model, [feeds]);
      // The loss over an empty output is not defined.
      if (Object.values(outputs ?? {}).some(({ data }) => data.length === 0)) return;
      const before = structureHash(model);
      const data = memory("feeds", feeds);
      // A model with fixed dimensions can select by position along the first axis, so that its batch cannot be divided.
      const isFixed = model.graph.feeds.some(({ type }) => typeof type?.dims?.[0] === "number");
      const options = { data, epochs: 1, ...(isFixed ? {} : { batch: 2 }), optimizer: "sgd" as const };
      const equal = model.clone();
      const loss = distillation({ teacher: model, alpha: 1 });
      const same = await train(equal, { ...options, loss, learningRate: 1e-9 }, { engine, seed: 1 }).catch(refused);
      expectThat(structureHash(model) === before, "the teacher was changed");
      if (same instanceof Miss) return;
      expectSentences(same);
      const largest = Object.values(outputs ?? {}).flatMap((dense) =>
        isFloat(dense.type) ? [...toFloat64(dense)] : [],
      );
      const size = largest.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      const alone = same.history[0]?.loss ?? Number.NaN;
      expectThat(
        !Number.isFinite(size) || Math.abs(alone) <= 1e-4 * size,
        `a student that is its teacher has loss ${alone}`,
      );

      const student = model.clone();
      await prune(student, { structured: 0.5 }, { engine });
      const taught = { ...options, teacher: model, alpha: 1 };
      const outcome = await distill(student, taught, { engine, seed: 1 }).catch(refused);
      expectThat(structureHash(model) === before, "the teacher was changed");
      if (outcome instanceof Miss) return;
      expectSentences(outcome);
      for (const { loss } of outcome.history)
        expectThat(!Number.isFinite(size) || loss >= -1e-4 * size, `the loss is ${loss}`);
      await expectSameShapes(network, await answers(student, batchesOf(network)));
    },
  },
];
