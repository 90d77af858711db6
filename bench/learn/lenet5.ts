/** LeNet-5 (LeCun et al. 1998) with rectifiers and maximum pooling, on MNIST: what is learnt in ten epochs. */
import { openDataset, presets } from "pith/data";
import { conv2d, flatten, linear, maxPool, network, relu } from "pith/nn";
import { shared } from "../../test/shared.ts";
import type { FromScratch } from "./scratch.ts";

export const lenet5: FromScratch = {
  name: "lenet5",
  what: "LeNet-5 on MNIST",
  // Shifted by up to two pixels: what is outside is black, as it is in the images.
  recipe: { epochs: 10, batch: 64, optimizer: "adam", learningRate: 0.002, schedule: "cosine", augment: "crop=2" },
  seeds: [1],
  least: 0.991,
  within: 0.003,
  preprocessing: presets.unit,
  build: (seed) =>
    network(
      {
        ...{ conv1: conv2d(1, 6, 5, { padding: 2 }), relu1: relu(), pool1: maxPool(2) },
        ...{ conv2: conv2d(6, 16, 5), relu2: relu(), pool2: maxPool(2), flat: flatten() },
        ...{ fc1: linear(400, 120), relu3: relu(), fc2: linear(120, 84), relu4: relu(), fc3: linear(84, 10) },
      },
      { input: ["batch", 1, 28, 28], seed },
    ),
  async data() {
    const folder = shared("data/mnist");
    if (folder === undefined) return undefined;
    return { train: await openDataset(folder, { part: "train" }), test: await openDataset(folder, { part: "test" }) };
  },
};
