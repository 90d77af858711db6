/** Plots of real models: the weights that a page shows as pruned are those that the pruning functions remove. */
import { describe, expect, test } from "vitest";
import { plotArithmetic } from "../../src/app/report/plot/script.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { open } from "../../src/core/onnx/index.ts";
import { l1Unstructured, prune } from "../../src/techniques/prune/index.ts";
import { shared } from "../shared.ts";
import { type PlottedData, plottedGraphs } from "./plot-data.ts";

const models = ["vnncomp_mnist-net_256x2", "resnet20", "llama260k", "mobilenetv3_cifar10", "resnet56"].flatMap(
  (name) => {
    const path = shared(`data/models/${name}.onnx`);
    return path === undefined ? [] : [{ name, path }];
  },
);

interface Arithmetic {
  amountOf(layer: object, mode: string, amount: number): { readonly count: number; readonly size: number } | undefined;
}
const arithmetic = new Function(`${plotArithmetic}; return { amountOf };`)() as Arithmetic;

/** Returns the names and data of the prunable layers, each weight once. */
async function plottedLayers(model: Model): Promise<readonly { readonly name: string; readonly layer: PlottedData }[]> {
  const [{ boxes, layers }] = await plottedGraphs(model.clone());
  return layers.flatMap((layer, index) =>
    layer?.first !== true || layer.entries === undefined ? [] : [{ name: boxes[index]?.name ?? "", layer }],
  );
}

/** Removes the commas within numbers: "60,211 of 200,704 pruned". */
const plain = (what: string): string => what.replaceAll(/(?<=\d),(?=\d)/g, "");

describe.skipIf(models.length === 0).each(models)("$name", ({ path }) => {
  test.each([0.3, 0.5, 0.77])(
    "%d of each layer: shows as many pruned weights as l1Unstructured removes",
    async (amount) => {
      const model = await open(path);
      const shown = (await plottedLayers(model)).map(({ name, layer }) => {
        const removal = arithmetic.amountOf(layer, "entries", amount);
        return `${name}: ${removal?.count} of ${removal?.size} pruned`;
      });
      const { changes } = await l1Unstructured(model, { amount });
      expect(shown.length).toBeGreaterThan(0);
      const removed = changes.map(({ at, what }) => `${at}: ${plain(what).split(",")[0]}`);
      expect(shown.toSorted()).toEqual(removed.toSorted());
    },
  );

  test.each([0.1, 0.5])(
    "%d of the channels: shows as many pruned channels per layer as prune removes",
    async (amount) => {
      const model = await open(path);
      const shown = (await plottedLayers(model)).flatMap(({ name, layer }) => {
        const removal = arithmetic.amountOf(layer, "channels", amount);
        return removal === undefined || removal.count === 0
          ? []
          : [`${name}: ${removal.count} of ${removal.size} channels cut`];
      });
      const { changes } = await prune(model, { structured: amount });
      expect(shown.toSorted()).toEqual(
        changes.map(({ at, what }) => `${at}: ${plain(what).split(" (")[0]}`).toSorted(),
      );
    },
  );
});
