/** `report.html`, a self-contained file: gain and verdict, then the evidence, then what is needed to repeat the run. */

import type { Estimate } from "../../core/estimate.ts";
import { confidenceText } from "../../core/numbers.ts";
import type { Run } from "../../judge/record/data.ts";
import { comparesWithOriginal, gainSentence, outcomeOf } from "../../judge/record/verdict.ts";
import { chart, chartWidths } from "./chart.ts";
import { verdictSentences } from "./choice.ts";
import { disagreementsSection, noiseSection } from "./differences.ts";
import { html, withFlags } from "./markup.ts";
import { page } from "./page.ts";
import { searchSection } from "./search.ts";
import { circumstances, doneSection, keyFigures, refusedSection } from "./sections.ts";
import { reportStyle } from "./style.ts";
import { variantsTable } from "./tables.ts";

/**
 * Returns a run as one HTML page without external resources. All text from a model file is escaped.
 * @example await writeFile("report.html", reportPage(run));
 */
export function reportPage(run: Run): string {
  const { word, mood } = outcomeOf(run);
  const body = html`<main>
<header>
<div class="eyebrow">Compression of <span class="name">${run.original.name}</span></div>
<h1>${gainSentence(run)}</h1>
<p class="lead"><span class="badge ${mood}">${word}</span>${withFlags(verdictSentences(run).join(" "))}</p>
${run.warnings.map((warning) => html`<p class="doubt">${withFlags(warning)}</p>`)}
${keyFigures(run)}
</header>
<figure>${chart(run, chartWidths.wide)}${chart(run, chartWidths.narrow)}
<figcaption>${caption(run)}</figcaption></figure>
<h2>Variants</h2>
${variantsTable(run)}
${searchSection(run)}
${disagreementsSection(run)}
${noiseSection(run)}
${refusedSection(run)}
${circumstances(run)}
${doneSection(run)}
<footer>Made by pith ${run.version}. All values were measured on the files that ship.</footer>
</main>`;
  return page({ title: `${run.original.name}: ${gainSentence(run)}`, style: reportStyle, body });
}

function caption(run: Run): string {
  const { metric, goal, search } = run;
  const [first] = run.variants.flatMap(({ comparison }) => comparison ?? []);
  const level = (estimate: Pick<Estimate, "confidence">): string => confidenceText(estimate);
  const exact = comparesWithOriginal(run) ? " The original agrees with itself by definition." : "";
  const sentences = [
    `Each point is a model of the table below. Thin line: ${level(run.original.estimate)} confidence interval of its ${metric.name}.${exact}`,
    first &&
      `Thick line: ${level(first.difference)} confidence interval of its difference from the original, sample by sample.`,
    first &&
      goal &&
      `A thick line that is entirely ${metric.better === "higher" ? "above" : "below"} the dashed one shows that the goal is met.`,
    search &&
      "Small points: candidates of the search; dark ones are on the Pareto front of bytes, change and speed. Each links to its recipe.",
  ];
  return sentences.filter((sentence) => sentence !== undefined).join(" ");
}
