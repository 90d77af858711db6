/** The variants of the demo: each technique alone, most of them in a few lines. */
import type { Context, Model, Outcome } from "pith";
import type { Dataset } from "pith/data";
import { distill } from "pith/distill";
import { factorize } from "pith/factorize";
import { flatten, linear, network, relu } from "pith/nn";
import { prune } from "pith/prune";
import { quantize } from "pith/quantize";
import { train } from "pith/train";

/** A pass of the library. */
export interface AnyPass<O> {
  readonly id: string;
  (model: Model, options: O, context?: Partial<Context>): Promise<Outcome>;
}

/** Data and functions for building variants. */
export interface Workshop {
  readonly train: Dataset;
  readonly calibrate: Dataset;
  /** Training options of the original network. */
  readonly training: Training;
  /** Path of the trained network's file. */
  readonly original: string;
  /** Runs a pass on a model in place, and measures the result. */
  step<O extends object>(model: Model, pass: AnyPass<O>, options: NoInfer<O>): Promise<void>;
}

export interface Variant {
  readonly name: string;
  /** Receives a copy of the trained network. The result is the model of the last step. */
  make(net: Model, workshop: Workshop): Promise<void>;
}

function ofOneHiddenLayer(width: number, seed: number): Model {
  const modules = { flat: flatten(), fc1: linear(784, width), relu: relu(), fc2: linear(width, 10) };
  return network(modules, { input: ["batch", 1, 28, 28], seed });
}

export const originalNetwork = (): Model => ofOneHiddenLayer(128, 1);
const studentNetwork = (): Model => ofOneHiddenLayer(64, 2);

export interface Training {
  readonly epochs: number;
  readonly batch: number;
  readonly learningRate: number;
  readonly threads: number;
}

/** Returns options for Adam with a learning rate from 0.004 down to 0: 98 % in 6 epochs of MNIST, as in PyTorch with the same settings. A small dataset needs more epochs. */
export function trainingFor({ count = 0 }: Dataset): Training {
  return { epochs: count < 20_000 ? 30 : 6, batch: 128, learningRate: 0.004, threads: 1 };
}

/** A quarter of the passes; where little was lost at a quarter of the rate, since large steps would forget. */
function fineTune(
  net: Model,
  { train: data, training, step }: Workshop,
  learningRate = training.learningRate / 4,
): Promise<void> {
  return step(net, train, { ...training, data, epochs: Math.ceil(training.epochs / 4), learningRate });
}

export const variants: readonly Variant[] = [
  {
    name: "half of fc1 pruned",
    async make(net, { step }) {
      await step(net, prune, { layers: "fc1", amount: 0.5 });
    },
  },
  {
    name: "half of fc1 pruned, fine-tuned",
    async make(net, workshop) {
      await workshop.step(net, prune, { layers: "fc1", amount: 0.5, keepMasks: true });
      await fineTune(net, workshop);
    },
  },
  {
    name: "90 % of all weights pruned, fine-tuned",
    async make(net, workshop) {
      await workshop.step(net, prune, { scope: "global", amount: 0.9, keepMasks: true });
      await fineTune(net, workshop, 0.004);
    },
  },
  {
    name: "half of fc1's neurons cut, fine-tuned",
    async make(net, workshop) {
      await workshop.step(net, prune, { layers: "fc1", structured: true, amount: 0.5 });
      await fineTune(net, workshop, 0.002);
    },
  },
  {
    name: "8-bit weights",
    async make(net, { step }) {
      await step(net, quantize, { scheme: "weights", bits: 8 });
    },
  },
  {
    name: "8-bit, dynamic",
    async make(net, { step }) {
      await step(net, quantize, { scheme: "dynamic" });
    },
  },
  {
    name: "8-bit, static",
    async make(net, { calibrate, step }) {
      await step(net, quantize, { scheme: "static", data: calibrate });
    },
  },
  {
    name: "student 784-64-10, alone",
    async make(_, { train: data, training, step }) {
      const student = studentNetwork();
      await step(student, train, { ...training, data });
    },
  },
  {
    name: "student 784-64-10, distilled",
    async make(_, { train: data, training, original, step }) {
      const student = studentNetwork();
      await step(student, distill, { ...training, data, teacher: original, temperature: 4, alpha: 0.7 });
    },
  },
  {
    name: "fc1 of rank 32, fine-tuned",
    async make(net, workshop) {
      await workshop.step(net, factorize, { layers: "fc1", rank: 32 });
      await fineTune(net, workshop);
    },
  },
];
