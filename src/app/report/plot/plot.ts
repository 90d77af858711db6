/** `pith plot`: a model's graph as one page of compressed numbers, of which a script draws only the visible part (script-draw.ts). */
import { channelGroups } from "../../../core/analysis/channels.ts";
import { cost } from "../../../core/analysis/cost.ts";
import { type Inference, infer } from "../../../core/analysis/infer.ts";
import { allLayers, type Layer, layers as layersOf } from "../../../core/analysis/layers.ts";
import { learnedCount, learnedTensors } from "../../../core/analysis/learned.ts";
import { parametersOf } from "../../../core/analysis/parameters.ts";
import { storedForm, weightBits } from "../../../core/analysis/stored-form.ts";
import { requireStored, weightNeeds } from "../../../core/analysis/weight.ts";
import { formatReason, Miss, PithError, throwIfAborted } from "../../../core/errors.ts";
import { allGraphs, type Value } from "../../../core/graph/graph.ts";
import type { Model } from "../../../core/graph/model.ts";
import { bytes, count, counted } from "../../../core/numbers.ts";
import { dimsText, elementCount } from "../../../core/tensor/dims.ts";
import { withFreeChannels } from "../../../rewrite/clean-up/free-channels.ts";
import { isomorphic } from "../../../techniques/prune/allocations.ts";
import { type CutOrder, cutOrders } from "../../../techniques/prune/cut-order.ts";
import { type Channels, channelsIn, offersOf } from "../applicable-techniques.ts";
import { html } from "../markup.ts";
import { page } from "../page.ts";
import { draw, noteOf, strip, titleOf } from "./draw.ts";
import { type Box, collect, type Picture } from "./graph.ts";
import { type ComparedLayer, compareWith, type Original } from "./original.ts";
import { plotScript } from "./script.ts";
import { plotStyle } from "./style.ts";
import { curveSteps, type WeightPicture, weightPicture } from "./weights.ts";

export interface PlotOptions {
  readonly name: string;
  /** Share to show as removed initially, from 0 to 1. Default 0.5. */
  readonly amount?: number;
  /** The model from which this one was made: each layer shows its bytes in both. Its weights must be stored (`storeWeights`). */
  readonly original?: Original;
  readonly progress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

interface PlottedLayer {
  readonly facts: string;
  readonly picture: WeightPicture | undefined;
  readonly reason: string | undefined;
  /** Undefined if no channel can be removed: `kept` says why. */
  readonly order: CutOrder | undefined;
  readonly kept: string | undefined;
  readonly bytes: number;
  /** The first of the layers that share its weight, so that sums count a weight once. */
  readonly first: boolean;
}

interface Cuts {
  readonly channels: (layer: Layer) => Channels;
  readonly orders: ReadonlyMap<string, CutOrder>;
}

/**
 * Builds the page. Reads every weight twice, one at a time; sorts the nodes.
 * @param inference of this model.
 * @throws PithError E_OPTION for an amount outside 0 to 1, or an original without a common layer; E_STOPPED on the signal.
 * @example const page = await plotPage(model, infer(model), { name: "resnet20.onnx", amount: 0.5 });
 */
export async function plotPage(model: Model, inference: Inference, options: PlotOptions): Promise<string> {
  const { name, amount = 0.5, original } = options;
  if (!(amount >= 0 && amount <= 1)) {
    throw new PithError("E_OPTION", `amount: a share from 0 to 1 is expected, got ${amount}.`);
  }
  for (const graph of allGraphs(model.graph)) graph.sort();
  const layers = layersOf(model, inference);
  const costs = cost(model, inference);
  const compared = original && compareWith(original, allLayers(model, inference), costs.bytes);
  const learned = parametersOf(model, inference);
  const free = await withFreeChannels(model);
  const groups = channelGroups(free, infer(free));
  const channels = channelsIn(groups);
  const cuts = { channels, orders: await cutOrders(free, groups, { scope: isomorphic }) };
  const pictures = collect(model, inference, layers, costs);
  const plotted = await plotLayers(model, inference, { learned, cuts }, pictures, options);
  const data = {
    amount,
    strip,
    steps: curveSteps,
    graphs: pictures.map((picture) => {
      const { places, lines, frames, width, height } = draw(picture);
      return {
        title: picture.title,
        parent: picture.parent,
        width,
        height,
        boxes: picture.boxes.map((box, index) => ({
          ...places[index],
          ...boxData(box),
          offers: box.layer === undefined ? undefined : offers(model, box.layer, channels, inference, learned),
        })),
        lines: lines.map(({ from, to, d, left, right, top, bottom }) => [from, to, d, left, right, top, bottom]),
        frames,
        layers: picture.boxes.map(({ layer }) => {
          const found = layer === undefined ? undefined : plotted.get(layer);
          return layer === undefined || found === undefined ? null : layerData(found, compared?.of(layer));
        }),
      };
    }),
  };
  const parameters = learnedCount(await learnedTensors(model, inference));
  const nodes = [...allGraphs(model.graph)].reduce((sum, graph) => sum + graph.nodeCount, 0);
  const summary = `${counted(nodes, "node")}, ${counted(layers.length, "layer")}, ${count(parameters)} parameters, ${bytes(costs.bytes)}`;
  const packed = new Blob([JSON.stringify(data)]).stream().pipeThrough(new CompressionStream("deflate"));
  const body = html`<header>
<div class="about"><h1>${name}</h1><p>${summary}</p>${compared && html`<p>${compared.summary}</p>${compared.removed.length > 0 && html`<details><summary>${compared.removedText}</summary><ul>${compared.removed.map((line) => html`<li>${line}</li>`)}</ul></details>`}`}</div>
<form class="tools">
<label class="search"><span>find</span><input id="search" type="search" autocomplete="off" spellcheck="false" placeholder="layer, operator, tensor"><output id="found"></output></label>
<fieldset id="mode"><label><input type="radio" name="mode" value="entries" checked>single weights</label><label><input type="radio" name="mode" value="channels">whole channels</label></fieldset>
<label class="amount"><span>prune</span><input id="amount" type="range" min="0" max="100" step="1" value="${Math.round(100 * amount)}"><output id="share"></output></label>
<output id="total"></output>
</form>
<nav id="path" aria-label="graph" hidden></nav>
</header>
<main id="view"><svg id="drawing"><defs>
<pattern id="gone" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="gone-ground" width="5" height="5"/><rect class="gone-line" width="1.6" height="5"/></pattern></defs>
<g id="scene"></g></svg>
<noscript>This page draws the graph with JavaScript, which is disabled.</noscript>
<div class="zoom"><button type="button" id="closer" aria-label="zoom in">+</button><button type="button" id="farther" aria-label="zoom out">−</button><button type="button" id="whole" aria-label="whole graph">⤢</button></div>
</main>
<aside id="panel" hidden></aside>
<footer class="legend"><span class="layer">layer</span><span class="trained">other parameters</span><span class="compute">computation</span><span class="move">data movement</span><span class="shape">shapes, indices</span><span class="unknown">not understood</span><span class="strip">output channels, darker: larger; hatched: would be removed</span></footer>
<script id="data" type="application/octet-stream">${base64(new Uint8Array(await new Response(packed).arrayBuffer()))}</script>`;
  return page({ title: name, style: plotStyle, body, script: plotScript });
}

async function plotLayers(
  model: Model,
  inference: Inference,
  { learned, cuts }: { readonly learned: ReadonlySet<Value>; readonly cuts: Cuts },
  [main, ...inner]: readonly [Picture, ...Picture[]],
  { progress, signal }: PlotOptions,
): Promise<ReadonlyMap<Layer, PlottedLayer>> {
  const shown = main.boxes.flatMap(({ layer }) => layer ?? []);
  const seen = new Map<Value, PlottedLayer>();
  const plotted = new Map<Layer, PlottedLayer>();
  for (const layer of shown) {
    throwIfAborted(signal, `Stopped before layer "${layer.name}".`);
    const before = seen.get(layer.weight);
    const refused = requireStored(layer.weight, { ...weightNeeds.prune, learned });
    const one =
      before === undefined
        ? plottedLayer(layer, await weightPicture(model, layer, inference), refused, cuts)
        : { ...before, first: false };
    seen.set(layer.weight, before ?? one);
    plotted.set(layer, one);
    progress?.(plotted.size, shown.length);
  }
  for (const layer of inner.flatMap(({ boxes }) => boxes.flatMap((box) => box.layer ?? []))) {
    plotted.set(layer, plottedLayer(layer, new Miss("it lies inside a node"), undefined, undefined));
  }
  return plotted;
}

function plottedLayer(
  layer: Layer,
  found: WeightPicture | Miss,
  refused: Miss | undefined,
  cuts: Cuts | undefined,
): PlottedLayer {
  const { tensor } = layer.weight;
  const { dims } = storedForm(layer);
  const bits = weightBits(layer);
  const inBits = bits === undefined || bits === 32 ? "" : `, ${bits} bits`;
  const inside = new Miss("it lies inside a node");
  const kept = cuts === undefined ? inside : (cuts.channels(layer).kept ?? new Miss("its channels are not known"));
  return {
    facts: `${dimsText(dims)}, ${count(elementCount(dims))}${inBits}`,
    picture: found instanceof Miss ? undefined : found,
    reason: (refused ?? (found instanceof Miss ? found : undefined))?.reason,
    order: cuts?.orders.get(layer.name),
    kept: formatReason(kept),
    bytes: tensor?.bytes ?? 0,
    first: true,
  };
}

function offers(
  model: Model,
  layer: Layer,
  channels: (layer: Layer) => Channels,
  inference: Inference,
  learned: ReadonlySet<Value>,
) {
  // Techniques change only the main graph.
  if (layer.node.graph !== model.graph) return [];
  return offersOf(layer, channels(layer), inference, learned).map(({ technique, text, refused }) => [
    technique,
    text,
    refused,
  ]);
}

function boxData(box: Box) {
  const { family, title, name, inputs, outputs, attributes, macs, miss, graphs, bits } = box;
  return {
    family,
    title,
    label: titleOf(box),
    note: noteOf(box),
    name,
    weight: box.layer?.weight.name,
    inputs,
    outputs,
    attributes,
    macs,
    miss,
    bits,
    graphs,
  };
}

function layerData(
  { picture, reason, order, kept, first, facts, bytes: size }: PlottedLayer,
  compared: ComparedLayer | undefined,
) {
  return {
    first,
    facts,
    original: compared,
    bytes: bytes(size),
    ...(order === undefined ? { kept } : { units: order.units, places: base64(fourBytes(order.places)) }),
    reason,
    ...(picture === undefined ? { cells: 0 } : stripData(picture)),
    ...(picture === undefined || reason !== undefined ? {} : entriesData(picture)),
  };
}

function stripData({ heat }: WeightPicture) {
  return { cells: heat.length, heat: heat.map((share) => Number(share.toFixed(3))) };
}

function entriesData({ entries, quantiles, curves }: WeightPicture) {
  return { entries, quantiles, curves: base64(curves) };
}

/** Little-endian; channels that cannot be removed have the maximum. */
function fourBytes(places: CutOrder["places"]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * places.length));
  for (const [channel, place = 2 ** 32 - 1] of places.entries()) view.setUint32(4 * channel, place, true);
  return new Uint8Array(view.buffer);
}

function base64(data: Uint8Array): string {
  const pieces: string[] = [];
  for (let start = 0; start < data.length; start += 0x8000) {
    pieces.push(String.fromCharCode(...data.subarray(start, start + 0x8000)));
  }
  return btoa(pieces.join(""));
}
