/** Trains in a real browser with onnxruntime-web. */
import { expect, test } from "vitest";
import { browser, inBrowser } from "../../browser.ts";

test.skipIf(browser === undefined)(
  "trains a network in a browser",
  async () => {
    const losses = await inBrowser(`
    import { memory } from "pith/data";
    import { linear, network, relu } from "pith/nn";
    import { train } from "pith/train";
    export default async () => {
      const net = network({ fc1: linear(2, 16), relu: relu(), fc2: linear(16, 2) }, { input: ["batch", 2], seed: 1 });
      const places = Array.from({ length: 256 }, (_, i) => [(i % 16) / 8 - 1, Math.floor(i / 16) / 8 - 1]);
      const data = memory("quadrants", {
        input: { type: "float32", dims: [256, 2], data: Float32Array.from(places.flat()) },
        label: { type: "uint8", dims: [256], data: Uint8Array.from(places, ([x, y]) => Number(x * y > 0)) },
      });
      const { history } = await train(net, { data, epochs: 20, batch: 32, learningRate: 0.02 });
      return [history.at(0).loss, history.at(-1).loss];
    };`);
    const [first = 0, last = 1] = losses as number[];
    expect(first).toBeGreaterThan(0.5);
    expect(last).toBeLessThan(0.2);
  },
  120_000,
);
