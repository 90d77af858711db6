/** ResNet-20 (He et al. 2016) with 1×1 shortcuts, trained from scratch on 20,000 images of CIFAR-10. */
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

/** Builds the blocks of one width. The first block halves the image if the width increases. */
function stage(count: number, from: number, to: number): Module {
  const remaining = Array.from({ length: count - 1 }, () => block(to, to, 1));
  return sequential([block(from, to, from === to ? 1 : 2), ...remaining]);
}

/** Builds the network for CIFAR-10 with the given number of blocks per stage; 3 blocks are ResNet-20. */
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
  // High learning rates in one cycle (Smith and Topin 2018), as is usual for fast training on CIFAR.
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
