/** 784-128-10 on MNIST: fc1 at rank 32, fine-tuned; within half a point of the network that it was made of. */

import { digits as openDigits } from "../../examples/digits.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { collect } from "../../src/data/index.ts";
import { accuracy, compare, evaluate } from "../../src/judge/index.ts";
import { linear, network, relu } from "../../src/learn/nn/index.ts";
import { train } from "../../src/learn/train/index.ts";
import { factorize } from "../../src/techniques/factorize/index.ts";
import { figureOf, line, points } from "../lib/print.ts";
import type { Settings } from "./settings.ts";

const engine = createEngine();
const training = { batch: 128, learningRate: 0.005, weightDecay: 1e-4 } as const;

export const digits = {
  title: "784-128-10 on MNIST, fc1 at rank 32",
  async run({ smoke, epochs, threads }: Settings): Promise<void> {
    const parts = await openDigits();
    const [data, test] = [await collect(parts.train), await collect(parts.test)];
    const net = network(
      { fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) },
      { input: ["batch", 784], seed: 1 },
    );
    await train(net, { ...training, data, epochs: smoke ? 1 : 10, threads }, { engine, seed: 1 });
    line(`  trained: ${figureOf(await evaluate(engine, net, test, accuracy()), accuracy())}`);
    const thin = net.clone();
    const { changes } = await factorize(thin, { layers: "fc1", rank: 32 }, { engine, seed: 1 });
    line(`  ${changes.map(({ at, what }) => `${at}: ${what}`).join("; ")}`);
    const show = async (what: string): Promise<number> => {
      const { candidate, difference } = await compare(engine, net, thin, test, accuracy());
      line(`  ${what}: ${(100 * candidate.value).toFixed(2)} %, ${points(difference)}, n = ${difference.count}`);
      return difference.value;
    };
    await show("rank 32");
    await train(thin, { ...training, data, epochs, threads }, { engine, seed: 1 });
    const lost = await show(`rank 32, ${epochs} epochs`);
    line(`  target: at most 0.5 points lost: ${lost >= -0.005 ? "met" : "MISSED"}`);
  },
};
