/**
 * Speed and memory of the studio in a tab, with targets. Needs Chromium, and Linux for the memory of the tab. Takes 3 minutes.
 *
 *     npm run bench -- studio [--loads 5] [--seconds 2]
 *
 * The page is built, and served from this machine. Times to the first paint are medians of `--loads`; the slider moves for `--seconds`. JavaScript is
 * counted after gzip. The headless browser draws without a graphics card.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { save } from "pith";
import type { Page } from "playwright-core";
import { parseModel } from "../src/core/graph/text.ts";
import { shared } from "../test/shared.ts";
import { buildStudioIn, openStudioIn, type Studio } from "../test/studio/open-studio.ts";
import { isMemoryKnown, openLargeFile } from "../test/studio/tab-memory.ts";
import { writeLarge } from "./files/large.ts";
import { paintTimer, recordRequests, type ScriptSize, scriptSizes } from "./lib/page-load.ts";
import { heading, line, table, target } from "./lib/print.ts";

const { values: options } = parseArgs({
  options: { loads: { type: "string", default: "5" }, seconds: { type: "string", default: "2" } },
});
const layerCount = 1000;
const waitingTime = 300_000;

interface Row {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly digits?: number;
  /** Largest value that meets the target, or smallest for a rate. */
  readonly limit?: number;
  readonly isRate?: boolean;
}

const temporary = mkdtempSync(join(tmpdir(), "pith-bench-studio-"));
const built = join(temporary, "page");
mkdirSync(built);
const rows: Row[] = [];

async function inStudio(measure: (studio: Studio) => Promise<readonly Row[]>): Promise<void> {
  const studio = await openStudioIn(temporary, built);
  try {
    studio.page.setDefaultTimeout(waitingTime);
    for (const row of await measure(studio)) {
      rows.push(row);
      line(`${row.name}: ${textOf(row)}`);
    }
    if (studio.errors.length > 0) throw new Error(studio.errors.join("\n"));
  } finally {
    await studio.close();
  }
}

const textOf = ({ value, digits = 2, unit }: Row): string => `${value.toFixed(digits)} ${unit}`;

const chooseModel = (page: Page, path: string): Promise<void> => page.setInputFiles("input[type=file] >> nth=0", path);
const waitForModel = (page: Page): Promise<void> =>
  page.getByRole("heading", { level: 1, name: /layers hold/ }).waitFor();

/** Seconds from the request of the page to its first contentful paint, with and without scripts. */
async function measurePaints({ page }: Studio): Promise<readonly Row[]> {
  const address = page.url();
  const secondsOf = await paintTimer(page, Number(options.loads));
  const paints = async (name: string, isScripted: boolean): Promise<Row> => {
    return { name, value: await secondsOf(address, isScripted), unit: "s", limit: 0.5 };
  };
  return [
    await paints("first contentful paint, JavaScript disabled", false),
    await paints("first contentful paint, JavaScript enabled", true),
  ];
}

/** Kilobytes of JavaScript until the page can be used, and until a model is inspected. */
async function measureScripts({ page }: Studio): Promise<readonly Row[]> {
  const address = new URL(page.url());
  // The service worker stores all files of the page, whether or not they are used.
  const requested = recordRequests(page, (request) => request.serviceWorker() !== null);
  await page.goto("about:blank");
  await page.goto(address.href, { waitUntil: "networkidle" });
  const sizesOf = (paths: ReadonlySet<string>): readonly ScriptSize[] =>
    scriptSizes(
      built,
      [...paths].filter((path) => path !== "service-worker.js" && !path.startsWith("ort/")),
    );
  const sum = (sizes: readonly ScriptSize[]): number => sizes.reduce((total, { gzip }) => total + gzip, 0);
  const before = new Set(requested);
  const path = join(temporary, "small.onnx");
  await save(parseModel(layersText(2)), path);
  await chooseModel(page, path);
  await waitForModel(page);
  const core = sizesOf(new Set([...requested].filter((name) => !before.has(name))));
  const largest = core.toSorted((a, b) => b.gzip - a.gzip).slice(0, 8);
  line(`${core.length} files until a model is inspected, the largest:`);
  for (const { path: name, gzip } of largest) line(`  ${name} ${gzip.toFixed(1)} kB`);
  return [
    { name: "JavaScript before a model is dropped", value: sum(sizesOf(before)), unit: "kB", digits: 1, limit: 60 },
    { name: "more until it is inspected, without the runtime", value: sum(core), unit: "kB", digits: 1, limit: 250 },
  ];
}

/** A chain of matrix products whose widths alternate between 16 and up to 112, so that the cells of the picture differ. */
function layersText(count: number): string {
  const width = (layer: number): number => (layer % 2 === 0 ? 16 : 16 * (1 + (layer % 7)));
  const lines = Array.from({ length: count }, (_, layer) => [
    `  w${layer}: float32[${width(layer)}, ${width(layer + 1)}] = random(seed ${layer})`,
    `  m${layer} = MatMul "layer${layer}" (${layer === 0 ? "x" : `h${layer}`}, w${layer})`,
    `  ${layer === count - 1 ? "y" : `h${layer + 1}`} = Relu(m${layer})`,
  ]);
  return `opset 21\ngraph (x: float32[1, ${width(0)}]) -> (y) {\n${lines.flat().join("\n")}\n}`;
}

/** Moves the slider one step in each frame. @returns the times of the frames in milliseconds. */
async function moveSlider(seconds: number): Promise<readonly number[]> {
  const input = document.querySelector<HTMLInputElement>("input[type=range]");
  if (input === null) throw new Error("The view has no slider.");
  const times = [await new Promise<number>(requestAnimationFrame)];
  let direction = 1;
  for (let time = times[0] ?? 0; time - (times[0] ?? 0) < 1000 * seconds; times.push(time)) {
    const value = input.value;
    input.stepUp(direction);
    if (input.value === value) {
      direction = -direction;
      input.stepUp(direction);
    }
    input.dispatchEvent(new Event("input", { bubbles: true }));
    time = await new Promise<number>(requestAnimationFrame);
  }
  return times;
}

async function measureSlider({ page }: Studio): Promise<readonly Row[]> {
  const path = join(temporary, "layers.onnx");
  await save(parseModel(layersText(layerCount)), path);
  await chooseModel(page, path);
  await waitForModel(page);
  await page.getByText("being measured", { exact: true }).first().waitFor({ state: "detached" });
  await page.getByRole("link", { name: "Make it smaller" }).click();
  await page.getByRole("radio", { name: /prune channels/ }).check();
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const processorSeconds = async (): Promise<number> => {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration")?.value ?? Number.NaN;
  };
  const before = await processorSeconds();
  const times = await page.evaluate(moveSlider, Number(options.seconds));
  const used = (await processorSeconds()) - before;
  const durations = times.slice(1).map((time, frame) => time - (times[frame] ?? 0));
  const rate = (1000 * durations.length) / durations.reduce((sum, duration) => sum + duration, 0);
  const name = `slider on ${layerCount} layers`;
  return [
    { name: `${name}, a step in each frame`, value: rate, unit: "frames/s", digits: 1, limit: 60, isRate: true },
    { name: `${name}, processor time of a frame`, value: (1000 * used) / durations.length, unit: "ms", digits: 1 },
    { name: `${name}, longest frame`, value: Math.max(...durations), unit: "ms", digits: 0 },
  ];
}

/** Seconds from the drop of a model and its samples to the measured candidate. */
async function measureStatic({ page }: Studio, model: string, data: string): Promise<readonly Row[]> {
  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  await chooseModel(page, model);
  await page.getByRole("link", { name: "Check the samples" }).click();
  await page.setInputFiles("input[type=file] >> nth=1", data);
  await page.getByRole("heading", { level: 1, name: /The original predicts/ }).waitFor();
  const opened = seconds();
  await page.getByRole("link", { name: "Make it smaller" }).click();
  await page.getByRole("radio", { name: /int8 static/ }).check();
  await page.getByRole("button", { name: /^Run / }).click();
  await page.getByRole("button", { name: "Compare", exact: true }).waitFor();
  const name = "resnet20, CIFAR-10";
  return [
    { name: `${name}: from drop to measured int8 static`, value: seconds(), unit: "s", digits: 1, limit: 10 },
    { name: `${name}: of it until the original is measured`, value: opened, unit: "s", digits: 1 },
  ];
}

async function measureLargeFile({ page }: Studio): Promise<readonly Row[]> {
  const path = join(temporary, "large.onnx");
  await writeLarge(path, 960, false);
  const { before, shown, measured, seconds } = await openLargeFile(page, path);
  rmSync(path);
  const row = (name: string, bytes: number): Row => ({ name, value: bytes / 1e6, unit: "MB", digits: 0 });
  return [
    { ...row("1 GB: peak of the tab's own memory until brotli is shown", measured.own), limit: 300 },
    row("1 GB: until its layers are shown", shown.own),
    row("1 GB: with the pages of the program that all tabs share", measured.all),
    row("own memory of the tab before", before.own),
    row("with shared pages, before", before.all),
    { name: "1 GB: time until its layers are shown", value: seconds[0], unit: "s", digits: 1 },
    { name: "1 GB: time until brotli is shown", value: seconds[1], unit: "s", digits: 1 },
  ];
}

try {
  await buildStudioIn(built);
  heading("The studio in a tab", 0);
  await inStudio(measurePaints);
  await inStudio(measureScripts);
  await inStudio(measureSlider);
  const [model, data] = [shared("data/models/resnet20.onnx"), shared("data/cifar10")];
  if (model !== undefined && data !== undefined) await inStudio((studio) => measureStatic(studio, model, data));
  if (isMemoryKnown) await inStudio(measureLargeFile);
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

const isMet = ({ value, limit = Number.NaN, isRate }: Row): boolean =>
  isRate ? Math.round(value) >= limit : value <= limit;
const limited = rows.filter(({ limit }) => limit !== undefined);
table(
  ["", ">value", ">target", ""],
  rows.map((row) => [
    row.name,
    textOf(row),
    row.limit === undefined ? "" : `${row.limit} ${row.unit}`,
    row.limit === undefined ? "" : target("", isMet(row), true).replace(/^: /, ""),
  ]),
);
process.exitCode = limited.every(isMet) ? 0 : 1;
