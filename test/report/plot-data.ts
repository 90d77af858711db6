/** Reads plots: their content as data, and the markup in a page, as the script of the page does. */
import { inflateSync } from "node:zlib";
import { layerData, type PlotOptions, plotModel } from "../../src/app/report/plot/plot.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import type { Model } from "../../src/core/graph/model.ts";

/** Data of a layer in a page. */
export interface PlottedData {
  readonly first: boolean;
  readonly reason: string | undefined;
  readonly kept?: string;
  readonly cells: number;
  readonly entries?: number;
  readonly units?: number;
}

/** Returns the graphs of a plot, the main one first. `layers` has the data of each box that is a layer. */
export async function plottedGraphs(model: Model, options: Partial<PlotOptions> = {}) {
  const { graphs } = await plotModel(model, infer(model), { name: "net.onnx", ...options });
  const [main, ...inner] = graphs.map((graph) => ({
    ...graph,
    layers: graph.boxes.map(({ plot }) =>
      plot === undefined ? null : { ...plot, heat: plot.picture?.heat, ...(layerData(plot) as PlottedData) },
    ),
  }));
  if (main === undefined) throw new Error("The plot has no graph.");
  return [main, ...inner] as const;
}

/** Returns the markup that the script of a page inserts. */
export function plottedMarkup(page: string): string {
  const packed = /<script id="data" type="application\/octet-stream">([\w+/=]*)<\/script>/.exec(page)?.[1] ?? "";
  const { drawings, details } = JSON.parse(inflateSync(Buffer.from(packed, "base64")).toString()) as {
    readonly drawings: string;
    readonly details: readonly string[];
  };
  return [drawings, ...details].join("");
}
