/** Builds the page of `pith plot`. The page contains the graph as compressed data, and a script draws its visible part (`script-draw.ts`). */
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
import { type Channels, channelFinder, offersOf } from "../applicable-techniques.ts";
import { html, page } from "../markup.ts";
import { draw, noteOf, strip, titleOf } from "./draw.ts";
import { type Box, collectPictures, type Picture } from "./graph.ts";
import { compareWith, type Original } from "./original.ts";
import { plotScript } from "./script.ts";
import { plotStyle } from "./style.ts";
import { curveSteps, type WeightPicture, weightPicture } from "./weights.ts";

export interface PlotOptions {
  readonly name: string;
  /** Share of each layer that is shown as removed at first, from 0 to 1 (default: 0.5). */
  readonly amount?: number;
  /** Original of the model. Each layer then shows its bytes in both models. Its weights must be stored (`storeWeights`). */
  readonly original?: Original;
  readonly progress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Builds the page. Sorts the nodes of the model, and reads every weight twice, one at a time.
 * @param inference the inference of this model.
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
  const freeModel = await withFreeChannels(model);
  const groups = channelGroups(freeModel, infer(freeModel));
  const orders = await cutOrders(freeModel, groups, { scope: isomorphic });
  const context = { inference, learned, channels: channelFinder(groups), orders };
  const pictures = collectPictures(model, inference, layers, costs);
  const layerDataOf = await plotLayers(model, context, pictures, options);
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
          offers: box.layer && offers(model, box.layer, context),
        })),
        lines: lines.map(({ from, to, d, left, right, top, bottom }) => [from, to, d, left, right, top, bottom]),
        frames,
        layers: picture.boxes.map(({ layer }) =>
          layer === undefined ? null : { ...layerDataOf.get(layer), original: compared?.of(layer) },
        ),
      };
    }),
  };
  const parameters = learnedCount(await learnedTensors(model, inference));
  const nodes = [...allGraphs(model.graph)].reduce((sum, graph) => sum + graph.nodeCount, 0);
  const summary = `${counted(nodes, "node")}, ${counted(layers.length, "layer")}, ${count(parameters)} parameters, ${bytes(costs.bytes)}`;
  const compressedData = new Blob([JSON.stringify(data)]).stream().pipeThrough(new CompressionStream("deflate"));
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
<script id="data" type="application/octet-stream">${base64(new Uint8Array(await new Response(compressedData).arrayBuffer()))}</script>`;
  return page({ title: name, style: plotStyle, body, script: plotScript });
}

interface LayersContext {
  readonly inference: Inference;
  readonly learned: ReadonlySet<Value>;
  readonly channels: (layer: Layer) => Channels;
  readonly orders: ReadonlyMap<string, CutOrder>;
}

/** Returns the data of each layer for the page. Layers that read the same weight share its picture. */
async function plotLayers(
  model: Model,
  { inference, learned, channels, orders }: LayersContext,
  [main, ...inner]: readonly [Picture, ...Picture[]],
  { progress, signal }: PlotOptions,
): Promise<ReadonlyMap<Layer, object>> {
  const layers = main.boxes.flatMap(({ layer }) => layer ?? []);
  const dataByLayer = new Map<Layer, object>();
  const byWeight = new Map<Value, object>();
  for (const layer of layers) {
    throwIfAborted(signal, `Stopped before layer "${layer.name}".`);
    const sharedData = byWeight.get(layer.weight);
    if (sharedData === undefined) {
      const picture = await weightPicture(model, layer, inference);
      const refused = requireStored(layer.weight, { ...weightNeeds.prune, learned });
      const keptReason = channels(layer).kept ?? new Miss("its channels are not known");
      byWeight.set(
        layer.weight,
        layerData(layer, { picture, refused, order: orders.get(layer.name), kept: keptReason }),
      );
    }
    dataByLayer.set(
      layer,
      sharedData === undefined ? (byWeight.get(layer.weight) ?? {}) : { ...sharedData, first: false },
    );
    progress?.(dataByLayer.size, layers.length);
  }
  const insideMiss = new Miss("it lies inside a node");
  for (const layer of inner.flatMap(({ boxes }) => boxes.flatMap((box) => box.layer ?? [])))
    dataByLayer.set(layer, layerData(layer, { picture: insideMiss, kept: insideMiss }));
  return dataByLayer;
}

interface LayerPicture {
  readonly picture: WeightPicture | Miss;
  /** Reason why pruning skips the weight; undefined if pruning can change it. */
  readonly refused?: Miss | undefined;
  readonly order?: CutOrder | undefined;
  /** Reason why channels cannot be removed. */
  readonly kept: Miss;
}

/** Returns the data of a layer. `first` marks the first layer that reads a weight, so that sums count the weight once. */
function layerData(layer: Layer, { picture, refused, order, kept }: LayerPicture): object {
  const { dims } = storedForm(layer);
  const bits = weightBits(layer);
  const isDrawn = !(picture instanceof Miss);
  const reason = refused ?? (isDrawn ? undefined : picture);
  return {
    first: true,
    facts: `${dimsText(dims)}, ${count(elementCount(dims))}${bits === undefined || bits === 32 ? "" : `, ${bits} bits`}`,
    bytes: bytes(layer.weight.tensor?.bytes ?? 0),
    ...(order === undefined
      ? { kept: formatReason(kept) }
      : { units: order.units, places: base64(encodeOrder(order.places)) }),
    reason: reason?.reason,
    cells: isDrawn ? picture.heat.length : 0,
    ...(isDrawn && { heat: picture.heat.map((share) => Number(share.toFixed(3))) }),
    ...(isDrawn &&
      reason === undefined && {
        ...{ entries: picture.entries, quantiles: picture.quantiles, curves: base64(picture.curves) },
      }),
  };
}

/** Returns the effect that each technique could have on the layer; empty in subgraphs, because techniques change only the main graph. */
function offers(model: Model, layer: Layer, { channels, inference, learned }: LayersContext) {
  if (layer.node.graph !== model.graph) return [];
  return offersOf(layer, channels(layer), inference, learned).map(({ technique, text, refused }) => [
    technique,
    text,
    refused,
  ]);
}

function boxData(box: Box) {
  const { layer, table: _, outputType: __, shape: ___, path: ____, ...boxFields } = box;
  return { ...boxFields, label: titleOf(box), note: noteOf(box), weight: layer?.weight.name };
}

/** Encodes the order in which channels are removed as little-endian 32-bit integers. Channels that cannot be removed get the maximum. */
function encodeOrder(places: CutOrder["places"]): Uint8Array {
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
