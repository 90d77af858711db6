/**
 * Announced durations beside the measured ones: what a command says that it takes, and what it takes from then on.
 *
 *     npm run bench -- estimates [names…]
 *
 * Commands: recover (ResNet-56 without some channels), recipe (low rank and static int8 of EfficientNet-Lite0), train (one epoch of ResNet-20)
 * and search (one minute for ResNet-20). A duration that is announced as processor time is compared with
 * it, and another one with the clock. Requires an idle machine and `npm run build`.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { open, save } from "pith";
import { prune } from "pith/prune";
import { realModel, shared } from "../test/shared.ts";
import { heading, line, table, target } from "./lib/print.ts";
import { measureProcesses } from "./lib/process-usage.ts";

/** Largest factor between an announced and a measured duration. */
const maxFactor = 1.5;

const names = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), "pith-estimates-"));
const out = join(folder, "out.onnx");
const cifar = shared("data/cifar10") ?? "";
const [resnet20, resnet56] = ["resnet20", "resnet56"].map((name) => shared(`data/models/${name}.onnx`) ?? "");
const cifarWords = ["--data", cifar, "--preprocess", "cifar10"];

const newFolder = (): string => mkdtempSync(join(folder, "results-"));

function recipeOf(name: string, text: string): string {
  const path = join(folder, `${name}.yaml`);
  writeFileSync(path, text);
  return path;
}

async function thinned(): Promise<string> {
  const path = join(folder, "thin.onnx");
  const model = await open(resnet56 ?? "");
  await prune(model, { structured: 0.2, importance: "magnitude" });
  await save(model, path);
  return path;
}

const recipe = "steps:\n  - factorize: { budget: 90% }\n  - quantize: { scheme: static }\n";
const photoWords = ["--data", shared("data/images/imagenet") ?? "", "--samples", "500"];
const efficientnet = join(realModel("efficientnet-lite0") ?? "", "model.onnx");
const commands: Readonly<Record<string, () => Promise<readonly string[]> | readonly string[]>> = {
  recover: async () => ["recover", await thinned(), "--original", resnet56 ?? "", ...cifarWords, "--force", "-o", out],
  recipe: () => [
    "compress",
    efficientnet,
    "-r",
    recipeOf("recipe", recipe),
    ...photoWords,
    "--force",
    "-o",
    newFolder(),
  ],
  train: () => {
    const text = "steps:\n  - prune: { structured: 20% }\n  - train: { epochs: 1 }\n";
    const path = recipeOf("train", text);
    return ["compress", resnet20 ?? "", "-r", path, ...cifarWords, "--force", "-o", newFolder()];
  },
  search: () => ["compress", resnet20 ?? "", ...cifarWords, "--minutes", "1", "--force", "-o", newFolder()],
};

interface Announced {
  readonly text: string;
  readonly processor: number;
  readonly clock: number;
}

const unitSeconds = { second: 1, minute: 60, hour: 3600 };

/** Returns the last duration that a text announces. */
function secondsIn(text: string): number | undefined {
  const [, number = "", unit = "second"] = [...text.matchAll(/about ([\d.,]+) (second|minute|hour)s?/g)].at(-1) ?? [];
  return number === "" ? undefined : Number(number.replaceAll(",", "")) * unitSeconds[unit as keyof typeof unitSeconds];
}

const program = fileURLToPath(new URL("../dist/app/cli/main.js", import.meta.url));
const preload = new URL("jobs/stages.mjs", import.meta.url).href;
process.env.PITH_STAGES = join(folder, "stages.json");
process.env.PITH_DURATIONS = join(folder, "durations.json");

heading("Announced durations", 0);
const rows: string[][] = [];
const targets: string[] = [];
try {
  for (const [name, wordsOf] of Object.entries(commands)) {
    if (names.length > 0 && !names.includes(name)) continue;
    const words = await wordsOf();
    const { code, error } = await measureProcesses(process.execPath, ["--import", preload, program, ...words]);
    if (code > 1) throw new Error(error);
    const announced: readonly Announced[] = JSON.parse(readFileSync(process.env.PITH_DURATIONS, "utf8"));
    const durations = announced.flatMap(({ text, ...measured }) => {
      const seconds = secondsIn(text);
      return seconds === undefined ? [] : [{ text, seconds, ...measured }];
    });
    if (durations.length === 0) rows.push([name, "", "", "", "announces none"]);
    for (const { text, seconds, processor, clock } of durations) {
      const measured = text.includes("processor time") ? processor : clock;
      const factor = Math.max(seconds / measured, measured / seconds);
      rows.push([name, seconds.toFixed(0), processor.toFixed(1), clock.toFixed(1), text]);
      targets.push(target(`${name}, ${seconds.toFixed(0)} s within ${maxFactor} ×`, factor <= maxFactor, true));
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}
line();
table(["command", ">announced, s", ">processor, s", ">clock, s", "text"], rows);
for (const text of targets) line(`  ${text}`);
if (targets.some((text) => text.includes("MISSED"))) process.exitCode = 1;
