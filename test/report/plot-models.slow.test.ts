/** Plots of real models: what a page says pruning removes is what the pruning functions remove. */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/analysis/infer.ts";
import { layers } from "../../src/analysis/layers.ts";
import type { Model } from "../../src/graph/model.ts";
import { open } from "../../src/onnx/index.ts";
import { l1Unstructured, lnStructured } from "../../src/prune/index.ts";
import { plotPage } from "../../src/report/index.ts";
import { plotArithmetic } from "../../src/report/plot/script.ts";
import { toFloat64 } from "../../src/tensor/convert.ts";
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
  unpack(layer: PlottedLayer, steps: number): { readonly order: readonly number[] };
  amountOf(layer: object, mode: string, amount: number): { readonly gone: number; readonly size: number } | undefined;
}
const arithmetic = new Function(`${plotArithmetic}; return { unpack, amountOf };`)() as Arithmetic;

/** Boxes and numbers of the prunable layers, each weight once. */
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

describe.skipIf(models.length === 0).each(models)("$name", ({ path }) => {
  test.each([0.3, 0.5, 0.77])("%d of each layer: as many single weights as l1Unstructured removes", async (amount) => {
    const model = await open(path);
    const page = await plot(model, amount);
    expect(faults(page)).toEqual([]);
    const shown = layersIn(page).map(({ box, layer }) => {
      const taken = arithmetic.amountOf(layer, "entries", amount);
      return `${box.weight}: ${taken?.gone} of ${taken?.size} pruned`;
    });
    const { changes } = await l1Unstructured(model, { amount });
    expect(shown.length).toBeGreaterThan(0);
    const removed = changes.map(({ at, what }) => `${at}: ${what.split(",")[0]}`);
    expect(shown.toSorted()).toEqual(removed.toSorted());
  });

  test("whole channels: the very ones that lnStructured removes", async () => {
    const model = await open(path);
    let compared = 0;
    for (const { box, layer: numbers } of layersIn(await plot(model, 0.5)).slice(0, 8)) {
      const { order } = arithmetic.unpack(numbers, 20);
      const taken = arithmetic.amountOf(numbers, "channels", 0.5);
      const copy = model.clone();
      const layer = layers(copy, infer(copy)).find(({ name }) => name === box.name);
      // Behind a transposition the stored weight has its channels elsewhere: that is tested by itself.
      if (layer === undefined || layer.weight !== layer.effective) continue;
      const axis = layer.role.out;
      compared++;
      await lnStructured(copy, { layers: box.name, amount: 0.5, n: 2, dim: axis });
      const mask = copy.graph.value(`${box.weight}_mask`)?.tensor;
      if (mask === undefined) throw new Error(`${box.weight} has no mask`);
      const kept = toFloat64(await mask.read());
      const inner = mask.dims.slice(axis + 1).reduce((product, size) => product * size, 1);
      const gone = order.flatMap((_, channel) => (kept[channel * inner] === 0 ? [channel] : []));
      const claimed = order.flatMap((place, channel) => (place < (taken?.gone ?? 0) ? [channel] : []));
      expect(claimed, box.name).toEqual(gone);
    }
    expect(compared).toBeGreaterThan(0);
  });
});

test.skipIf(shared("data/models/resnet56.onnx") === undefined)("resnet56 is a page of less than 0.5 MB", async () => {
  const page = await plot(await open(shared("data/models/resnet56.onnx") ?? ""), 0.5);
  expect(page.length).toBeLessThan(500_000);
});
