/** What the demo tries: each technique alone, most of them in a few lines, and one chain. */
import type { Context, Model, Outcome } from "pith";
import type { Dataset } from "pith/data";
import { distill } from "pith/distill";
import { factorize } from "pith/factorize";
import { linear, network, relu } from "pith/nn";
import { prune } from "pith/prune";
import { quantize } from "pith/quantize";
import { type Epoch, train } from "pith/train";

/** A pass as the library has it. */
export interface AnyPass<O> {
  readonly id: string;
  (
    model: Model,
    options: O,
    context?: Partial<Context>,
  ): Promise<Outcome & { readonly history?: readonly Epoch[] | undefined }>;
}

/** What variants are made with. */
export interface Workshop {
  readonly train: Dataset;
  readonly calibrate: Dataset;
  /** The file of the trained network. */
  readonly original: string;
  /** Runs a pass on a model, in place, and measures what came out. */
  step<O extends object>(model: Model, pass: AnyPass<O>, options: NoInfer<O>): Promise<void>;
}

export interface Variant {
  readonly name: string;
  /** Gets a copy of the trained network; may return another one. */
  make(net: Model, workshop: Workshop): Promise<Model>;
}

export function teacherNetwork(): Model {
  return network({ fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) }, { input: ["batch", 784], seed: 1 });
}

function studentNetwork(): Model {
  return network({ fc1: linear(784, 64), relu: relu(), fc2: linear(64, 10) }, { input: ["batch", 784], seed: 2 });
}

/** Adam from 0.003 down to 0 in 8 epochs: about 98 %, as PyTorch reaches with the same settings. */
export const training = { epochs: 8, batch: 128, learningRate: 0.003, threads: 1 };
/** Fine-tuning starts where training was already slow. */
const tuning = { ...training, epochs: 2, learningRate: 0.001 };

const fineTune = (net: Model, { train: data, step }: Workshop, settings = tuning): Promise<void> =>
  step(net, train, { ...settings, data });

async function distilled({ train: data, original, step }: Workshop): Promise<Model> {
  const student = studentNetwork();
  await step(student, distill, { ...training, data, teacher: original, temperature: 4, alpha: 0.7 });
  return student;
}

export const variants: readonly Variant[] = [
  {
    name: "half of fc1 pruned",
    async make(net, { step }) {
      await step(net, prune, { layers: "fc1", amount: 0.5 });
      return net;
    },
  },
  {
    name: "half of fc1 pruned, fine-tuned",
    async make(net, workshop) {
      await workshop.step(net, prune, { layers: "fc1", amount: 0.5 });
      await fineTune(net, workshop);
      return net;
    },
  },
  {
    name: "90 % of all weights pruned, fine-tuned",
    async make(net, workshop) {
      await workshop.step(net, prune, { scope: "global", amount: 0.9 });
      await fineTune(net, workshop, { ...tuning, epochs: 3, learningRate: 0.003 });
      return net;
    },
  },
  {
    name: "half of fc1's neurons cut, fine-tuned",
    async make(net, workshop) {
      await workshop.step(net, prune, { layers: "fc1", structured: true, amount: 0.5 });
      await fineTune(net, workshop, { ...tuning, epochs: 3, learningRate: 0.002 });
      return net;
    },
  },
  {
    name: "8-bit weights",
    async make(net, { step }) {
      await step(net, quantize, { scheme: "weights", bits: 8 });
      return net;
    },
  },
  {
    name: "8-bit, dynamic",
    async make(net, { step }) {
      await step(net, quantize, { scheme: "dynamic" });
      return net;
    },
  },
  {
    name: "8-bit, static",
    async make(net, { calibrate, step }) {
      await step(net, quantize, { scheme: "static", data: calibrate });
      return net;
    },
  },
  {
    name: "student 784-64-10, alone",
    async make(_, { train: data, step }) {
      const student = studentNetwork();
      await step(student, train, { ...training, data });
      return student;
    },
  },
  { name: "student 784-64-10, distilled", make: (_, workshop) => distilled(workshop) },
  {
    name: "fc1 of rank 32, fine-tuned",
    async make(net, workshop) {
      await workshop.step(net, factorize, { layers: "fc1", rank: 32 });
      await fineTune(net, workshop);
      return net;
    },
  },
  {
    name: "distilled, pruned by 70 %, fine-tuned, 8-bit",
    async make(_, workshop) {
      const student = await distilled(workshop);
      await workshop.step(student, prune, { scope: "global", amount: 0.7 });
      await fineTune(student, workshop);
      await workshop.step(student, quantize, { scheme: "static", data: workshop.calibrate });
      return student;
    },
  },
];
