/** Writes the page, the pictures and the reports of the gallery from its run records. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { summarize } from "../../src/app/report/choice.ts";
import { escapeMarkdown, markdownTable } from "../../src/app/report/markdown-text.ts";
import { reportPage } from "../../src/app/report/report-page.ts";
import { drawRunChart } from "../../src/app/report/size-chart.ts";
import { sharedStyle } from "../../src/app/report/style.ts";
import {
  bytes,
  change,
  changeInterval,
  counted,
  figureInterval,
  figureText,
  integer,
  times,
} from "../../src/core/numbers.ts";
import type { Measured, Run } from "../../src/judge/record/run-record.ts";
import { quoteWord } from "../../src/judge/record/shell-command.ts";
import { chosenOf, relativeWorkOf, speedupOf } from "../../src/judge/record/verdict.ts";
import { type GalleryModel, models } from "./models.ts";

const folder = fileURLToPath(new URL("../../site/gallery", import.meta.url));
/** Widths of a picture by the end of its name: the narrow one is for phones, so that its text is not scaled down. */
const chartWidths = { "": 660, "-narrow": 360 };

export const recordPath = (name: string): string => join(folder, `${name}.generated.json`);
export const recipePath = (name: string): string => join(folder, `${name}.yaml`);

export const readRecord = (name: string): Run => JSON.parse(readFileSync(recordPath(name), "utf8"));

/** Returns the page in Markdown. */
export function galleryPage(): string {
  const entries = models.map((model) => ({ model, run: readRecord(model.name) }));
  const heads = (titles: readonly string[]) =>
    titles.map((title, index) => (index === 0 ? { title } : { title, align: "right" as const }));
  const rows = entries.map(({ model, run }) => [`[${model.title}](#${model.name})`, ...numbersOf(run)]);
  const intervals = entries.map(({ model, run }) => [model.title, ...intervalsOf(run)]);
  return [
    // Without the list of headings, the table has enough room.
    "---\naside: false\n---",
    "# Gallery",
    "Eight networks, each made smaller by one command. The numbers of the table are from the run records of these commands.",
    markdownTable(heads(["model", "download", "change", "original", "smaller", "speed"]), rows),
    "*Download* and *original* are sizes after brotli; with ≈, they are estimated. *Change* is the result minus the original, in points for accuracies. *Speed* is relative to the original: 2 × is twice as fast.",
    "## Intervals and sizes on disk",
    "Intervals have a confidence of 95 % or more. On a busy machine, the script writes the processor time of a run instead of the speed, where less is better.",
    markdownTable(
      heads(["model", "on disk", "original", "metric", "value", "interval", "interval of the change", "samples"]),
      intervals,
    ),
    `Machine: ${[...new Set(entries.map(({ run }) => machineText(run)))].join("; ")}.`,
    entries.map(sectionOf).join("\n\n"),
    "## Make it again",
    "The models and data are not in the repository, because their licenses differ. Each section names their source. The script reads them from the folder `data` in `../shared`, or in the folder that `PITH_SHARED` names:",
    markdownTable(
      [{ title: "model" }, { title: "files in the folder" }],
      models.map(({ name, files }) => [
        name,
        [...new Set(Object.values(files))].map((file) => `\`${file}\``).join(", "),
      ]),
    ),
    "```sh\nnpx tsx --conditions=pith-source scripts/gallery.ts resnet20\n```",
    "Without names, the script makes all eight. Speeds differ by machine, and the last digits of a metric can.",
    "",
  ].join("\n\n");
}

function machineText({ original, machine }: Run): string {
  if (machine === undefined) throw new Error(`The record of ${original.name} names no machine.`);
  const { platform, cpu, threads, versions } = machine;
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [platform, cpu, counted(threads, "thread"), ...programs].join(", ");
}

/** Returns the kept variant. */
export function resultOf(run: Run) {
  const chosen = chosenOf(run);
  if (chosen?.comparison === undefined) throw new Error(`The record of ${run.original.name} has no result.`);
  return { ...chosen, comparison: chosen.comparison };
}

function numbersOf(run: Run): readonly string[] {
  const { original, metric } = run;
  const { result, comparison } = resultOf(run);
  const speedup = speedupOf(run, run.chosen);
  const work = relativeWorkOf(run, run.chosen);
  return [
    `**${brotliText(result)}**`,
    change(metric.unit, comparison.difference.value),
    brotliText(original),
    original.brotli === undefined || result.brotli === undefined ? "–" : times(original.brotli / result.brotli),
    speedup !== undefined ? times(speedup.median) : work === undefined ? "–" : `${times(work)} the time`,
  ];
}

function intervalsOf(run: Run): readonly string[] {
  const { original, metric } = run;
  const { result, comparison } = resultOf(run);
  return [
    bytes(result.bytes),
    bytes(original.bytes),
    metric.name,
    figureText(metric.unit, result.estimate.value),
    figureInterval(metric.unit, result.estimate),
    changeInterval(metric.unit, comparison.difference),
    integer(result.estimate.count),
  ];
}

function brotliText({ brotli, sampled }: Measured): string {
  return brotli === undefined ? "–" : `${sampled === true ? "≈ " : ""}${bytes(brotli)}`;
}

function sectionOf({ model, run }: { readonly model: GalleryModel; readonly run: Run }): string {
  const { name, title, source, note } = model;
  const { original, metric, command = [] } = run;
  const { result } = resultOf(run);
  const { gain, sentences } = summarize(run);
  const pointText = (measured: Measured): string =>
    `${bytes(measured.bytes)}, ${metric.name} ${figureText(metric.unit, measured.estimate.value)}`;
  return [
    `## ${title} {#${name}}`,
    `Technique: ${model.technique}. ${source}`,
    `<picture><source media="(max-width: 40rem)" srcset="/gallery/${name}-narrow.svg"><img src="/gallery/${name}.svg" alt="Size and ${metric.name} of ${title}. Original: ${pointText(original)}. Result: ${pointText(result)}."></picture>`,
    escapeMarkdown(
      [gain, ...sentences, stepsSentence(run), ...run.warnings.map((text) => `${text}.`)]
        .filter((text) => text !== "")
        .join(" "),
    ),
    note,
    `\`\`\`sh\nnpx --no-install ${command.map(quoteWord).join(" ")}\n\`\`\``,
    command.includes("-r")
      ? "`recipe.yaml`:"
      : "The search wrote this `recipe.yaml`. With `-r recipe.yaml`, it makes the same file again:",
    `\`\`\`yaml\n${readFileSync(recipePath(name), "utf8").trimEnd()}\n\`\`\``,
    `<a href="./gallery/${name}.html" target="_self">Full report of ${title}</a>`,
  ]
    .filter((text) => text !== "")
    .join("\n\n");
}

/** Returns "After quantize: accuracy 55.0 %. After distill: accuracy 76.1 %." for results of several evaluated steps. */
function stepsSentence(run: Run): string {
  const { name, unit } = run.metric;
  const evaluated = resultOf(run).steps.flatMap(({ name, after }) => (after === undefined ? [] : [{ name, after }]));
  if (evaluated.length < 2) return "";
  return evaluated
    .map((step) => `After ${step.name}: ${name} ${figureText(unit, step.after.estimate.value)}.`)
    .join(" ");
}

/** Returns the pictures and the reports, by their address on the site. */
export function galleryFiles(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    models.flatMap(({ name }) => {
      const run = readRecord(name);
      const pictures = Object.entries(chartWidths).map(([end, width]) => {
        const picture = drawRunChart(run, width).markup.replace(
          /<svg [^>]*>/,
          (tag) =>
            `${tag.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" style="background: var(--paper)"')}<style>${sharedStyle}</style>`,
        );
        return [`gallery/${name}${end}.svg`, picture] as const;
      });
      return [...pictures, [`gallery/${name}.html`, reportPage(run)] as const];
    }),
  );
}
