/**
 * Trains the network of `blobs.ts`, which knows the classes, and writes it next to this file.
 *
 *     npx tsx --conditions=pith-source test/judge/train-blobs.ts
 */
import { save } from "../../src/core/onnx/index.ts";
import { linear, network, relu } from "../../src/learn/nn/index.ts";
import { train } from "../../src/learn/train/index.ts";
import { classes, task, trainedFile, width } from "./blobs.ts";

const model = network(
  { fc1: linear(width, 64), relu1: relu(), fc2: linear(64, 48), relu2: relu(), fc3: linear(48, classes) },
  { input: ["batch", width], seed: 1 },
);
await train(model, { data: task.train, epochs: 4, batch: 64, learningRate: 0.01 }, { seed: 1 });
await save(model, trainedFile);
