/** The commands, in the order of the help: each is loaded only when it is asked for. Made by npm run generate. */
import type { AnyPass } from "../../core/pass/pass.ts";
import type { CommandDefinition } from "./command.ts";

export interface Listed {
  readonly name: string;
  readonly summary: string;
  load(): Promise<{ readonly default: CommandDefinition }>;
}

async function command(pass: () => Promise<AnyPass>): ReturnType<Listed["load"]> {
  const { passCommand } = await import("./commands/pass.ts");
  return { default: passCommand(await pass()) };
}

export const commands: readonly Listed[] = [
  {
    name: "inspect",
    summary: "show inputs, outputs, operators, layers and sizes of a model",
    load: () => import("./commands/inspect.ts"),
  },
  {
    name: "plot",
    summary: "draw the graph, and shade the weights that pruning would remove",
    load: () => import("./commands/plot.ts"),
  },
  {
    name: "simplify",
    summary: "reduce the number of nodes without changing the function",
    load: () => import("./commands/simplify.ts"),
  },
  {
    name: "eval",
    summary: "score a model on data, and compare it with its original",
    load: () => import("./commands/eval.ts"),
  },
  {
    name: "debug",
    summary: "find the layers in which a compressed model differs from its original",
    load: () => import("./commands/debug.ts"),
  },
  {
    name: "bench",
    summary: "measure latency, throughput, memory and size of models side by side",
    load: () => import("./commands/bench.ts"),
  },
  {
    name: "compress",
    summary: "search for the smallest model that meets an accuracy goal, and write it with a report",
    load: () => import("./commands/compress.ts"),
  },
  {
    name: "explain",
    summary: "explain why a technique skips a layer or a channel, and what would change that",
    load: () => import("./commands/explain.ts"),
  },
  {
    name: "sensitivity",
    summary: "measure how sensitive each layer is, and write recipes that protect the sensitive ones",
    load: () => import("./commands/sensitivity.ts"),
  },
  {
    name: "worker",
    summary: "run jobs of commands that use `--queue`, until stopped",
    load: () => import("./commands/worker.ts"),
  },
  {
    name: "train",
    summary: "train a model, or fine-tune a compressed one",
    load: () => command(async () => (await import("../../learn/train/index.ts")).train),
  },
  {
    name: "prune",
    summary: "set the lowest-scoring weights to zero, or remove channels or layers",
    load: () => import("./commands/prune.ts"),
  },
  {
    name: "quantize",
    summary: "store the weights, and optionally compute, in fewer bits",
    load: () => import("./commands/quantize.ts"),
  },
  {
    name: "factorize",
    summary: "replace layers by two or three thinner ones (truncated SVD, Tucker-2)",
    load: () => command(async () => (await import("../../techniques/factorize/index.ts")).factorize),
  },
  {
    name: "lora",
    summary: "insert low-rank adapters to fine-tune (LoRA), merge them, or save them to a file",
    load: () => command(async () => (await import("../../techniques/factorize/index.ts")).lora),
  },
  {
    name: "distill",
    summary: "train a small model to imitate a larger one",
    load: () => command(async () => (await import("../../techniques/distill/index.ts")).distill),
  },
  {
    name: "recover",
    summary: "refit a compressed model to the outputs of its original, without labels",
    load: () => command(async () => (await import("../../techniques/recover/index.ts")).recover),
  },
  {
    name: "reinitialize",
    summary: "reinitialize all weights, to train a network from scratch",
    load: () => command(async () => (await import("../../learn/train/index.ts")).reinitialize),
  },
  {
    name: "completion",
    summary: "print a script that completes commands, flags and values in a shell",
    load: () => import("./commands/completion.ts"),
  },
];
