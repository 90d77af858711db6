/**
 * Experiment "outliers": static int8 of transformers with one channel whose range is a hundred times that of the others. They compute the same function as the
 * originals, because the consumers of the channel divide by the same factor.
 */
import { infer } from "../../src/core/analysis/infer.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import type { Node, Value } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { axisLayout } from "../../src/core/tensor/axis-layout.ts";
import { toFloats } from "../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../src/core/tensor/dense.ts";
import { random } from "../../src/core/tensor/random.ts";
import { heading } from "../lib/print.ts";
import type { NetworkName } from "./samples.ts";
import { besidePeers, calibrating, type Goals, type Settings } from "./static.ts";

const factor = 100;
const goals: Goals = { drop: 0.01, agreement: 0.97 };

/** Functions that add an outlier channel to a model, by name. */
const forms: Readonly<Record<string, (model: Model) => Promise<void>>> = {
  "a channel of each normalization": (model) => scaled(model, normalizations(model)),
  "a residual channel": (model) => scaled(model, residuals(model)),
  "an output channel of each convolution and attention": outputChannels,
};

export async function outliers(settings: Settings): Promise<boolean> {
  heading(`Static int8 of outliers, calibrated on ${calibrating} samples, mean over ${settings.draws} draws`, 0);
  const names: readonly NetworkName[] = settings.smoke ? ["bert_sst2"] : ["bert_sst2", "cct_cifar10"];
  const all = names.flatMap((network) =>
    Object.entries(forms).map(([form, vary]) => ({ title: `${network}, ${form}`, network, vary })),
  );
  return besidePeers(settings.smoke ? all.slice(0, 1) : all, goals, settings);
}

function normalizations({ graph }: Model): readonly Value[] {
  return [...graph.nodes()].flatMap(({ op, outputs: [answer] }) =>
    op === "LayerNormalization" && answer !== undefined ? [answer] : [],
  );
}

/** Returns the middle one of the residual sums, which add two computed values. */
function residuals({ graph }: Model): readonly Value[] {
  const sums = [...graph.nodes()].filter(
    ({ op, inputs, outputs: [sum] }) =>
      op === "Add" &&
      inputs.every((input) => input?.producer !== undefined) &&
      [...(sum?.uses ?? [])].some(({ node }) => node.op === "LayerNormalization"),
  );
  return sums[Math.floor(sums.length / 2)]?.outputs.flatMap((sum) => sum ?? []) ?? [];
}

/** Biases of both files that produce the attention values and of the products that consume them. The weights are those of the products before the biases. */
const attentions = [
  { values: "layers.*.attn.qkv.bias", from: 256, output: "layers.*.attn.out.bias" },
  {
    values: "model.bert.encoder.layer.*.attention.self.value.bias",
    from: 0,
    output: "model.bert.encoder.layer.*.attention.output.dense.bias",
  },
] as const;
const width = 128;

/** Scales one output channel of the first convolution, and one value channel of each attention: the following operations are linear in them. */
async function outputChannels({ graph }: Model): Promise<void> {
  const factorsAt = (count: number, at: number, by: number): Float32Array =>
    new Float32Array(count).fill(1).fill(by, at, at + 1);
  const [first, second] = [graph.value("conv1.weight"), graph.value("conv2.weight")];
  if (first !== undefined && second !== undefined) {
    const channels = first.tensor?.dims[0] ?? 0;
    const channel = random(1, "outlier").integer(channels);
    await multiply(first, 0, factorsAt(channels, channel, factor));
    await multiply(second, 1, factorsAt(channels, channel, 1 / factor));
  }
  for (const { values, from, output } of attentions)
    for (let block = 0; ; block++) {
      const [bias, next] = [values, output].map((name) => graph.value(name.replace("*", `${block}`)));
      if (bias?.tensor === undefined || next === undefined) break;
      const [channel, { length }] = [
        random(1, "outlier", `${block}`).integer(width),
        await bias.tensor.read().then(toFloats),
      ];
      await multiply(bias, 0, factorsAt(length, from + channel, factor));
      await multiply(productBefore(bias), 1, factorsAt(length, from + channel, factor));
      await multiply(productBefore(next), 0, factorsAt(width, channel, 1 / factor));
    }
}

/** Returns the weight of the product that a bias is added to. */
function productBefore(bias: Value): Value {
  const [use] = bias.uses;
  const product = use?.node.inputs.find((input) => input !== bias)?.producer;
  const weight = product?.inputs[1];
  if (product?.op !== "MatMul" || weight === undefined) throw new Error(`${bias.name} is not added to a product.`);
  return weight;
}

/**
 * Multiplies one channel of the values (along their last axis) by `factor` in the tensors that produce it. Products that read the values divide by it in their
 * weights, and all other consumers read a divided copy.
 */
async function scaled(model: Model, starts: readonly Value[]): Promise<void> {
  const { graph } = model;
  const types = infer(model);
  const channels = [...new Set(starts.map((value) => types.operand(value)?.dims?.at(-1)))];
  const [count] = channels;
  if (typeof count !== "number" || channels.length > 1)
    throw new Error("The values have no common number of channels.");
  const channel = random(1, "outlier").integer(count);
  const factors = (by: number): Float32Array => new Float32Array(count).fill(1).fill(by, channel, channel + 1);
  const done = new Set<Value>();
  const writers = new Set<Node>();
  const enlarge = async (value: Value): Promise<void> => {
    if (done.has(value)) return;
    done.add(value);
    const { producer } = value;
    if (producer === undefined) throw new Error(`${value.name} is computed by no node.`);
    const { op, inputs } = producer;
    const stored = inputs.filter((input) => input?.tensor !== undefined);
    const computed = inputs.filter((input) => input?.tensor === undefined);
    if (op === "LayerNormalization" || (op === "MatMul" && inputs[1]?.tensor !== undefined) || op === "Add") {
      writers.add(producer);
      for (const input of stored) if (input !== undefined) await multiply(input, -1, factors(factor));
      if (op === "Add") for (const input of computed) if (input !== undefined) await enlarge(input);
      return;
    }
    const larger = emitInto(model)
      .named(`${value.name}_larger`)
      .Mul([value, constant(model, factors(factor))]);
    const larged = larger.producer;
    if (larged !== undefined) writers.add(larged);
    for (const { node, input } of [...value.uses]) if (node !== larged) graph.setInput(node, input, larger);
    done.add(larger);
  };
  for (const start of starts) await enlarge(start);
  for (const value of done)
    for (const { node, input } of [...value.uses]) {
      if (writers.has(node)) continue;
      const weight = node.op === "MatMul" && input === 0 ? node.inputs[1] : undefined;
      if (weight?.tensor !== undefined) await multiply(weight, -2, factors(1 / factor));
      else {
        const back = emitInto(model)
          .named(`${value.name}_back`)
          .Mul([value, constant(model, factors(1 / factor))]);
        graph.setInput(node, input, back);
      }
    }
  graph.sort();
  graph.touch();
}

function constant({ graph }: Model, numbers: Float32Array): Value {
  return graph.addTensor(graph.freshName("outlier"), inMemory(float32([numbers.length], numbers)));
}

/** Multiplies a stored tensor by factors along an axis. @throws Error if several nodes read the tensor. */
async function multiply(value: Value, axis: number, factors: Float32Array): Promise<void> {
  const { tensor } = value;
  if (tensor === undefined || value.uses.size > 1) throw new Error(`${value.name} is not one node's alone.`);
  const { dims } = tensor;
  const { count, inner } = axisLayout(dims, axis < 0 ? axis + dims.length : axis);
  if (count !== factors.length) throw new Error(`${value.name} has other channels.`);
  const data = Float32Array.from(
    toFloats(await tensor.read()),
    (entry, at) => entry * (factors[Math.floor(at / inner) % factors.length] ?? 1),
  );
  value.tensor = inMemory(float32(dims, data));
}
