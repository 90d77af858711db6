/**
 * Low rank: one layer as the product of two thinner ones.
 *
 *     U, S, V = torch.svd(net.fc1.weight)
 *     first  = nn.Linear(784, r, bias=False);  first.weight.data  = torch.diag(S[:r]) @ V[:, :r].t()
 *     second = nn.Linear(r, 128);              second.weight.data = U[:, :r];  second.bias.data = net.fc1.bias
 *     print(torch.linalg.matrix_rank(net.fc1.weight))
 *
 * `factorize` replaces layers by name, and gives a reason if two layers would not be smaller than one. It multiplies each factor by √S, so that
 * both have values of similar size for fine-tuning. `svd` and `matrixRank` are in `pith/extend`.
 */
import { mkdir } from "node:fs/promises";
import { type Model, open, save } from "pith";
import { createEngine } from "pith/engine";
import { accuracy, evaluate } from "pith/evaluate";
import { fromDense, type Matrix, matrixRank, multiply, svd } from "pith/extend";
import { factorize } from "pith/factorize";
import { linear, network, relu } from "pith/nn";
import { train } from "pith/train";
import { digits } from "./digits.ts";

const data = await digits();
const net = network({ fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) }, { input: ["batch", 784], seed: 1 });
await train(net, { data: data.train, epochs: 3, learningRate: 0.003 });

const weight = await matrixAt(net, "fc1.weight");
const { s } = svd(weight);
const energy = (values: Float64Array): number => values.reduce((sum, value) => sum + value * value, 0);
console.log(`fc1.weight: rank ${matrixRank(weight, { type: "float32" })} of ${weight.rows} × ${weight.columns}`);
console.log(`32 singular values hold ${((100 * energy(s.slice(0, 32))) / energy(s)).toFixed(1)} % of the energy`);

const { changes } = await factorize(net, { layers: "fc1", rank: 32 });
for (const { at, what } of changes) console.log(`${at}: ${what}`);
const product = multiply(await matrixAt(net, "fc1.up.weight"), await matrixAt(net, "fc1.down.weight"));
console.log(`fc1.up · fc1.down: rank ${matrixRank(product, { type: "float32" })}`);

await train(net, { data: data.train, epochs: 1, learningRate: 0.001 }); // the factors learn what the truncation lost

await mkdir("out", { recursive: true });
await save(net, "out/low-rank.onnx");
const { estimate } = await evaluate(createEngine(), await open("out/low-rank.onnx"), data.test, accuracy());
console.log(`out/low-rank.onnx: accuracy ${(100 * estimate.value).toFixed(2)} % on ${estimate.count} digits`);

async function matrixAt(model: Model, name: string): Promise<Matrix> {
  const tensor = model.graph.value(name)?.tensor;
  if (tensor === undefined) throw new Error(`There is no ${name}.`);
  return fromDense(await tensor.read());
}
