/**
 * `report.html`: one file to mail. It says first what was gained and whether that is sure, then shows it: bytes against the figure, what was
 * tried, samples that are answered differently, layers that changed most; then it gives everything that it takes to doubt it or to
 * do it again: what was refused, machine, versions, seed and command; last what was done.
 */

import { chart } from "./chart.ts";
import { verdictSentences } from "./choice.ts";
import type { Run } from "./data.ts";
import { disagreementsSection, noiseSection } from "./differences.ts";
import { html } from "./markup.ts";
import { page } from "./page.ts";
import { searchSection } from "./search.ts";
import { circumstances, doneSection, keyFigures, refusedSection } from "./sections.ts";
import { reportStyle } from "./style.ts";
import { variantsTable } from "./tables.ts";
import { gainSentence, outcomeOf } from "./verdict.ts";

/**
 * A run as one HTML page that needs nothing else: no network, no other file; light and dark, on paper and on a phone. Whatever came from a
 * model file is escaped.
 * @example await writeFile("report.html", reportPage(run));
 */
export function reportPage(run: Run): string {
  const { word, mood } = outcomeOf(run);
  const pointCount = run.variants.filter(({ result }) => result !== undefined).length;
  const body = html`<main>
<header>
<div class="eyebrow">Compression of <span class="name">${run.original.name}</span></div>
<h1>${gainSentence(run)}</h1>
<p class="lead"><span class="badge ${mood}">${word}</span>${verdictSentences(run).join(" ")}</p>
${run.warnings.map((warning) => html`<p class="doubt">${warning}</p>`)}
${keyFigures(run)}
</header>
<figure>${chart(run)}
<figcaption>Each point is a model of the table below. Thin line: 95 % confidence interval of its ${run.metric.name}.${pointCount > 0 && " Thick line: the same for its difference from the original on the same samples, which is more precise."}${pointCount > 0 && run.goal !== undefined && ` A thick line that is entirely ${run.metric.better === "higher" ? "above" : "below"} the dashed one shows that the goal is met.`}${run.search !== undefined && " Small points: combinations of the search; dark ones are on the Pareto front of bytes, change and speed. Each leads to its recipe and its time."}</figcaption></figure>
<h2>Variants</h2>
${variantsTable(run)}
${searchSection(run)}
${disagreementsSection(run)}
${noiseSection(run)}
${refusedSection(run)}
${circumstances(run)}
${doneSection(run)}
<footer>Made by pith ${run.version}. Everything here was measured on the files as they are shipped.</footer>
</main>`;
  return page({ title: `${run.original.name}: ${gainSentence(run)}`, style: reportStyle, body });
}
