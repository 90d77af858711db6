/** Writes the landing page of the site: what visitors download before and after, the drop zone of the studio, and the ways to start. */
import { readFileSync } from "node:fs";
import { bestKnown, type RealResults, realNetworks, resultFile } from "../../bench/real/networks.ts";
import { bytes, integer, times } from "../../src/core/numbers.ts";
import type { Run } from "../../src/judge/record/run-record.ts";
import { readRecord, resultOf } from "../gallery/page.ts";
import { bestResult } from "../generate/real-models.ts";

/** A network with the bytes that visitors download. */
interface Download {
  readonly title: string;
  readonly page: string;
  readonly before: number;
  readonly after: number;
  /** The difference that the smaller file makes. */
  readonly change: string;
}

/** Networks of the gallery that fill the chart until there are measurements of more known models. */
const galleryNetworks = [
  ["resnet56", "ResNet-56"],
  ["bert", "BERT (SST-2)"],
  ["silero_vad", "Silero VAD"],
] as const;
const shownNetworks = 4;

const percentText = (share: number): string => `${(100 * share).toFixed(1)} %`;

function realDownloads(): readonly Download[] {
  const { networks }: RealResults = JSON.parse(readFileSync(resultFile, "utf8"));
  return bestKnown.flatMap((name): readonly Download[] => {
    const network = realNetworks[name];
    const [float] = networks[name] ?? [];
    const best = bestResult(network, networks[name] ?? []);
    if (float?.brotli === undefined || best?.brotli === undefined || best.outcome === undefined) return [];
    const { value } = best.outcome.change;
    const unit = network.change.unit === "points" ? "points" : "%";
    const sign = value < 0 ? "−" : "+";
    const change =
      network.change.unit === "share"
        ? `${network.change.title} ${percentText(value)}`
        : `${network.change.title} ${sign}${Math.abs(100 * value).toFixed(1)} ${unit}`;
    return [{ title: network.title, page: "./real-models.html", before: float.brotli, after: best.brotli, change }];
  });
}

function galleryDownloads(): readonly Download[] {
  return galleryNetworks.flatMap(([name, title]): readonly Download[] => {
    const run = readRecord(name);
    const { result } = resultOf(run);
    const { brotli: before } = run.original;
    if (before === undefined || result.brotli === undefined) return [];
    return [{ title, page: `./gallery.html#${name}`, before, after: result.brotli, change: changeText(run) }];
  });
}

function changeText(run: Run): string {
  const changed = changedPredictions(run);
  if (changed !== undefined) return `${integer(changed.count)} of ${integer(changed.of)} predictions change`;
  return `${run.metric.name} ${percentText(resultOf(run).result.estimate.value)}`;
}

function changedPredictions(run: Run): { readonly count: number; readonly of: number } | undefined {
  const { agreement } = resultOf(run);
  return agreement && { count: Math.round((1 - agreement.value) * agreement.count), of: agreement.count };
}

/** A size on one line. */
const sizeText = (size: number): string => bytes(size).replace(" ", "&nbsp;");

function bar(title: string, size: number, largest: number): string {
  const width = Math.max(0.8, (100 * size) / largest).toFixed(1);
  return `<span class="bar ${title}"><i style="width:${width}%"></i><b>${bytes(size)}</b></span>`;
}

function row({ title, page, before, after, change }: Download): string {
  return `<tr><th scope="row"><a href="${page}">${title}</a><small>${change}</small></th><td>${bar("before", before, before)}${bar("after", after, before)}</td><td class="factor">${times(before / after)} smaller</td></tr>`;
}

const doors = [
  [
    "On a page",
    "./studio/",
    "Drop a model, see which predictions change, take the file. Nothing is uploaded.",
    "Open the studio",
  ],
  [
    "On the command line",
    "./start.html",
    "<code>pith quantize</code> and <code>pith compress</code> make a smaller file, and compare it with yours before they write it.",
    "Three commands",
  ],
  ["In CI", "./check.html", "A pull request fails if a model grows or gets worse.", "Add the check"],
] as const;

/** Returns the page in Markdown. */
export function landingPage(): string {
  const run = readRecord("resnet56");
  const { result } = resultOf(run);
  const changed = changedPredictions(run);
  if (run.original.brotli === undefined || result.brotli === undefined || changed === undefined)
    throw new Error("The record of ResNet-56 has no sizes after brotli, or no changed predictions.");
  const rows = [...realDownloads(), ...galleryDownloads()].slice(0, shownNetworks);
  return `---
layout: page
sidebar: false
title: Smaller ONNX models, measured
---

<main class="landing">
<div>
<h1>Your visitors download ${sizeText(run.original.brotli)}&nbsp;→&nbsp;${sizeText(result.brotli)}.<br>${integer(changed.count)} of ${integer(changed.of)} predictions change.</h1>
<p class="lead">Pith makes ONNX models smaller and measures what they lose. It is a page, a command line and a library for Node.js, without Python. These numbers are those of <a href="./gallery.html#resnet56">ResNet-56</a>, which recognizes objects in photos.</p>
</div>

<DropZone />

<h2>What visitors download, before and after</h2>
<table class="downloads">
<thead><tr><th>model</th><th>after brotli, as web servers send files</th><th class="factor">factor</th></tr></thead>
<tbody>
${rows.map(row).join("\n")}
</tbody>
</table>
<p>Below each name is what changes. <em>Rank correlation</em> tells whether a model orders pairs of sentences by similarity as people do: higher is better. <em>Other words</em> is the share of words in which the transcripts differ. <em>Perplexity</em> tells how uncertain a model is about the next token: lower is better.</p>
<p><a href="./gallery.html">The gallery</a> and <a href="./real-models.html">known models</a> have the commands and the speeds. Another page lists <a href="./missed.html">the targets that Pith does not reach</a>.</p>

<h2>Three ways to start</h2>
<div class="doors">
${doors.map(([title, address, text, action]) => `<section><h3>${title}</h3><p>${text}</p><a href="${address}"${address.endsWith("studio/") ? ' target="_self"' : ""}>${action}</a></section>`).join("\n")}
</div>

<h2>Install</h2>
<p>Pith is not on npm yet: <code>npm run pack</code> in a clone makes the package.</p>

<div class="vp-doc">

\`\`\`sh
npm install ./pith-0.1.0.tgz --ignore-scripts
npx --no-install pith quantize model.onnx \\
  --scheme static --rounder rdoq --data samples/
\`\`\`

</div>

<p><a href="./start.html">Start here</a> has the whole overview. <a href="./models.html">Which models work, and which do not</a>.</p>
</main>
`;
}
