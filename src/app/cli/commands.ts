/** Commands in the order of the help. This file is made by npm run generate. */
import type { AnyPass } from "#pass";
import type { CommandDefinition } from "./command.ts";

export interface ListedCommand {
  readonly name: string;
  readonly summary: string;
  /** Heading of the help, at the first command of a group. */
  readonly group?: string | undefined;
  load(): Promise<{ readonly default: CommandDefinition }>;
}

async function command(pass: () => Promise<AnyPass>): ReturnType<ListedCommand["load"]> {
  const { passCommand } = await import("./commands/pass.ts");
  return { default: passCommand(await pass()) };
}

const summaries = {
  compress: "find the smallest model that meets an accuracy goal and is about as fast",
  studio: "serve a local web page that makes a model smaller, until stopped",
  inspect: "show inputs, outputs, operators, layers and sizes of a model, or what techniques do to one layer",
  quantize: "store the weights, and optionally compute, in fewer bits",
  prune: "set the lowest-scoring weights to zero, or remove channels or layers",
  factorize: "replace a layer by two smaller ones whose product is nearly its weight (low rank)",
  distill: "train a small model to imitate a larger one",
  train: "train a model, or fine-tune a compressed one",
  recover: "adjust the weights of a compressed model to the outputs of its original, without labels",
  simplify: "reduce the number of nodes without changing the function",
  eval: "score a model on data, and compare it with its original",
  bench: "measure latency, throughput, memory and size of models side by side",
  debug: "find the layers in which a compressed model differs from its original",
  sensitivity: "measure how sensitive each layer is, and write recipes that protect the sensitive ones",
  plot: "draw the graph as an SVG picture",
  check: "check that the models of a repository keep their budgets of bytes, accuracy and speed",
  worker: "run the jobs that other commands put into a queue (--queue), until stopped",
};

/** Each command is loaded only if the command line names it. */
const loaders: Readonly<Record<keyof typeof summaries, ListedCommand["load"]>> = {
  compress: () => import("./commands/compress.ts"),
  studio: () => import("./commands/studio.ts"),
  inspect: () => import("./commands/inspect.ts"),
  quantize: () => import("./commands/quantize.ts"),
  prune: () => command(async () => (await import("../../techniques/prune/index.ts")).prune),
  factorize: () => command(async () => (await import("../../techniques/factorize/index.ts")).factorize),
  distill: () => command(async () => (await import("../../techniques/distill/index.ts")).distill),
  train: () => command(async () => (await import("../../learn/train/index.ts")).train),
  recover: () => command(async () => (await import("../../techniques/recover/index.ts")).recover),
  simplify: () => import("./commands/simplify.ts"),
  eval: () => import("./commands/eval.ts"),
  bench: () => import("./commands/bench.ts"),
  debug: () => import("./commands/debug.ts"),
  sensitivity: () => import("./commands/sensitivity.ts"),
  plot: () => import("./commands/plot.ts"),
  check: () => import("./commands/check.ts"),
  worker: () => import("./commands/worker.ts"),
};

/** First command of each group → heading. */
const headings: Readonly<Record<string, string>> = {
  compress: "Start here:",
  quantize: "Single steps:",
  eval: "Measure:",
  check: "Share and automate:",
};

const names = Object.keys(summaries) as (keyof typeof summaries)[];

export const commands: readonly ListedCommand[] = names.map((name) => ({
  name,
  summary: summaries[name],
  group: headings[name],
  load: loaders[name],
}));
