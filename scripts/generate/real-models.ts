/** docs/real-models.md: the rows that `npm run bench -- real` stored. The best row of each model is the table of README. */
import { readFileSync } from "node:fs";
import {
  bestKnown,
  type RealNetwork,
  type RealResult,
  type RealResults,
  type RealRow,
  type RealSpeed,
  realNames,
  realNetworks,
  resultFile,
} from "../../bench/real/networks.ts";
import { escapeMarkdown, markdownTable } from "../../src/app/report/markdown-text.ts";
import type { Column } from "../../src/app/report/tables.ts";
import { bytes, duration, integer } from "../../src/core/numbers.ts";
import { type Generator, sourceNotice } from "./generator.ts";

export const realModelsPage: Generator = {
  generate: async () => {
    const results: RealResults = JSON.parse(readFileSync(resultFile, "utf8"));
    return new Map([
      ["docs/real-models.md", renderRealModels(results)],
      ["README.md", withBestRows(readFileSync("README.md", "utf8"), results)],
    ]);
  },
};

/** Maximum loss of a row in README, as a share. */
const maxLoss = { points: 0.01, percent: 0.05, share: 0.05 } as const;

/** Replaces the table between the marks, if each of its models has a row for it: the smallest download with a small loss. */
export function withBestRows(text: string, results: RealResults): string {
  const [start, end] = ["<!-- known models, by npm run generate -->\n", "<!-- /known models -->\n"];
  const [from, to] = [text.indexOf(start), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md: expected "${start.trim()}", and then "${end.trim()}".`);
  const rows = bestKnown.flatMap((name) => bestRow(realNetworks[name], results.networks[name] ?? []));
  if (rows.length < bestKnown.length) return text;
  const titles = [
    "model",
    "float32",
    "float32, brotli",
    "options",
    "result",
    "result, brotli",
    "change (points, or %)",
    "speed in a page",
  ];
  const columns = titles.map((title): Column => (/32|result/.test(title) ? { title, align: "right" } : { title }));
  const table = markdownTable(columns, rows);
  return `${text.slice(0, from + start.length)}${table}

The command \`quantize\` makes the results with these options. The columns *brotli* are the bytes that a web server sends. The speed is that of the result in WebAssembly, relative to float32: below 1 × is slower. WebAssembly is slow with 4 bits: run \`q4\` on WebGPU. *Rank correlation* tells whether the model orders pairs of sentences by similarity as people do: higher is better. *Other words* is the share of words in which the transcripts differ. *Perplexity* tells how uncertain the model is about the next token: lower is better. SmolLM2 was made from a file of 4 to 6 bits, so \`q4\` loses less than for other models. [Known models](docs/real-models.md) lists all formats, and the results of the usual Python tools. [Benchmarks](docs/benchmarks.md) has small networks.
${text.slice(to)}`;
}

/** Returns the smallest download of Pith with a small loss. */
export function bestResult(network: RealNetwork, results: readonly RealResult[]): RealResult | undefined {
  const lossOf = (result: RealResult): number => lossIn(network, result) ?? Number.POSITIVE_INFINITY;
  return results
    .filter(
      (result) =>
        result.tool === "Pith" && result.bytes !== undefined && lossOf(result) <= maxLoss[network.change.unit],
    )
    .toSorted((a, b) => (a.brotli ?? Number.NaN) - (b.brotli ?? Number.NaN))[0];
}

function bestRow(network: RealNetwork, [float, ...results]: readonly RealResult[]): readonly (readonly string[])[] {
  const { title, change } = network;
  const best = bestResult(network, results);
  if (float === undefined || best?.outcome === undefined) return [];
  const sizes = (result: RealResult): readonly string[] =>
    [result.bytes, result.brotli].map((size) => bytes(size ?? Number.NaN));
  const speed = best.wasm === undefined ? "fails" : `${best.wasm.factor.toFixed(2)} ×`;
  const changed = `${change.title} ${changeText(network, best.outcome)}`;
  const options = (best.command ?? "").replace(/^pith quantize \S+ /, "");
  return [[title, ...sizes(float), `\`${options}\``, ...sizes(best), changed, speed]];
}

/** Returns the loss of a row in the unit of its change; negative if it gained. */
function lossIn({ change: { unit } }: RealNetwork, result: RealResult | undefined): number | undefined {
  const value = result?.outcome?.change.value;
  return value === undefined ? undefined : unit === "points" ? -value : value;
}

export function renderRealModels(results: RealResults): string {
  const versions = Object.entries(results.versions).map(([name, version]) => `${name} ${version}`);
  return `${sourceNotice(resultFile)}

# Known models

For everyone who wants to see results on models that they know: each file beside the one that the usual recipe in Python makes, measured in the same way.

- **Files** of Pith are made by the printed command, with default settings and without data of the user, unless the command names some. Recipes are \`quantize_dynamic\`, \`quantize_static\` and \`MatMulNBitsQuantizer\` of ONNX Runtime, and \`float16\` of onnxconverter-common, with the settings of transformers.js's conversion scripts (\`bench/peers/real_recipe.py\`).
- **Change** is measured with ONNX Runtime, on the same samples as float32: result − original, in points for accuracies. A table below the numbers has the intervals.
- **Speed** is measured on one thread, in turns with float32: in Node per second of processor time, in a page (WebAssembly, Chromium) by the clock. The machine does other work meanwhile, so factors to float32 vary by 30 %. In a page, compare factors only: the speed of the same file varied up to sixfold between rows.
- **Memory** is the most that a process holds for the model and one run in Node.
- **Made in** is processor time and peak memory, with the imports of Python. Pith's time includes the comparison with float32, the timing and the loading in transformers.js.
- A result that loses too much [is not written](verdicts.md).

Machine: ${results.machine}, shared with other work. ${versions.join(", ")}. \`npm run bench -- real\` repeats the measurement; it continues where it was interrupted.

${realNames.flatMap((name) => renderNetwork(realNetworks[name], results.networks[name] ?? [])).join("\n\n")}
`;
}

function renderNetwork(network: RealNetwork, results: readonly RealResult[]): readonly string[] {
  const [float] = results;
  if (float === undefined) return [`## ${network.title}\n\n${network.source} Not measured yet.`];
  const dates = [...new Set(results.map(({ date }) => date))].toSorted();
  const loads = results.flatMap(({ load }) => [load.start, load.end]);
  const sameTitle = network.same ?? "";
  const changeTitles = network.change.unit === "share" ? ["", network.change.title] : [network.change.title, "change"];
  const costTitles = [`${network.speed}/s in Node`, "to float32", "in a page", "to float32", "memory"];
  const commands = results.flatMap(({ tool, command }) =>
    tool === "Pith" ? (command?.split(" && npx --no-install ") ?? []) : [],
  );
  return [
    `## ${network.title}`,
    `${network.source} ${network.measured}`,
    numberTable(["on disk", `brotli ${network.brotli}`, ...changeTitles, sameTitle], results, (result) =>
      resultCells(network, result, float),
    ),
    numberTable([...costTitles, "made in", "memory to make"], results, (result) => costCells(result, float)),
    `<details>\n<summary>Intervals of 95 %</summary>\n\n${numberTable([changeTitles[1] ?? "", sameTitle], results.slice(1), (result) => intervalsOf(network, result))}\n\n</details>`,
    ...(commands.length === 0
      ? []
      : [`\`\`\`sh\n${commands.map((command) => `npx --no-install ${command}`).join("\n")}\n\`\`\``]),
    ...listOf("Files that are missing or fail:", listFailures(results)),
    ...listOf("Missed by Pith:", findMissed(network, results)),
    ...listUnmeasured(network, results),
    ...(network.causes === undefined ? [] : [network.causes]),
    `Measured on ${dates.join(" and ")}, at a load of ${Math.min(...loads)} to ${Math.max(...loads)}.`,
  ];
}

const listOf = (title: string, texts: readonly string[]): readonly string[] =>
  texts.length === 0 ? [] : [`${title}\n\n${texts.map((text) => `- ${text}`).join("\n")}`];

const percentText = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)} %`;
const signed = (value: number, digits = 1): string => {
  const text = Math.abs(value).toFixed(digits);
  return `${Number(text) === 0 ? "" : value < 0 ? "−" : "+"}${text}`;
};

/** Returns a table with one number in a cell, without columns that are empty. */
function numberTable(
  titles: readonly string[],
  results: readonly RealResult[],
  cellsOf: (result: RealResult) => readonly string[],
): string {
  const rows = results
    .map((result) => ({ result, cells: cellsOf(result) }))
    .filter(({ cells }) => cells.some((cell) => cell !== ""));
  const used = [...titles.keys()].filter((index) => rows.some(({ cells }) => (cells[index] ?? "") !== ""));
  return markdownTable(
    [
      { title: "file" },
      { title: "tool" },
      ...used.map((index) => ({ title: titles[index] ?? "", align: "right" as const })),
    ],
    rows.map(({ result: { name, tool = "" }, cells }) => [name, tool, ...used.map((index) => cells[index] ?? "")]),
  );
}

function resultCells(network: RealNetwork, result: RealResult, float: RealResult): readonly string[] {
  const { tool, outcome, failed } = result;
  if (result.bytes === undefined) return [tool === "Pith" ? "not written" : "fails"];
  const { unit } = network.change;
  const isFloat = result === float;
  const value = outcome && (unit === "points" ? (100 * outcome.value).toFixed(1) : outcome.value.toFixed(2));
  const failure = failed.outcome === undefined ? "" : "fails";
  return [
    ...[bytes(result.bytes), bytes(result.brotli ?? Number.NaN)],
    unit === "share" ? "" : (value ?? failure),
    outcome === undefined ? (unit === "share" ? failure : "") : isFloat ? "" : changeText(network, outcome),
    isFloat ? "" : sameText(network, outcome?.same),
  ];
}

function costCells(result: RealResult, float: RealResult): readonly string[] {
  const { node, wasm, making, failed } = result;
  const speedCells = (value: RealSpeed | undefined, part: "node" | "wasm"): readonly string[] => {
    if (value === undefined) return [failed[part] === undefined ? "" : "fails", ""];
    const speed = value.speed < 1000 ? value.speed.toPrecision(3) : integer(value.speed);
    return [speed, result === float ? "" : `${value.factor.toFixed(2)} ×`];
  };
  return [
    ...[...speedCells(node, "node"), ...speedCells(wasm, "wasm")],
    node === undefined ? "" : bytes(node.memory),
    ...(making === undefined ? [] : [duration(1000 * making.processor), bytes(making.memory)]),
  ];
}

function intervalsOf({ kind }: RealNetwork, { outcome }: RealResult): readonly string[] {
  const text = (interval: { readonly low: number; readonly high: number } | undefined): string =>
    interval === undefined ? "" : `${signed(100 * interval.low)} … ${signed(100 * interval.high)}`;
  const same = kind === "sentences" || kind === "chunks" ? undefined : outcome?.same;
  return [text(outcome?.change), text(same).replaceAll("+", "")];
}

function changeText(
  { change: { unit } }: RealNetwork,
  { change: { value } }: NonNullable<RealResult["outcome"]>,
): string {
  return unit === "share" ? percentText(value) : `${signed(100 * value)}${unit === "percent" ? " %" : ""}`;
}

function sameText({ kind }: RealNetwork, same: { readonly value: number } | undefined): string {
  if (same === undefined) return "";
  return kind === "sentences" || kind === "chunks" ? same.value.toFixed(3) : percentText(same.value);
}

/** Returns a sentence with the rows that no run has measured yet. */
function listUnmeasured(network: RealNetwork, results: readonly RealResult[]): readonly string[] {
  const isMeasured = (row: RealRow): boolean =>
    results.some(({ name, tool }) => name === row.name && tool === row.tool);
  const names = network.rows.flatMap((row) => (isMeasured(row) ? [] : `${row.name} (${row.tool})`));
  return names.length === 0 ? [] : [`Not measured yet: ${names.join(", ")}.`];
}

/** Returns the reason for each file that cannot be made, loaded or run. */
function listFailures(results: readonly RealResult[]): readonly string[] {
  return results.flatMap(({ name, tool, failed: { making, node, wasm, outcome } }) => {
    const reason = making ?? node ?? wasm ?? outcome;
    if (reason === undefined || tool === undefined) return [];
    // The log cuts long reasons.
    const isWhole = reason.length < 200 || reason.endsWith(".");
    const sentences = isWhole ? reason : reason.slice(0, reason.lastIndexOf(". ") + 1) || reason;
    return [`${name} (${tool}): ${escapeMarkdown(sentences)}`];
  });
}

/** Returns a sentence for each measure in which a file of Pith is worse than that of the recipe, or slower than float32. */
function findMissed(network: RealNetwork, results: readonly RealResult[]): readonly string[] {
  const rows: readonly RealRow[] = network.rows;
  return results.flatMap((result) => {
    if (result.tool !== "Pith") return [];
    const recipe = rows.find(({ name, tool }) => name === result.name && tool === "Pith")?.recipe;
    const other = results.find(({ name, tool }) => name === recipe && tool !== "Pith");
    const worse = compareRows(network, result, other);
    return worse.length === 0 ? [] : [`${result.name}: ${worse.join("; ")}.`];
  });
}

/** A difference below this share is not listed. */
const tolerance = 0.03;

function compareRows(network: RealNetwork, own: RealResult, other: RealResult | undefined): readonly string[] {
  const texts: string[] = [];
  const factor = (value: number): string => `${value.toFixed(2)} ×`;
  const measures = [
    ["bytes", own.bytes, other?.bytes],
    ["bytes after brotli", own.brotli, other?.brotli],
    ["memory", own.node?.memory, other?.node?.memory],
    ["time to make", own.making?.processor, other?.making?.processor],
  ] as const;
  for (const [title, mine, theirs] of measures)
    if (mine !== undefined && theirs !== undefined && mine > theirs * (1 + tolerance))
      texts.push(`${factor(mine / theirs)} the ${title} of ${other?.name}`);
  const equal: RealSpeed = { speed: Number.NaN, factor: 1, low: 1, high: 1 };
  for (const [place, mine, theirs] of [
    ["Node", own.node, other?.node],
    ["a page", own.wasm, other?.wasm],
  ] as const)
    for (const [name, reference] of [[other?.name, theirs] as const, ["float32", equal] as const]) {
      const share = mine === undefined || reference === undefined ? 1 : mine.factor / reference.factor;
      if (share >= 1 - tolerance) continue;
      const overlaps = (mine?.high ?? Number.NaN) >= (reference?.low ?? Number.NaN);
      texts.push(`${factor(share)} the speed of ${name} in ${place}${overlaps ? " (rounds vary by more)" : ""}`);
    }
  const [mine, theirs] = [lossIn(network, own), lossIn(network, other)];
  if (mine !== undefined && theirs !== undefined && 100 * (mine - theirs) >= 0.1)
    texts.push(
      `${network.change.title} ${(100 * (mine - theirs)).toFixed(1)} ${network.change.unit === "percent" ? "%" : "points"} worse than that of ${other?.name}`,
    );
  return texts;
}
