/**
 * Experiment "healing": networks pruned to half of their width, evaluated after pruning, after `recover`, and after distillation from the original.
 *
 * Each is a chain of commands, as a user types them. Every metric value is on held-out test samples, paired with the original's.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { open } from "pith";
import type { PassOutput } from "../../src/app/cli/jobs/pass.ts";
import type { EvalResult } from "../../src/app/cli/processes/eval.ts";
import type { Comparison, Estimate } from "../../src/judge/index.ts";
import { shared } from "../../test/shared.ts";
import { pith } from "../lib/command.ts";
import { heading, line, points, share, table, target } from "../lib/print.ts";
import { written } from "../lib/written.ts";
import type { Settings } from "./settings.ts";

const seed = 0;

interface Chain {
  readonly name: string;
  readonly model: string;
  /** Returns a folder or a file; undefined if the shared folder lacks its sources. */
  data(folder: string, settings: Settings): Promise<string | undefined> | string | undefined;
  /** The pruning commands, in order. */
  readonly cut: readonly (readonly string[])[];
  /** Flags of `distill`. */
  readonly heal: readonly string[];
  readonly epochs: number;
  readonly metric?: "cross-entropy";
  /** Maximum drop, as a share of all samples or of the original's loss. Undefined: the drop is only printed. */
  readonly within?: number;
}

/** Settings of the runs in bench/logs. */
const evenly = ["--scope", "uniform", "--importance", "magnitude", "--round-to", "1"];

/** Prunes to 1/2.1 of the multiply-accumulates, the usual ratio of published results on CIFAR-10. */
const half = ["prune", "--structured", "--macs", String(1 / 2.1), ...evenly];

const images = [
  ...["--optimizer", "sgd", "--learning-rate", "0.02", "--weight-decay", "5e-4", "--warmup", "0.05"],
  ...["--alpha", "0.9", "--augment", "crop=4 flip"],
];

/** Removes one layer. */
const shallower = ["prune", "--drop-layers", "1"];
/** Removes half of the heads, or of their width, and half of the hidden neurons. */
const narrower = ["prune", "--structured", "50%", ...evenly];
const smaller = [shallower, narrower];
const adamw = ["--optimizer", "adamw", "--warmup", "0.1", "--clip", "1"];

const chains: Readonly<Record<string, Chain>> = {
  resnet20: {
    name: "ResNet-20 on CIFAR-10",
    model: "resnet20.onnx",
    data: cifar10,
    cut: [half],
    heal: images,
    epochs: 10,
    within: 0.02,
  },
  resnet56: {
    name: "ResNet-56 on CIFAR-10",
    model: "resnet56.onnx",
    data: cifar10,
    // Only the inner channels of the blocks are pruned; the residual stream keeps its width.
    cut: [[...half, "--layers", "layer*.conv1"]],
    heal: images,
    epochs: 10,
    within: 0.01,
  },
  cct_cifar10: {
    name: "Compact convolutional transformer on CIFAR-10",
    model: "cct_cifar10.onnx",
    data: cifar10,
    // The convolutions that turn the image into tokens keep their channels.
    cut: [shallower, [...narrower, "--layers", "layers.*"]],
    heal: [...adamw, "--learning-rate", "5e-4", "--alpha", "0.9", "--augment", "crop=4 flip"],
    epochs: 3,
    within: 0.015,
  },
  bert_sst2: {
    name: "BERT on SST-2",
    model: "bert_sst2/onnx/model.onnx",
    data: (folder) => linked(folder, { "train.tsv": "text/sst2_train.tsv", "test.tsv": "text/sst2_dev.tsv" }),
    cut: smaller,
    heal: [...adamw, "--learning-rate", "1e-4", "--batch", "32"],
    epochs: 3,
    within: 0.015,
  },
  llama_shakespeare: {
    name: "LLaMA on Shakespeare",
    model: "llama_shakespeare/onnx/decoder_model.onnx",
    data: shakespeare,
    cut: smaller,
    heal: [...adamw, "--learning-rate", "1e-3", "--batch", "16", "--alpha", "1", "--temperature", "1"],
    epochs: 3,
    metric: "cross-entropy",
    within: 0.03,
  },
  llama260k: {
    name: "LLaMA of stories, on what it wrote itself",
    model: "llama260k.onnx",
    data: stories,
    cut: [shallower, [...narrower, "--override", "*.w1:amount=0.25", "--override", "*.w3:amount=0.25"]],
    heal: [...adamw, "--learning-rate", "3e-3", "--batch", "16", "--alpha", "1"],
    epochs: 12,
    metric: "cross-entropy",
  },
};

export const healed = Object.keys(chains);

/** @returns whether the target was met. */
export async function healing(name: string, { smoke, threads }: Settings): Promise<boolean> {
  const chain = chains[name];
  if (chain === undefined) throw new Error(`There is no ${name}: ${healed.join(", ")}.`);
  heading(`${chain.name}: at half of its width, healed`, seed);
  const folder = await mkdtemp(join(tmpdir(), "pith-bench-"));
  try {
    return await through(chain, folder, { smoke, threads });
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function through(chain: Chain, top: string, { smoke, threads }: Settings): Promise<boolean> {
  const model = shared(`data/models/${chain.model}`);
  const folder = join(top, "onnx");
  await mkdir(folder);
  const tokenizer = model === undefined ? "" : join(dirname(model), "..", "tokenizer.json");
  if (existsSync(tokenizer)) await symlink(tokenizer, join(top, "tokenizer.json"));
  const data = await chain.data(top, { smoke, threads });
  if (model === undefined || data === undefined) {
    line("  not measured: the shared folder (../shared, or PITH_SHARED) does not have it");
    return true;
  }
  const samples = ["--data", data, ...(smoke ? ["--samples", "128"] : [])];
  const epochs = smoke ? 1 : chain.epochs;
  const steps = [
    ...chain.cut,
    ["recover", "--original", model],
    ["distill", "--teacher", model, "--epochs", String(epochs), ...chain.heal],
  ];
  const rows: string[][] = [];
  let last: Comparison | undefined;
  for (const [step, words] of steps.entries()) {
    const out = join(folder, `${step}.onnx`);
    const from = step === 0 ? model : join(folder, `${step - 1}.onnx`);
    const ran = await pith(...words, from, ...samples, "--force", "--seed", String(seed), "-o", out);
    const result = ran.data as PassOutput | undefined;
    if (result?.written === undefined) throw new Error(`${words.join(" ")}: ${ran.error ?? "nothing was written"}`);
    const metric = chain.metric === undefined ? [] : ["--metric", chain.metric];
    const judged = await pith("eval", out, "--original", model, ...samples, ...metric);
    last = (judged.data as EvalResult | undefined)?.comparison;
    if (last === undefined) throw new Error(`eval: ${judged.error ?? "no labels"}`);
    const { unit, original, candidate, difference } = last;
    const shown = (estimate: Estimate): string => (unit === "share" ? share(estimate, 1) : numbers(estimate));
    const paired = unit === "share" ? points(difference) : numbers(difference);
    const { before, after } = result;
    if (step === 0) rows.push(["original", shown(original), "", macsOf(before), String(before.parameters), ""]);
    const minutes = (ran.seconds / 60).toFixed(1);
    rows.push([words[0] ?? "", shown(candidate), paired, macsOf(after), String(after.parameters), minutes]);
  }
  table(["", `>${last?.metric} (95 %)`, ">paired", ">MACs", ">parameters", ">minutes"], rows);
  if (smoke) line("  a smoke run: too few samples to judge by");
  return smoke || last === undefined || reached(chain, last, epochs);
}

function reached({ within }: Chain, { unit, original, difference }: Comparison, epochs: number): boolean {
  if (within === undefined) return true;
  const { value, low, high, count } = difference;
  const [allowed, worst, bound] = unit === "share" ? [within, -value, -low] : [within * original.value, value, high];
  const goal = unit === "share" ? `${100 * within} points` : `${100 * within} % of the loss`;
  const goalText = `within ${goal} after ${epochs} ${epochs === 1 ? "epoch" : "epochs"}, n = ${count}`;
  line(`  ${target(goalText, worst <= allowed, bound <= allowed)}`);
  return worst <= allowed;
}

function numbers({ value, low, high }: Estimate): string {
  return `${value.toFixed(3)} (${low.toFixed(3)} … ${high.toFixed(3)})`;
}

/** Formats a count of operations. In JSON it is a formula of named sizes: for one sample, "40551040*N" is 40.6 M. A formula with a text length has no value. */
function macsOf({ macs }: { readonly macs?: unknown }): string {
  const [, count] = /^(\d+)(?:\*\w+)?$/.exec(String(macs)) ?? [];
  return count === undefined ? "–" : `${(Number(count) / 1e6).toFixed(1)} M`;
}

function cifar10(): string | undefined {
  return shared("data/cifar10");
}

/** Creates a folder with links to files of the shared folder, under names that state the split. */
async function linked(folder: string, files: Readonly<Record<string, string>>): Promise<string | undefined> {
  const dataFolder = await mkdtemp(join(folder, "data-"));
  for (const [as, path] of Object.entries(files)) {
    const file = shared(`data/${path}`);
    if (file === undefined) return undefined;
    await symlink(file, join(dataFolder, as));
  }
  return dataFolder;
}

/** Writes the training split (the first nine tenths of the text) and the test split (the last twentieth). */
async function shakespeare(folder: string): Promise<string | undefined> {
  const file = shared("data/text/tinyshakespeare.txt");
  if (file === undefined) return undefined;
  const [dataFolder, text] = [await mkdtemp(join(folder, "data-")), await readFile(file, "utf8")];
  await writeFile(join(dataFolder, "train.txt"), text.slice(0, Math.floor(0.9 * text.length)));
  await writeFile(join(dataFolder, "test.txt"), text.slice(Math.floor(0.95 * text.length)));
  return dataFolder;
}

async function stories(folder: string, { smoke, threads }: Settings): Promise<string | undefined> {
  const model = shared("data/models/llama260k.onnx");
  const dataFolder = await linked(folder, { "test_64x120_u16le.bin": "text/llama260k_eval_64x120_u16le.bin" });
  if (model === undefined || dataFolder === undefined) return undefined;
  const [count, length] = [smoke ? 64 : 512, 120];
  await writeFile(
    join(dataFolder, `train_${count}x${length}_u16le.bin`),
    await written(await open(model), count, length, Number(threads)),
  );
  return dataFolder;
}
