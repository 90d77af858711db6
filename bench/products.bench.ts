/**
 * Times a training step of a 784-1200-1200-10 network (batch 128, SGD with momentum) against its matrix products run alone.
 *
 *     npm run bench -- products [--rounds 12]
 *
 * Rounds alternate, so that both run under the same load. A time is the median over rounds of the fastest step in the round.
 */
import { parseArgs } from "node:util";
import { type Batch, float32, int64, Model } from "pith";
import { createEngine } from "pith/engine";
import { emitInto, random } from "pith/extend";
import { linear, network, relu } from "pith/nn";
import { createStep, crossEntropy, sgd } from "pith/train";
import { median } from "./lib/print.ts";

const { values: options } = parseArgs({ options: { rounds: { type: "string", default: "12" } } });
const rounds = Number(options.rounds);
const threads = 2;
const batch = 128;
const sizes = [784, 1200, 1200, 10] as const;
const stepsPerRound = 15;

const numbers = random(1, "bench");
const normal = (count: number) => Float32Array.from({ length: count }, () => numbers.normal());
const data: Batch = {
  input: float32([batch, sizes[0]], normal(batch * sizes[0])),
  label: int64(
    [batch],
    Array.from({ length: batch }, () => numbers.integer(10)),
  ),
};

function ours() {
  const [inputs, first, second, outputs] = sizes;
  const modules = {
    fc1: linear(inputs, first),
    relu1: relu(),
    fc2: linear(first, second),
    relu2: relu(),
    fc3: linear(second, outputs),
  };
  return network(modules, { input: ["batch", inputs], seed: 1 });
}

/** Builds the matrix products of a step alone: three forward, two by data (the network input needs no gradient), three by weight. */
function productsAlone(): { model: Model; feeds: Batch } {
  const model = new Model();
  const emit = emitInto(model);
  const feeds: Record<string, Batch[string]> = {};
  const fed = (name: string, rows: number, columns: number) => {
    feeds[name] = float32([rows, columns], normal(rows * columns));
    return model.graph.addInput(name, { type: "float32", dims: [rows, columns] });
  };
  sizes.slice(1).forEach((outputs, layer) => {
    const inputs = sizes[layer] ?? 1;
    const x = fed(`x${layer}`, batch, inputs);
    const w = fed(`w${layer}`, outputs, inputs);
    const up = fed(`up${layer}`, batch, outputs);
    const products = [emit.Gemm([x, w], { transB: 1 }), emit.Gemm([up, x], { transA: 1 })];
    if (layer > 0) products.push(emit.Gemm([up, w]));
    for (const product of products) {
      product.type = { type: "float32", dims: undefined };
      model.graph.addOutput(product);
    }
  });
  return { model, feeds };
}

async function fastest(steps: number, one: () => Promise<unknown>): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let step = 0; step < steps; step++) {
    const start = performance.now();
    await one();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

const engine = createEngine();
const optimizer = sgd({ momentum: 0.9 });
const step = await createStep(ours(), data, { loss: crossEntropy(), threads, carry: optimizer.carry });
// The ratio to the products counts only loss and gradients: the momentum in the graph is work of the optimizer.
const gradientsOnly = await createStep(ours(), data, { loss: crossEntropy(), threads });
const { model, feeds } = productsAlone();
const products = await engine.load(model, { optimize: false, inPlace: true, threads });
const buffers = await products.run(feeds);
const fullStep = async () => {
  await step.run(data);
  optimizer.update(step.parameters, 0.01);
};
const times: Record<"step with update" | "step graph" | "products alone" | "update", number[]> = {
  "step with update": [],
  "step graph": [],
  "products alone": [],
  update: [],
};
for (let warm = 0; warm < 10; warm++) await fullStep();
for (let round = 0; round < rounds; round++) {
  times["step with update"].push(await fastest(stepsPerRound, fullStep));
  times["products alone"].push(await fastest(stepsPerRound, () => products.run(feeds, buffers)));
  times["step graph"].push(await fastest(stepsPerRound, () => gradientsOnly.run(data)));
  times.update.push(await fastest(stepsPerRound, async () => optimizer.update(step.parameters, 0.01)));
}
await step.release();
await gradientsOnly.release();
await products.release();

console.log(
  `784-1200-1200-10, batch ${batch}, SGD with momentum, ${threads} threads, ${rounds} rounds of ${stepsPerRound} steps, seed 1`,
);
for (const [name, list] of Object.entries(times)) {
  if (list.length === 0) continue;
  const sorted = list.toSorted((a, b) => a - b);
  console.log(
    `  ${name.padEnd(18)} ${median(list).toFixed(2)} ms   (${sorted[0]?.toFixed(2)} to ${sorted.at(-1)?.toFixed(2)})`,
  );
}
const ratio = (a: readonly number[], b: readonly number[]) =>
  median(a.map((value, round) => value / (b[round] ?? Number.NaN))).toFixed(2);
console.log(
  `  step graph / products alone        ${ratio(times["step graph"], times["products alone"])}   (target: at most 1.2)`,
);
