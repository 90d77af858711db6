/**
 * Part "foreign": published networks, through the command line and without preprocessing flags.
 *
 * Every step writes its file (--force), and `pith eval --original` measures that file.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PassOutput } from "../../src/app/cli/jobs/pass.ts";
import type { InspectedFile } from "../../src/app/cli/print/inspection.ts";
import type { EvalResult } from "../../src/app/cli/processes/eval.ts";
import { bytes, integer, percent } from "../../src/core/numbers.ts";
import { shared } from "../../test/shared.ts";
import { pith } from "../lib/command.ts";
import { heading, line, points, share, table } from "../lib/print.ts";

const seed = 0;

const networks = [
  { model: "vnncomp_mnist-net_256x2", data: "mnist" },
  { model: "vnncomp_mnist-net_256x4", data: "mnist" },
  { model: "mnist_cntk", data: "mnist" },
  { model: "vnncomp_cifar_base_kw", data: "cifar10" },
  { model: "vnncomp_resnet_2b", data: "cifar10" },
  { model: "resnet20", data: "cifar10" },
];

const steps: readonly (readonly string[])[] = [
  ["prune", "--amount", "0.3"],
  ["prune", "--structured", "0.3"],
  ["quantize", "--scheme", "weights"],
  ["quantize", "--scheme", "dynamic"],
  ["quantize", "--scheme", "static"],
  ["factorize", "--budget", "0.9"],
];

/** @param only names of models; undefined: all. */
export async function foreign(only: readonly string[] | undefined): Promise<void> {
  heading("Networks of others, through the command line", seed);
  const strange = only?.find((name) => !networks.some(({ model }) => model === name));
  if (strange !== undefined) line(`"${strange}" is none of ${networks.map(({ model }) => model).join(", ")}`);
  const folder = await mkdtemp(join(tmpdir(), "pith-bench-"));
  try {
    for (const { model, data } of networks) {
      if (only !== undefined && !only.includes(model)) continue;
      const [file, samples] = [shared(`data/models/${model}.onnx`), shared(`data/${data}`)];
      if (file === undefined || samples === undefined)
        line(`\n${model}: not measured, the shared folder (../shared, or PITH_SHARED) does not have it`);
      else await through(model, file, samples, folder);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function through(model: string, file: string, data: string, folder: string): Promise<void> {
  line(`\n${model}`);
  await look(model, file, folder);
  const before = await pith("eval", file, "--data", data);
  if (before.data === undefined) return line(`  eval: ${before.error}`);
  const original = before.data as EvalResult;
  const accuracy = original.figures?.[0]?.estimate;
  if (accuracy === undefined) return line("  eval: no figure");
  line(`  ${original.dataset}, n = ${integer(accuracy.count)}; preprocessing: ${original.preprocessing}`);
  const rows: string[][] = [["as it is", share(accuracy, 1), "", "", "", "", "", ""]];
  const refusals = new Map<string, string[]>();
  for (const words of steps) {
    const name = words.join(" ");
    const out = join(folder, `${model}.onnx`);
    const { data: output, error, seconds } = await pith(...words, file, "--data", data, "--force", "-o", out);
    if (output === undefined) {
      rows.push([name, "FAILED", "", "", "", "", "", error ?? ""]);
      continue;
    }
    const result = output as PassOutput;
    for (const { at, reason } of result.misses) {
      const refusal = `${name}: ${reason}`;
      refusals.set(refusal, [...(refusals.get(refusal) ?? []), at ?? "the model"]);
    }
    if (rows.length === 1) {
      const { before: weight } = result;
      rows[0]?.splice(5, 2, bytes(weight.bytes), weight.brotli === undefined ? "–" : bytes(weight.brotli));
    }
    rows.push(await row(name, result, { out, file, data, seconds }));
  }
  const right = [">accuracy (95 %)", ">points (paired)", ">agrees", ">dB", ">bytes", ">brotli"];
  table(["", ...right, ""], rows);
  for (const [refusal, places] of refusals) {
    const shown =
      places.length > 3 ? `${places.slice(0, 2).join(", ")} and ${places.length - 2} more` : places.join(", ");
    line(`  refused by ${refusal} (${shown})`);
  }
}

async function look(_model: string, file: string, _folder: string): Promise<void> {
  const inspected = await pith("inspect", file);
  if (inspected.data === undefined) line(`  inspect: ${inspected.error}`);
  else {
    const { layers, parameters, operators, notUnderstood, savings } = inspected.data as InspectedFile;
    const nodes = Object.values(operators).reduce((sum, count) => sum + count, 0);
    const { cuttable, channels } = savings.channels;
    line(
      `  inspect: ${integer(nodes)} nodes, ${integer(layers.length)} layers, ${integer(parameters)} parameters; ` +
        `${integer(cuttable)} of ${integer(channels)} channels can be cut; ${integer(notUnderstood.length)} nodes not understood`,
    );
  }
}

interface Place {
  readonly out: string;
  readonly file: string;
  readonly data: string;
  readonly seconds: number;
}

async function row(name: string, result: PassOutput, { out, file, data, seconds }: Place): Promise<string[]> {
  if (result.written === undefined)
    return [name, "refused", "", "", "", "", "", `nothing to do; ${seconds.toFixed(1)} s`];
  const { after, lost, comparison } = result;
  const checked = await pith("eval", out, "--original", file, "--data", data);
  if (checked.data === undefined) return [name, "FAILED", "", "", "", "", "", checked.error ?? ""];
  const { figures = [], comparison: pairs } = checked.data as EvalResult;
  const value = (metric: string): number => figures.find((one) => one.metric === metric)?.estimate.value ?? Number.NaN;
  if (pairs === undefined) return [name, "FAILED", "", "", "", "", "", "no labels"];
  const notes = [
    ...(lost === undefined ? [] : ["LOST, written because forced"]),
    // The accuracy that the command reports for the model in memory must equal that of the written file.
    ...(comparison?.candidate.count === pairs.candidate.count && comparison.candidate.value !== pairs.candidate.value
      ? [`the command told ${percent(comparison.candidate.value, 2)}`]
      : []),
    `${seconds.toFixed(1)} s`,
  ];
  return [
    name,
    share(pairs.candidate, 1),
    points(pairs.difference, 1),
    percent(value("agreement")),
    // JSON has no infinity: null is "no noise at all".
    Number.isFinite(value("signal to noise")) ? value("signal to noise").toFixed(1) : "–",
    `${bytes(after.bytes)} (${(after.bytes / result.before.bytes).toFixed(2)})`,
    after.brotli === undefined ? "–" : bytes(after.brotli),
    notes.join("; "),
  ];
}
