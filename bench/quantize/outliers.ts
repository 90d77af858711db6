/**
 * Experiment "outliers": static int8 of transformers one of whose channels reaches a hundred times as far as the others. They compute what the originals do: what
 * reads the channel takes it back.
 */
import { infer } from "../../src/analysis/infer.ts";
import { scaleGroups } from "../../src/analysis/scale-groups.ts";
import { emitInto } from "../../src/graph/emit.ts";
import type { Node, Value } from "../../src/graph/graph.ts";
import type { Model } from "../../src/graph/model.ts";
import { migrate } from "../../src/passes/index.ts";
import { toFloats } from "../../src/tensor/convert.ts";
import { float32, inMemory } from "../../src/tensor/dense.ts";
import { random } from "../../src/tensor/random.ts";
import { heading } from "../lib/print.ts";
import type { NetworkName } from "./samples.ts";
import { besidePeers, calibrating, type Goals, type Settings } from "./static.ts";

const factor = 100;
const goals: Goals = { drop: 0.01, agreement: 0.97 };

/** Each says what changes in a model. */
const forms: Readonly<Record<string, (model: Model) => Promise<void>>> = {
  "a channel of each normalization": (model) => scaled(model, normalizations(model)),
  "a residual channel": (model) => scaled(model, residuals(model)),
  "a channel of each layer that allows it": everyGroup,
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

/** The sum in the middle of those of two computed values. */
function residuals({ graph }: Model): readonly Value[] {
  const found = [...graph.nodes()].filter(
    ({ op, inputs, outputs: [sum] }) =>
      op === "Add" &&
      inputs.every((input) => input?.producer !== undefined) &&
      [...(sum?.uses ?? [])].some(({ node }) => node.op === "LayerNormalization"),
  );
  return found[Math.floor(found.length / 2)]?.outputs.flatMap((sum) => sum ?? []) ?? [];
}

/** One unit of each group of factors (`analysis/scale-groups.ts`): of queries, values, hidden neurons, convolutions. */
async function everyGroup(model: Model): Promise<void> {
  for (const group of scaleGroups(model, infer(model))) {
    const free = Array.from({ length: group.units }, (_, unit) => unit).filter((unit) => !group.refused.has(unit));
    const unit = free[Math.floor(free.length / 3)];
    if (unit !== undefined)
      await migrate(model, group, new Float64Array(group.units).fill(1).fill(factor, unit, unit + 1));
  }
}

/**
 * Makes one channel of values (along their last axis) so many times as large, from what stores it on; products that read them take it back, and whatever else does
 * is given them divided.
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

/** Along an axis from the end. @throws Error where other nodes read the tensor too. */
async function multiply(value: Value, axis: -1 | -2, factors: Float32Array): Promise<void> {
  const { tensor } = value;
  if (tensor === undefined || value.uses.size > 1) throw new Error(`${value.name} is not one node's alone.`);
  const { dims } = tensor;
  const inner = axis === -1 ? 1 : (dims.at(-1) ?? 1);
  if (dims.at(axis) !== factors.length) throw new Error(`${value.name} has other channels.`);
  const data = Float32Array.from(
    toFloats(await tensor.read()),
    (entry, at) => entry * (factors[Math.floor(at / inner) % factors.length] ?? 1),
  );
  value.tensor = inMemory(float32(dims, data));
}
