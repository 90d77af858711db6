/** Experiment "language": unstructured pruning of language models without training. Compares the perplexity of each criterion and solver. */
import { open } from "pith";
import { evaluate } from "pith/evaluate";
import { type PruneOptions, prune } from "pith/prune";
import { openTask } from "pith/task";
import { createEngine } from "../../src/core/engine/index.ts";
import { pairedMeans } from "../../src/core/math/confidence-interval.ts";
import { shared } from "../../test/shared.ts";
import { languageModels } from "../lib/language-models.ts";
import { heading, line, table, target } from "../lib/print.ts";
import type { Settings } from "./settings.ts";

const seed = 0;

/** Sparsity patterns: two that are equal for all methods, and the default of each method. */
const amounts: Readonly<Record<string, PruneOptions>> = {
  "50 % of each output": { amount: 0.5, pattern: "rows" },
  "2:4": { pattern: "2:4" },
  "50 %, usual pattern": { amount: 0.5 },
};

const methods: Readonly<Record<string, Partial<PruneOptions>>> = {
  magnitude: {},
  wanda: { importance: "wanda" },
  fisher: { importance: "fisher" },
  sparsegpt: { solver: "sparsegpt" },
};

/** Allocations of the amount over the layers, with magnitude pruning and including embedding tables. */
const scopes = ["uniform", "global"] as const;

/** @returns whether Wanda and SparseGPT lose less than magnitude pruning for every pattern that all methods share. */
export async function language({ smoke }: Settings): Promise<boolean> {
  heading("Single weights of language models, nothing trained", seed);
  const engine = createEngine();
  let met = true;
  for (const { model: file, data, others = data, calibrate } of languageModels) {
    line(`\n${file}`);
    const path = shared(`data/models/${file}`);
    const [texts, looked] = [shared(`data/${data}`), shared(`data/${others}`)];
    if (path === undefined || texts === undefined || looked === undefined) {
      line("  not measured: the shared folder (../shared, or PITH_SHARED) does not have it");
      continue;
    }
    const original = await open(path);
    const metric = "cross-entropy";
    const few = smoke ? { samples: 32 } : {};
    const task = await openTask(original, { data: texts, metric, ...few, ...(others === data ? { calibrate } : {}) });
    const samples =
      others === data ? task.calibrate : (await openTask(original, { data: looked, metric, calibrate })).calibrate;
    const judged = async (net: typeof original) => evaluate(engine, net, task.test, task.metric);
    const dense = await judged(original);
    // Embedding tables have no input statistics, so no method prunes them.
    const { misses } = await prune(await open(path), { amount: 0.5, importance: "wanda", data: samples });
    const except = misses.flatMap((miss) => miss.at ?? []);
    line(`  ${dense.estimate.count} texts, ${calibrate} others looked at; dense ${perplexity(dense.estimate.value)}`);
    const rows: string[][] = [];
    for (const [amount, options] of Object.entries(amounts)) {
      const evaluations = new Map<string, Awaited<ReturnType<typeof judged>>>();
      for (const [name, methodOptions] of Object.entries(methods)) {
        const net = await open(path);
        await prune(net, { ...options, ...methodOptions, except, data: samples }, { seed });
        evaluations.set(name, await judged(net));
      }
      const magnitude = evaluations.get("magnitude");
      for (const [name, { estimate, rows: losses }] of evaluations) {
        if (magnitude === undefined) continue;
        const { value, low, high } = pairedMeans(magnitude.rows, losses);
        const paired = name === "magnitude" ? "" : `${value.toFixed(3)} (${low.toFixed(3)} … ${high.toFixed(3)})`;
        rows.push([amount, name, perplexity(estimate.value), paired]);
        if (options !== amounts["50 %, usual pattern"] && ["wanda", "sparsegpt"].includes(name) && value >= 0)
          met = false;
      }
    }
    for (const scope of scopes) {
      const net = await open(path);
      await prune(net, { amount: 0.5, scope }, { seed });
      rows.push(["50 % of all layers", scope, perplexity((await judged(net)).estimate.value), ""]);
    }
    table(["", "", ">perplexity", ">nats beside magnitude (95 %)"], rows);
  }
  line(`  ${target("below magnitude", met, true)}`);
  return met;
}

const perplexity = (nats: number): string => Math.exp(nats).toFixed(2);
