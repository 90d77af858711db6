/**
 * `pith plot`: a model's graph as one page. Boxes run from inputs to outputs; each layer shows its weight as a strip of output channels, and
 * on it what pruning would remove, for any amount, without the model at hand.
 */
import { cost } from "../../analysis/cost.ts";
import type { Inference } from "../../analysis/infer.ts";
import { layers as layersOf } from "../../analysis/layers.ts";
import { whyNotMaskable } from "../../analysis/masks.ts";
import { Miss, PithError } from "../../errors.ts";
import type { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { dimsText, elementCount } from "../../tensor/dims.ts";
import { embedded, html } from "../markup.ts";
import { bytes, count, integer } from "../numbers.ts";
import { page } from "../page.ts";
import { type DrawnLayer, draw, strip } from "./draw.ts";
import { type Box, collect } from "./graph.ts";
import { plotScript } from "./script.ts";
import { plotStyle } from "./style.ts";
import { curveSteps, type WeightPicture, weightPicture } from "./weights.ts";

export interface PlotOptions {
  /** What the page is called: the file's name. */
  readonly name: string;
  /** Share of each layer that the page begins with showing as removed, from 0 to 1. Default 0.5. */
  readonly amount?: number;
  /** Called after each weight that was read. */
  readonly progress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

interface PlottedLayer {
  readonly drawn: DrawnLayer;
  /** Undefined where it is not pruned: `reason` says why. */
  readonly picture: WeightPicture | undefined;
  readonly reason: string | undefined;
  readonly bytes: number;
  /** The first of the layers that share its weight: sums count a weight once. */
  readonly first: boolean;
}

/**
 * The page. Reads every weight of a layer once, one at a time; puts the nodes into order.
 * @param inference of this very model.
 * @throws PithError E_OPTION for an amount outside 0 to 1, E_STOPPED on the signal.
 * @example const page = await plotPage(model, infer(model), { name: "resnet20.onnx", amount: 0.5 });
 */
export async function plotPage(model: Model, inference: Inference, options: PlotOptions): Promise<string> {
  const { name, amount = 0.5 } = options;
  if (!(amount >= 0 && amount <= 1)) {
    throw new PithError("E_OPTION", `amount: a share from 0 to 1 is expected, got ${amount}.`);
  }
  model.graph.sort();
  const layers = layersOf(model, inference);
  const costs = cost(model, inference);
  const picture = collect(model, inference, layers, costs);
  const plotted = await plotLayers(model, inference, picture.boxes, options);
  const drawing = draw(
    picture,
    plotted.map((layer) => layer?.drawn),
    amount,
  );
  const data = {
    amount,
    strip,
    steps: curveSteps,
    width: drawing.width,
    height: drawing.height,
    boxes: picture.boxes.map((box, index) => boxData(box, drawing.places[index])),
    layers: plotted.map((layer) => (layer === undefined ? null : layerData(layer))),
  };
  const nodes = integer(model.graph.nodeCount);
  const summary = `${nodes} nodes, ${integer(layers.length)} layers, ${count(costs.parameters)} parameters, ${bytes(costs.bytes)}`;
  const body = html`<header>
<div class="about"><h1>${name}</h1><p>${summary}</p></div>
<form class="tools">
<label class="search"><span>find</span><input id="search" type="search" autocomplete="off" spellcheck="false" placeholder="layer, operator, tensor"><output id="found"></output></label>
<fieldset id="mode"><label><input type="radio" name="mode" value="entries" checked>single weights</label><label><input type="radio" name="mode" value="channels">whole channels</label></fieldset>
<label class="amount"><span>remove</span><input id="amount" type="range" min="0" max="100" step="1" value="${Math.round(100 * amount)}"><output id="share"></output></label>
<output id="total"></output>
</form>
</header>
<main id="view">${drawing.svg}
<div class="zoom"><button type="button" id="closer" aria-label="closer">+</button><button type="button" id="farther" aria-label="farther">−</button><button type="button" id="whole" aria-label="whole graph">⤢</button></div>
<div class="legend"><span class="layer">layer</span><span class="trained">other trained</span><span class="compute">computes</span><span class="move">moves</span><span class="shape">shapes, indices</span><span class="unknown">not understood</span><span class="strip">output channels, darker: larger; hatched: removed</span></div>
</main>
<aside id="panel" hidden></aside>
<script id="data" type="application/json">${embedded(data)}</script>`;
  return page({ title: name, style: plotStyle, body, script: plotScript });
}

async function plotLayers(
  model: Model,
  inference: Inference,
  boxes: readonly Box[],
  { progress, signal }: PlotOptions,
): Promise<readonly (PlottedLayer | undefined)[]> {
  const total = boxes.filter(({ layer }) => layer !== undefined).length;
  const seen = new Map<Value, PlottedLayer>();
  const plotted: (PlottedLayer | undefined)[] = [];
  let done = 0;
  for (const { layer } of boxes) {
    if (layer === undefined) {
      plotted.push(undefined);
      continue;
    }
    if (signal?.aborted === true) throw new PithError("E_STOPPED", `Stopped before layer "${layer.name}".`);
    const { weight } = layer;
    const before = seen.get(weight);
    if (before !== undefined) plotted.push({ ...before, first: false });
    else {
      const refused = whyNotMaskable(model, layer.weight);
      const found = refused ?? (await weightPicture(layer, inference));
      const dims = weight.tensor?.dims ?? [];
      const one: PlottedLayer = {
        drawn: {
          shape: `${dimsText(dims)}, ${count(elementCount(dims))}`,
          entries: found instanceof Miss ? undefined : found.entries,
          heat: found instanceof Miss ? [] : found.heat,
        },
        picture: found instanceof Miss ? undefined : found,
        reason: found instanceof Miss ? `not pruned: ${found.reason}` : undefined,
        bytes: weight.tensor?.bytes ?? 0,
        first: true,
      };
      seen.set(weight, one);
      plotted.push(one);
    }
    progress?.(++done, total);
  }
  return plotted;
}

function boxData(box: Box, place: { readonly x: number; readonly y: number } | undefined) {
  const { family, title, name, inputs, outputs, attributes, macs, miss } = box;
  const weight = box.layer?.weight.name;
  return { x: place?.x ?? 0, y: place?.y ?? 0, family, title, name, weight, inputs, outputs, attributes, macs, miss };
}

function layerData({ picture, reason, first, bytes: size }: PlottedLayer) {
  if (picture === undefined) return { reason, first, bytes: bytes(size) };
  const { entries, channels, quantiles, curves, order, heat } = picture;
  const pairs = new Uint8Array(2 * order.length);
  for (const [index, place] of order.entries()) {
    pairs[2 * index] = place & 255;
    pairs[2 * index + 1] = place >> 8;
  }
  return {
    first,
    bytes: bytes(size),
    entries,
    channels,
    cells: heat.length,
    heat: heat.map((share) => Number(share.toFixed(3))),
    quantiles,
    curves: base64(curves),
    order: base64(pairs),
  };
}

function base64(data: Uint8Array): string {
  let text = "";
  for (const byte of data) text += String.fromCharCode(byte);
  return btoa(text);
}
