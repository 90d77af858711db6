/** ResNet-20 (He et al. 2016) with 1×1 shortcuts, from nothing on 20,000 images of CIFAR-10. */
import type { Model } from "pith";
import { openDataset, presets } from "pith/data";
import {
  batchNorm,
  conv2d,
  flatten,
  globalAveragePool,
  linear,
  type Module,
  network,
  relu,
  residual,
  sequential,
} from "pith/nn";
import { shared } from "../../test/shared.ts";
import type { FromScratch } from "./scratch.ts";

const unbiased = { bias: false } as const;

function block(from: number, to: number, stride: number): Module {
  const main = {
    conv1: conv2d(from, to, 3, { stride, padding: 1, ...unbiased }),
    bn1: batchNorm(to),
    relu: relu(),
    conv2: conv2d(to, to, 3, { padding: 1, ...unbiased }),
    bn2: batchNorm(to),
  };
  const shortcut = sequential({ conv: conv2d(from, to, 1, { stride, ...unbiased }), bn: batchNorm(to) });
  return sequential({ sum: residual(main, from === to ? {} : { shortcut }), relu: relu() });
}

/** Blocks of a width; the first of them halves the image where the width grows. */
function stage(count: number, from: number, to: number): Module {
  const others = Array.from({ length: count - 1 }, () => block(to, to, 1));
  return sequential([block(from, to, from === to ? 1 : 2), ...others]);
}

/** The network for CIFAR-10 with so many blocks in each of its stages: 3 of them are ResNet-20. */
export function resnet(blocks: number, seed: number): Model {
  return network(
    {
      ...{ conv: conv2d(3, 16, 3, { padding: 1, ...unbiased }), bn: batchNorm(16), relu: relu() },
      ...{ stage1: stage(blocks, 16, 16), stage2: stage(blocks, 16, 32), stage3: stage(blocks, 32, 64) },
      ...{ pool: globalAveragePool(), flat: flatten(), fc: linear(64, 10) },
    },
    { input: ["batch", 3, 32, 32], seed },
  );
}

export const resnet20: FromScratch = {
  name: "resnet20",
  what: "ResNet-20 on 20,000 images of CIFAR-10",
  // High rates with a rise and a long fall (Smith and Topin 2018), as fast training on CIFAR has it.
  recipe: {
    ...{ epochs: 30, batch: 128, optimizer: "sgd", learningRate: 0.2, weightDecay: 0.0005 },
    ...{ schedule: "one-cycle", augment: "crop=4 flip" },
  },
  seeds: [1],
  least: 0.82,
  within: 0.015,
  preprocessing: presets.cifar10,
  build: (seed) => resnet(3, seed),
  async data() {
    const folder = shared("data/cifar10");
    if (folder === undefined) return undefined;
    return { train: await openDataset(folder, { part: "train" }), test: await openDataset(folder, { part: "test" }) };
  },
};
