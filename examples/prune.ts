/**
 * Pruning, after `torch.nn.utils.prune`:
 *
 *     class Net(nn.Module): self.fc1 = nn.Linear(784, 128); self.fc2 = nn.Linear(128, 10)
 *     prune.l1_unstructured(net.fc1, name="weight", amount=0.5)
 *     print(net.fc1.weight_mask)
 *     prune.remove(net.fc1, "weight")
 *
 * Differences: you select a layer by its name. Its mask is a tensor of the graph (`fc1.weight = fc1.weight_orig * fc1.weight_mask`), so you can
 * save and train the model with its mask. Calls return promises, because weights can still be in a file.
 */
import { mkdir } from "node:fs/promises";
import { open, save } from "pith";
import { createEngine } from "pith/engine";
import { accuracy, evaluate } from "pith/evaluate";
import { linear, network, relu } from "pith/nn";
import { prune, remove } from "pith/prune";
import { train } from "pith/train";
import { digits } from "./digits.ts";

const data = await digits();
const net = network({ fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) }, { input: ["batch", 784], seed: 1 });
await train(net, { data: data.train, epochs: 3, learningRate: 0.003 });

const { changes } = await prune(net, { layers: "fc1", amount: 0.5, keepMasks: true });
for (const { at, what } of changes) console.log(`${at}: ${what}`);
const mask = await net.graph.value("fc1.weight_mask")?.tensor?.read();
console.log("fc1.weight_mask", mask?.dims, mask?.data.slice(400, 410));

await train(net, { data: data.train, epochs: 1, learningRate: 0.001 }); // what is pruned stays 0
await remove(net, { layers: "fc1" });

await mkdir("out", { recursive: true });
await save(net, "out/pruned.onnx");
const { estimate } = await evaluate(createEngine(), await open("out/pruned.onnx"), data.test, accuracy());
console.log(`out/pruned.onnx: accuracy ${(100 * estimate.value).toFixed(2)} % on ${estimate.count} digits`);
