/** Plots of real models: the weights that a page shows as pruned are those that the pruning functions remove. */
import { describe, expect, test } from "vitest";
import { plotPage } from "../../src/app/report/plot/plot.ts";
import { plotArithmetic } from "../../src/app/report/plot/script.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { open } from "../../src/core/onnx/index.ts";
import { l1Unstructured, prune } from "../../src/techniques/prune/index.ts";
import { shared } from "../shared.ts";
import { type PlottedBox, type PlottedLayer, plottedGraphs } from "./plot-data.ts";
import { faults } from "./well-formed.ts";

const models = ["vnncomp_mnist-net_256x2", "resnet20", "llama260k", "mobilenetv3_cifar10", "resnet56"].flatMap(
  (name) => {
    const path = shared(`data/models/${name}.onnx`);
    return path === undefined ? [] : [{ name, path }];
  },
);

interface Arithmetic {
  unpack(layer: PlottedLayer, steps: number): object;
  amountOf(layer: object, mode: string, amount: number): { readonly count: number; readonly size: number } | undefined;
}
const arithmetic = new Function(`${plotArithmetic}; return { unpack, amountOf };`)() as Arithmetic;

/** Returns the boxes and data of the prunable layers, each weight once. */
function layersIn(page: string): readonly { readonly box: PlottedBox; readonly layer: PlottedLayer }[] {
  const [{ boxes, layers: plotted }] = plottedGraphs(page);
  return plotted.flatMap((layer, index) => {
    const box = boxes[index];
    return layer === null || box === undefined || !layer.first || layer.entries === undefined ? [] : [{ box, layer }];
  });
}

const plot = async (model: Model, amount: number): Promise<string> => {
  const copy = model.clone();
  return plotPage(copy, infer(copy), { name: "model.onnx", amount });
};

/** Removes the commas within numbers: "60,211 of 200,704 pruned". */
const plain = (what: string): string => what.replaceAll(/(?<=\d),(?=\d)/g, "");

describe.skipIf(models.length === 0).each(models)("$name", ({ path }) => {
  test.each([0.3, 0.5, 0.77])(
    "%d of each layer: shows as many pruned weights as l1Unstructured removes",
    async (amount) => {
      const model = await open(path);
      const page = await plot(model, amount);
      expect(faults(page)).toEqual([]);
      const shown = layersIn(page).map(({ box, layer }) => {
        const removal = arithmetic.amountOf(layer, "entries", amount);
        return `${box.name}: ${removal?.count} of ${removal?.size} pruned`;
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
      const shown = layersIn(await plot(model, amount)).flatMap(({ box, layer }) => {
        const removal = arithmetic.amountOf(arithmetic.unpack(layer, 20), "channels", amount);
        return removal === undefined || removal.count === 0
          ? []
          : [`${box.name}: ${removal.count} of ${removal.size} channels cut`];
      });
      const { changes } = await prune(model, { structured: amount });
      expect(shown.toSorted()).toEqual(
        changes.map(({ at, what }) => `${at}: ${plain(what).split(" (")[0]}`).toSorted(),
      );
    },
  );
});
