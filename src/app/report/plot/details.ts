/** Builds the details of a box, which the page of `pith plot` shows when it is chosen. */
import { counted } from "../../../core/numbers.ts";
import { type Content, html, type Markup } from "../markup.ts";
import type { PlottedBox, PlottedGraph } from "./plot.ts";

export function boxDetails(box: PlottedBox, graphs: readonly PlottedGraph[]): Markup {
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
