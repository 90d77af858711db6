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
import { tokens } from "../style.ts";
import { compareWith, type Original } from "./compare-layers.ts";
import { draw, noteOf, strip, titleOf } from "./draw.ts";
import { type Box, collectPictures, type Picture } from "./graph.ts";
import { plotScript } from "./script.ts";
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

const shade = (index: number): string =>
  `.heat${index} { fill-opacity: ${(0.1 + (0.9 * (index + 1)) / 8).toFixed(2)}; }`;

const plotStyle = `${tokens}
:root { --layer: #fffefb; --trained: #e9f0e6; --compute: #f3efe6; --move: #fdfcfa; --edge: #bdb8ae; --frame: #f9f7f3; }
@media (prefers-color-scheme: dark) { :root { --layer: #1d2226; --trained: #232a20; --compute: #25231e; --move: #171613; --edge: #6a665b; --frame: #1c1b18; } }
html, body { height: 100%; }
body { margin: 0; display: grid; grid-template: auto minmax(0, 1fr) auto / minmax(0, 1fr) auto; height: 100dvh; background: var(--paper); color: var(--ink); font: 14px/1.45 var(--sans); }
header { grid-column: 1 / -1; display: flex; flex-wrap: wrap; align-items: center; gap: .4rem 2rem; padding: .6rem 1rem; border-bottom: 1px solid var(--line); }
h1 { font: 400 1.15rem/1.25 var(--serif); margin: 0; overflow-wrap: anywhere; } header details ul { margin: 0; padding-left: 1.2rem; max-height: 30vh; overflow: auto; } header p, header details { margin: 0; color: var(--soft); font-size: .82rem; font-variant-numeric: tabular-nums; }
.tools { display: flex; flex-wrap: wrap; align-items: center; gap: .4rem 1.4rem; margin: 0; font-size: .86rem; }
.tools label { display: inline-flex; align-items: center; gap: .45rem; } .tools span { color: var(--soft); }
fieldset { border: 0; padding: 0; margin: 0; display: inline-flex; gap: .9rem; } fieldset input { margin: 0; accent-color: var(--accent); }
input[type=search] { font: inherit; color: inherit; background: var(--wash); border: 1px solid var(--line); border-radius: 3px; padding: .25rem .5rem; width: 13rem; max-width: 45vw; }
input[type=range] { width: 11rem; max-width: 40vw; accent-color: var(--soft); }
output { font-variant-numeric: tabular-nums; } #share { min-width: 3.2em; text-align: right; } #total, #found { color: var(--soft); }
#view { position: relative; overflow: auto; min-height: 0; } .live #view { overflow: hidden; touch-action: none; cursor: grab; } .live #view.dragging { cursor: grabbing; }
svg#drawing { display: block; margin: 0 auto; } .live svg#drawing { width: 100%; height: 100%; margin: 0; }
text { font: 12px var(--sans); fill: var(--ink); text-anchor: middle; } .name { font: 600 12px var(--mono); } text.name, text.facts, text.note { text-anchor: start; }
text.facts { font-size: 11px; fill: var(--soft); font-variant-numeric: tabular-nums; } text.note { font-size: 10px; fill: var(--soft); paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
.edge { fill: none; stroke: var(--edge); } .edge.near { stroke: var(--accent); stroke-width: 2; }
.box { cursor: pointer; } .body { fill: var(--compute); stroke: var(--line); }
.layer .body { fill: var(--layer); stroke: var(--accent); stroke-width: 1.3; } .trained .body { fill: var(--trained); } .move .body { fill: var(--move); }
.shape .body { fill: var(--move); stroke-dasharray: 2 2; } .shape text.title { fill: var(--soft); } .port .body { fill: var(--accent-wash); stroke: var(--accent); stroke-opacity: .4; }
.unknown .body { stroke: var(--bad); stroke-dasharray: 4 3; } .box.chosen .body { stroke: var(--accent); stroke-width: 3; stroke-dasharray: none; }
.searching .box:not(.found), .searching .edge { opacity: .22; } .box.found .body, .found .body { stroke: var(--doubt); stroke-width: 2.5; }
.heat { fill: var(--accent); } ${Array.from({ length: 8 }, (_, index) => shade(index)).join(" ")}
path.gone { fill: url(#gone); } .gone-ground { fill: var(--paper); fill-opacity: .82; } .gone-line { fill: var(--soft); }
.far text.note, .far text.facts, .far text.title { display: none; }
.frame rect { fill: var(--frame); stroke: var(--line); } #labels text { font: 600 12px var(--sans); fill: var(--soft); text-anchor: end; pointer-events: none; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; } #rows text { font-size: inherit; fill: var(--ink); text-anchor: start; pointer-events: none; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; } .far .body, .far .frame rect { stroke: var(--edge); } .far .compute .body, .far .trained .body { fill: var(--edge); }
#sketch .edge { stroke-width: 2; } #sketch .layer .body { fill: var(--accent); fill-opacity: .7; } #sketch .compute .body, #sketch .trained .body { stroke: var(--edge); stroke-width: 2; }
nav { flex-basis: 100%; font-size: .86rem; color: var(--soft); } nav[hidden] { display: none; } nav b { font-weight: 600; color: var(--ink); } nav button, aside .enter { font: inherit; color: var(--accent); background: none; border: 0; padding: .2rem 0; cursor: pointer; text-decoration: underline; } aside .enter { display: block; }
aside dl { margin: 0; } aside dt { font: .92em/1.5 var(--mono); } aside dd { margin: 0 0 .35rem .9rem; } aside dd.refused { color: var(--soft); }
noscript { display: block; padding: 2rem; }
.zoom { position: absolute; right: .8rem; bottom: .8rem; display: none; border: 1px solid var(--line); border-radius: 3px; background: var(--paper); } .live .zoom { display: flex; }
.zoom button { font: 1.05rem/1 var(--sans); color: inherit; background: none; border: 0; width: 2.2rem; height: 2.2rem; cursor: pointer; } .zoom button + button { border-left: 1px solid var(--line); }
.legend { grid-column: 1 / -1; display: none; flex-wrap: wrap; gap: .15rem 1rem; font-size: .76rem; color: var(--soft); border-top: 1px solid var(--line); padding: .25rem 1rem; } .live .legend { display: flex; }
.legend span::before { content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .4em; vertical-align: -.05em; border: 1px solid var(--line); background: var(--compute); }
.legend .layer::before { border-color: var(--accent); background: var(--layer); } .legend .trained::before { background: var(--trained); } .legend .move::before { background: var(--move); } .legend .shape::before { border-style: dashed; background: none; } .legend .unknown::before { border: 1px dashed var(--bad); background: none; }
.legend .strip::before { width: 2.2em; border: 0; background: repeating-linear-gradient(45deg, var(--soft) 0 1.5px, transparent 1.5px 5px) bottom / 100% 50% no-repeat, linear-gradient(90deg, var(--accent), var(--accent-wash)); }
aside { width: min(23rem, 100vw); overflow: auto; border-left: 1px solid var(--line); padding: .9rem 1.1rem 2rem; font-size: .86rem; } aside[hidden] { display: none; }
aside h2 { font: 600 .98rem/1.35 var(--mono); margin: 0 1.6rem .1rem 0; overflow-wrap: anywhere; unicode-bidi: isolate; } aside h3 { font: 500 .8rem/1.4 var(--sans); color: var(--soft); margin: 1.1rem 0 .25rem; }
aside .close { float: right; font: 1.1rem/1 var(--sans); color: var(--soft); background: none; border: 0; cursor: pointer; padding: .2rem .3rem; }
aside ul { list-style: none; margin: 0; padding: 0; font: .92em/1.5 var(--mono); overflow-wrap: anywhere; } aside p { margin: .1rem 0; font-variant-numeric: tabular-nums; } aside .bad { color: var(--bad); }
aside svg { display: block; width: 100%; height: auto; margin-top: .3rem; } aside .curve { fill: none; stroke: var(--accent); stroke-width: 1.5; } aside .part { fill: var(--soft); fill-opacity: .28; } aside .base { stroke: var(--line); } aside svg text { font-size: 11px; fill: var(--soft); }
aside .bar { fill: var(--accent); } aside .bar.removed { fill: var(--soft); fill-opacity: .55; }
@media (max-width: 46rem) {
  body { grid-template: auto minmax(0, 1fr) auto / minmax(0, 1fr); } aside { width: auto; border-left: 0; border-top: 1px solid var(--line); max-height: 45dvh; }
  .live .legend { display: none; } header { padding: .5rem .7rem; } input[type=search] { font-size: 16px; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #555; --line: #ccc; --wash: #fff; --frame: #fafafa; --layer: #fff; --trained: #eef3ec; --compute: #f5f3ee; --move: #fff; --edge: #999; --accent: #1d5d86; --accent-wash: #fff; --bad: #9d3a30; --doubt: #85600f; }
  html, body { height: auto; } body { display: block; } header { border: 0; padding: 0; } .tools, .zoom, .live .legend, .live .zoom, aside { display: none; } .live #view { overflow: visible; } .live svg#drawing { width: 100%; height: auto; margin: 0 auto; }
}
`;
