/** Builds the page of `pith plot`. The page contains the drawings as compressed markup; its script shades them and finds boxes (`script.ts`). */
import type { Inference, Layer } from "#analysis";
import {
  allLayers,
  channelGroups,
  cost,
  infer,
  layers as layersOf,
  learnedCount,
  learnedTensors,
  parametersOf,
  requireStored,
  weightNeeds,
} from "#analysis";
import { allGraphs, formatReason, Miss, type Model, throwIfAborted, type Value } from "#ir";
import { bytes, count, counted } from "../../../core/numbers.ts";
import { withFreeChannels } from "../../../rewrite/clean-up/free-channels.ts";
import { type CutOrder, cutOrders } from "../../../techniques/prune/cut-order.ts";
import { type Channels, channelFinder, type Offer, offersOf } from "../applicable-techniques.ts";
import { type Content, html, type Markup, page } from "../markup.ts";
import { graphStyle, tokens } from "../style.ts";
import { compareWith, type Original } from "./compare-layers.ts";
import { type Drawing, type DrawnBox, draw } from "./draw.ts";
import { drawSvg, weightFacts } from "./draw-graph.ts";
import { collectPictures, type Family, type Picture } from "./graph.ts";
import { plotScript } from "./script.ts";
import { type WeightPicture, weightPicture } from "./weights.ts";

export interface PlotOptions {
  readonly name: string;
  /** Original of the model. Each layer then shows its bytes in both models. Its weights must be stored (`storeWeights`). */
  readonly original?: Original;
  readonly progress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface PlottedBox extends DrawnBox {
  readonly plot: PlottedLayer | undefined;
  /** Effect that each technique could have on a layer; empty in subgraphs, because techniques change only the main graph. */
  readonly offers: readonly Offer[];
}

export interface PlottedGraph extends Drawing, Pick<Picture, "title" | "parent"> {
  readonly boxes: readonly PlottedBox[];
}

export interface PlottedLayer {
  /** Whether this is the first layer that reads the weight, so that sums count the weight once. */
  readonly first: boolean;
  readonly facts: string;
  readonly bytes: string;
  readonly original: { readonly brief: string; readonly full: string } | undefined;
  /** Undefined if the weight cannot be shown. */
  readonly picture: WeightPicture | undefined;
  /** Reason why weights cannot be removed. */
  readonly reason: string | undefined;
  /** Order in which channels are removed, or the reason why they cannot be removed. */
  readonly channels: CutOrder | string;
}

interface Plot {
  readonly graphs: readonly PlottedGraph[];
  readonly summary: string;
  readonly comparison: ReturnType<typeof compareWith> | undefined;
}

/** Collects the content of the page. Sorts the nodes of the model, and reads every weight twice, one at a time. */
export async function plotModel(model: Model, inference: Inference, options: PlotOptions): Promise<Plot> {
  for (const graph of allGraphs(model.graph)) graph.sort();
  const layers = layersOf(model, inference);
  const costs = cost(model, inference);
  const comparison = options.original && compareWith(options.original, allLayers(model, inference), costs.bytes);
  const learned = parametersOf(model, inference);
  const freeModel = await withFreeChannels(model);
  const groups = channelGroups(freeModel, infer(freeModel));
  const orders = await cutOrders(freeModel, groups);
  const channels = channelFinder(groups);
  const pictures = collectPictures(model, inference, layers, costs);
  const plots = await plotLayers(model, { inference, learned, channels, orders }, pictures, options);
  const graphs = pictures.map((picture): PlottedGraph => {
    const { title, parent } = picture;
    const drawing = draw(picture);
    const boxes = drawing.boxes.map((box): PlottedBox => {
      const { layer } = box;
      const plot = layer && plots.get(layer);
      const isMain = layer?.node.graph === model.graph;
      return {
        ...box,
        plot: layer && plot && { ...plot, original: comparison?.of(layer) },
        offers: layer !== undefined && isMain ? offersOf(layer, channels(layer), inference, learned) : [],
      };
    });
    return { ...drawing, title, parent, boxes };
  });
  const parameters = learnedCount(await learnedTensors(model, inference));
  const nodes = [...allGraphs(model.graph)].reduce((sum, graph) => sum + graph.nodeCount, 0);
  const summary = `${counted(nodes, "node")}, ${counted(layers.length, "layer")}, ${count(parameters)} parameters, ${bytes(costs.bytes)}`;
  return { graphs, summary, comparison };
}

/**
 * Builds the page. Sorts the nodes of the model, and reads every weight twice, one at a time.
 * @param inference the inference of this model.
 * @throws PithError E_OPTION for an original without a common layer; E_STOPPED on the signal.
 */
export async function plotPage(model: Model, inference: Inference, options: PlotOptions): Promise<string> {
  const { name } = options;
  const { graphs, summary, comparison } = await plotModel(model, inference, options);
  // Boxes of all graphs have consecutive numbers.
  const firsts = graphs.map((_, index) => graphs.slice(0, index).reduce((sum, { boxes }) => sum + boxes.length, 0));
  const data = {
    drawings: html`${graphs.map((_, index) => graphMarkup(graphs, firsts, index))}`.markup,
    details: graphs.flatMap(({ boxes }) => boxes.map((box) => boxDetails(box, graphs).markup)),
    layers: graphs.flatMap(({ boxes }) => boxes.map(({ plot }) => plot && layerData(plot))),
  };
  const compressedData = new Blob([JSON.stringify(data)]).stream().pipeThrough(new CompressionStream("deflate"));
  const body = html`<header>
<div class="about"><h1>${name}</h1><p>${summary}</p>${comparison && html`<p>${comparison.summary}</p>${comparison.removed.length > 0 && html`<details><summary>${comparison.removedText}</summary><ul>${comparison.removed.map((line) => html`<li>${line}</li>`)}</ul></details>`}`}</div>
<form class="tools">
<label class="search"><span>find</span><input id="search" type="search" autocomplete="off" spellcheck="false" placeholder="layer, operator, tensor"><output id="found"></output></label>
<fieldset id="mode"><label><input type="radio" name="mode" value="entries" checked>single weights</label><label><input type="radio" name="mode" value="channels">whole channels</label></fieldset>
<label class="amount"><span>prune</span><input id="amount" type="range" min="0" max="100" step="1" value="50"><output id="share"></output></label>
<output id="total"></output>
</form>
</header>
<main><div id="view" class="graph" tabindex="0"><noscript>This page shows the graph with JavaScript, which is disabled.</noscript></div>
<svg class="patterns"><pattern id="gone" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect class="gone-ground" width="5" height="5"/><rect class="gone-line" width="1.6" height="5"/></pattern></svg>
<div class="zoom"><button type="button" id="closer" aria-label="zoom in">+</button><button type="button" id="farther" aria-label="zoom out">−</button><button type="button" id="whole" aria-label="whole graph">⤢</button></div>
</main>
<aside id="panel" hidden></aside>
<footer class="legend graph">${families.map(([family, text]) => html`<span><svg><g class="box ${family}"><rect class="body" width="100%" height="100%"/></g></svg>${text}</span>`)}<span class="strip">output channels, darker: larger; hatched: would be removed</span></footer>
<script id="data" type="application/octet-stream">${base64(new Uint8Array(await new Response(compressedData).arrayBuffer()))}</script>`;
  return page({ title: name, style: plotStyle, body, script: plotScript });
}

const families: readonly (readonly [Family, string])[] = [
  ["layer", "layer"],
  ["trained", "other parameters"],
  ["compute", "computation"],
  ["move", "data movement"],
  ["shape", "shapes, indices"],
  ["unknown", "not understood"],
];

/** Returns the drawing of a graph. A subgraph begins with the way back. @param firsts number of the first box of each graph. */
function graphMarkup(graphs: readonly PlottedGraph[], firsts: readonly number[], index: number): Markup | undefined {
  const graph = graphs[index];
  if (graph === undefined) return undefined;
  const outer: Content[] = [];
  for (let { parent } = graph; parent !== undefined; parent = graphs[parent[0]]?.parent) {
    const title = graphs[parent[0]]?.title || "whole model";
    const box = (firsts[parent[0]] ?? 0) + parent[1];
    outer.unshift(html`<button type="button" data-open="${parent[0]}" data-box="${box}">${title}</button> › `);
  }
  const svg = drawSvg(graph, firsts[index], (box) => {
    const { title, plot } = graph.boxes[box] ?? {};
    return plot && { facts: plot.original?.brief ?? `${title} ${plot.facts}`, heat: plot.picture?.heat ?? [] };
  });
  return html`<div data-graph="${index}" hidden>${outer.length > 0 && html`<nav>${outer}<b>${graph.title}</b></nav>`}${svg}</div>`;
}

/** Returns the details of a box, which the page shows when it is chosen. */
function boxDetails(box: PlottedBox, graphs: readonly PlottedGraph[]): Markup {
  const { name, title, miss, macs, bits, offers } = box;
  return html`<button type="button" class="close" aria-label="close">×</button>
<h2>${name === "" ? title : name}</h2>${name !== "" && name !== title && html`<p>${title}</p>`}
${miss !== undefined && html`<p class="bad">not understood: ${miss}</p>`}${macs !== undefined && html`<p>${macs} multiply-accumulates</p>`}${bits !== undefined && html`<p>quantized values of ${bits} bits</p>`}
${box.graphs.map(([attribute, index]) => html`<p><button type="button" data-open="${index}">open ${attribute}: ${counted(graphs[index]?.boxes.length ?? 0, "box")}</button></p>`)}
${weightDetails(box)}
${offers.length > 0 && html`<h3>what techniques could do</h3><dl>${offers.map(({ technique, text, refused }) => (refused ? html`<dt>${technique}</dt><dd class="refused">no: ${text}</dd>` : html`<dt>${technique}</dt><dd>${text}</dd>`))}</dl>`}
${list("inputs", box.inputs)}${list("outputs", box.outputs)}${list(
  "attributes",
  box.attributes.map((entry) => entry.join(" = ")),
)}`;
}

function list(title: string, lines: readonly string[]): Content {
  return lines.length > 0 && html`<h3>${title}</h3><ul>${lines.map((line) => html`<li>${line}</li>`)}</ul>`;
}

function weightDetails({ layer, plot }: PlottedBox): Content {
  if (layer === undefined || plot === undefined) return undefined;
  const { facts, bytes, original, first, picture, reason } = plot;
  return html`<h3>weight</h3><p>${layer.weight.name} ${facts}, ${bytes}</p>${original !== undefined && html`<p>${original.full}</p>`}${!first && html`<p>shared with an earlier layer</p>`}<p class="removed"></p>
${picture !== undefined && reason === undefined && html`<h3>magnitudes of the entries, in ascending order; largest ${picture.quantiles[100]?.toPrecision(3)}</h3>${magnitudes(picture.quantiles)}`}`;
}

/** Draws the quantiles of the magnitudes. The page shades the share that would be removed. */
function magnitudes(quantiles: readonly number[]): Markup {
  const largest = quantiles.at(-1) || 1;
  const line = quantiles.map((value, share) => `${share} ${(40 - (38 * value) / largest).toFixed(1)}`).join("L");
  return html`<svg viewBox="0 0 100 40"><path class="part" d="M0 40L${line}L100 40z"/><path vector-effect="non-scaling-stroke" d="M${line}"/></svg>`;
}

interface LayersContext {
  readonly inference: Inference;
  readonly learned: ReadonlySet<Value>;
  readonly channels: (layer: Layer) => Channels;
  readonly orders: ReadonlyMap<string, CutOrder>;
}

/** Returns the content of each layer. Layers that read the same weight share its picture. */
async function plotLayers(
  model: Model,
  { inference, learned, channels, orders }: LayersContext,
  [main, ...inner]: readonly [Picture, ...Picture[]],
  { progress, signal }: PlotOptions,
): Promise<ReadonlyMap<Layer, PlottedLayer>> {
  const layers = main.boxes.flatMap(({ layer }) => layer ?? []);
  const plots = new Map<Layer, PlottedLayer>();
  const byWeight = new Map<Value, PlottedLayer>();
  for (const layer of layers) {
    throwIfAborted(signal, `Stopped before layer "${layer.name}".`);
    const shared = byWeight.get(layer.weight);
    if (shared === undefined) {
      const picture = await weightPicture(model, layer, inference);
      const refused = requireStored(layer.weight, { ...weightNeeds.prune, learned });
      const kept = channels(layer).kept ?? new Miss("its channels are not known");
      const plot = plotLayer(layer, picture, refused, orders.get(layer.name) ?? kept);
      byWeight.set(layer.weight, plot);
      plots.set(layer, plot);
    } else plots.set(layer, { ...shared, first: false });
    progress?.(plots.size, layers.length);
  }
  const insideMiss = new Miss("it lies inside a node");
  for (const layer of inner.flatMap(({ boxes }) => boxes.flatMap((box) => box.layer ?? [])))
    plots.set(layer, plotLayer(layer, insideMiss, undefined, insideMiss));
  return plots;
}

/** @param refused reason why pruning skips the weight. */
function plotLayer(
  layer: Layer,
  picture: WeightPicture | Miss,
  refused: Miss | undefined,
  channels: CutOrder | Miss,
): PlottedLayer {
  const isDrawn = !(picture instanceof Miss);
  return {
    first: true,
    facts: weightFacts(layer),
    bytes: bytes(layer.weight.tensor?.bytes ?? 0),
    original: undefined,
    picture: isDrawn ? picture : undefined,
    reason: (refused ?? (isDrawn ? undefined : picture))?.reason,
    channels: channels instanceof Miss ? formatReason(channels) : channels,
  };
}

/** Returns the data from which the script computes what pruning removes. */
export function layerData({ first, picture, reason, channels }: PlottedLayer): object {
  return {
    first,
    reason,
    cells: picture?.heat.length ?? 0,
    ...(typeof channels === "string"
      ? { kept: channels }
      : { units: channels.units, places: channels.places.map((place = Number.MAX_SAFE_INTEGER) => place) }),
    ...(picture !== undefined && reason === undefined && { entries: picture.entries, curves: [...picture.curves] }),
  };
}

function base64(data: Uint8Array): string {
  const pieces: string[] = [];
  for (let start = 0; start < data.length; start += 0x8000) {
    pieces.push(String.fromCharCode(...data.subarray(start, start + 0x8000)));
  }
  return btoa(pieces.join(""));
}

const plotStyle = `${tokens}${graphStyle}
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
main { position: relative; min-height: 0; } #view { height: 100%; overflow: auto; } #view:focus-visible { outline: 1px solid var(--accent); outline-offset: -1px; } .patterns { position: absolute; width: 0; height: 0; } noscript { display: block; padding: 2rem; }
nav { position: sticky; left: 0; padding: .3rem 1rem; font-size: .86rem; color: var(--soft); } nav b { font-weight: 600; color: var(--ink); }
button[data-open] { font: inherit; color: var(--accent); background: none; border: 0; padding: .2rem 0; cursor: pointer; text-decoration: underline; }
#view svg { transform-origin: 0 0; } .box { cursor: pointer; } .box.chosen .body { stroke: var(--accent); stroke-width: 3; stroke-dasharray: none; } .edge.near { stroke: var(--accent); stroke-width: 2; }
.searching .box:not(.found), .searching .edge { opacity: .22; } .box.found .body { stroke: var(--doubt); stroke-width: 2.5; }
.zoom { position: absolute; right: 1.4rem; bottom: 1.4rem; display: flex; border: 1px solid var(--line); border-radius: 3px; background: var(--paper); }
.zoom button { font: 1.05rem/1 var(--sans); color: inherit; background: none; border: 0; width: 2.2rem; height: 2.2rem; cursor: pointer; } .zoom button + button { border-left: 1px solid var(--line); }
.legend { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: .15rem 1rem; font-size: .76rem; color: var(--soft); border-top: 1px solid var(--line); padding: .25rem 1rem; }
.legend.graph svg { display: inline-block; width: 1em; height: .8em; margin-right: .4em; vertical-align: -.05em; }
.legend .strip::before { content: ""; display: inline-block; width: 2.2em; height: .8em; margin-right: .4em; vertical-align: -.05em; background: repeating-linear-gradient(45deg, var(--soft) 0 1.5px, transparent 1.5px 5px) bottom / 100% 50% no-repeat, linear-gradient(90deg, var(--accent), var(--accent-wash)); }
aside { width: min(23rem, 100vw); overflow: auto; border-left: 1px solid var(--line); padding: .9rem 1.1rem 2rem; font-size: .86rem; } aside[hidden] { display: none; }
aside h2 { font: 600 .98rem/1.35 var(--mono); margin: 0 1.6rem .1rem 0; overflow-wrap: anywhere; unicode-bidi: isolate; } aside h3 { font: 500 .8rem/1.4 var(--sans); color: var(--soft); margin: 1.1rem 0 .25rem; }
aside .close { float: right; font: 1.1rem/1 var(--sans); color: var(--soft); background: none; border: 0; cursor: pointer; padding: .2rem .3rem; }
aside ul { list-style: none; margin: 0; padding: 0; font: .92em/1.5 var(--mono); overflow-wrap: anywhere; } aside p { margin: .1rem 0; font-variant-numeric: tabular-nums; } aside .bad { color: var(--bad); }
aside dl { margin: 0; } aside dt { font: .92em/1.5 var(--mono); } aside dd { margin: 0 0 .35rem .9rem; } aside dd.refused { color: var(--soft); }
aside svg { display: block; width: 100%; height: auto; } aside svg path { fill: none; stroke: var(--accent); stroke-width: 1.5; } aside svg .part { stroke: none; fill: var(--soft); fill-opacity: .28; clip-path: inset(0 calc(100% * (1 - var(--amount))) 0 0); } .channels aside svg .part { display: none; }
@media (max-width: 46rem) {
  body { grid-template: auto minmax(0, 1fr) auto / minmax(0, 1fr); } aside { width: auto; border-left: 0; border-top: 1px solid var(--line); max-height: 45dvh; }
  .legend { display: none; } header { padding: .5rem .7rem; } input[type=search] { font-size: 16px; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #555; --line: #ccc; --wash: #fff; --accent: #1d5d86; --accent-wash: #fff; --bad: #9d3a30; --doubt: #85600f; }
  html, body, #view { height: auto; } body { display: block; } header { border: 0; padding: 0; } .tools, .zoom, .legend, aside { display: none; } #view { overflow: visible; outline: 0 !important; } .graph svg { margin: 0 auto !important; transform: none !important; max-width: 100%; height: auto; }
}
`;
