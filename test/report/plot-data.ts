/** Reads the data of a plot page, as the script of the page does. */
import { inflateSync } from "node:zlib";

export interface PlottedBox {
  readonly family: string;
  readonly title: string;
  readonly label: string;
  readonly name: string;
  readonly note?: string;
  readonly weight?: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly inputs: readonly string[];
  readonly graphs: readonly (readonly [attribute: string, graph: number])[];
  readonly offers?: readonly (readonly [technique: string, text: string, refused: boolean])[];
}

export interface PlottedGraph {
  readonly title: string;
  readonly parent?: readonly [graph: number, box: number];
  readonly boxes: readonly PlottedBox[];
  readonly lines: readonly (readonly [from: number, to: number, d: string])[];
  readonly frames: readonly { readonly label: string }[];
  readonly layers: readonly (PlottedLayer | null)[];
}

export interface PlottedLayer {
  readonly first: boolean;
  readonly facts: string;
  readonly original?: { readonly brief: string; readonly full: string };
  readonly cells: number;
  readonly heat?: readonly number[];
  readonly entries?: number;
  readonly units?: number;
  readonly reason?: string;
  readonly kept?: string;
}

/** Returns the graphs of a page, the main one first. */
export function plottedGraphs(page: string): readonly [PlottedGraph, ...PlottedGraph[]] {
  const packed = /<script id="data" type="application\/octet-stream">([\w+/=]*)<\/script>/.exec(page)?.[1] ?? "";
  const data = JSON.parse(inflateSync(Buffer.from(packed, "base64")).toString()) as { readonly graphs: PlottedGraph[] };
  const [main, ...inner] = data.graphs;
  if (main === undefined) throw new Error("The page has no graph.");
  return [main, ...inner];
}
