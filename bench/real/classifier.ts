/**
 * A classifier of ImageNet size: int8, int8 for a small download, and fewer multiply-accumulates with a recovery from 500 images.
 *
 * onnxruntime and NNCF quantize with the same calibration images. Neither prunes ONNX files.
 */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { createEngine } from "../../src/core/engine/index.ts";
import { meanInterval } from "../../src/core/math/confidence-interval.ts";
import { open } from "../../src/core/onnx/index.ts";
import { isIndexed } from "../../src/data/batches/indexed.ts";
import { accuracy, agreement, measure } from "../../src/judge/index.ts";
import { type OpenedTask, openTask } from "../../src/judge/task/index.ts";
import { shared } from "../../test/shared.ts";
import { pith } from "../lib/command.ts";
import { line, points, share, table, target } from "../lib/print.ts";
import { peer, pythonWith } from "../lib/python.ts";
import { writeSamples } from "../quantize/samples.ts";
import { command, type Experiment } from "./command.ts";

const calibrated = 100;
/** Maximum processor time of a recovery in seconds. */
const maxRecoverySeconds = 300;

interface Result {
  readonly name: string;
  readonly path: string;
  /** Seconds to make the file: of the processor for Pith with its evaluation, of the clock for others. */
  readonly seconds: number | undefined;
}

interface Peers {
  readonly version: string;
  readonly files: readonly { readonly tool: string; readonly path: string; readonly seconds: number }[];
  readonly failed: Readonly<Record<string, string>>;
}

export async function classifier({ source, folder, python }: Experiment): Promise<boolean> {
  const [model, data] = [join(source, "model.onnx"), shared("data/images/imagenet")];
  if (data === undefined) throw new Error("The shared folder (../shared, or PITH_SHARED) is missing.");
  const into = (name: string): string => join(folder, name);
  const dataFlags = ["--data", data, "--force"];
  const make = async (name: string, file: string, ...words: readonly string[]): Promise<Result> => {
    const { processor } = await command(...words, ...dataFlags, "-o", into(file));
    return { name, path: into(file), seconds: processor };
  };
  const original: Result = { name: "float32", path: model, seconds: undefined };
  const int8 = await make("Pith, int8", "int8.onnx", "quantize", model, "--scheme", "static");
  const small = await make("Pith, rdoq", "rdoq.onnx", "quantize", model, "--scheme", "static", "--rounder", "rdoq");
  const task = await openTask(await open(model), { data, calibrate: calibrated });
  const peers = await quantizedByOthers(model, folder, task, python);
  const quantized = await compared([original, int8, small, ...peers], task);
  await showSpeedInPage(model, int8.path);

  const pruned = await make("pruned", "pruned.onnx", "prune", model, "--structured", "--macs", "90%");
  const recovered = await make("recovered", "recovered.onnx", "recover", pruned.path, "--original", model);
  const learning = await openTask(await open(model), {
    data,
    learns: "answers",
    unlabeledTraining: Number.POSITIVE_INFINITY,
  });
  const lighter = await compared([original, pruned, recovered], learning);

  const [float, ownInt8, ownSmall, ...peerResults] = quantized;
  const best = Math.max(...peerResults.map(({ right }) => right), 0);
  const [, , fine] = lighter;
  return [
    [
      `int8 within 0.5 points: ${(100 * ((ownInt8?.right ?? 0) - (float?.right ?? 1))).toFixed(1)}`,
      (ownInt8?.right ?? 0) >= (float?.right ?? 1) - 0.005,
    ],
    [`int8 at least as accurate as the best other tool, ${(100 * best).toFixed(1)} %`, (ownInt8?.right ?? 0) >= best],
    [
      `download of rdoq ${((ownSmall?.download ?? Number.NaN) / (ownInt8?.download ?? 1)).toFixed(2)} of int8`,
      (ownSmall?.download ?? Number.NaN) < (ownInt8?.download ?? 0),
    ],
    [`recovered within 2 points: ${(100 * (fine?.drop ?? -1)).toFixed(1)}`, (fine?.drop ?? -1) >= -0.02],
    [
      `recovery in ${recovered.seconds?.toFixed(0)} ≤ ${maxRecoverySeconds} s`,
      (recovered.seconds ?? Number.NaN) <= maxRecoverySeconds,
    ],
  ]
    .map(([text, isMet]) => {
      line(`  ${target(`${text}`, isMet === true, true)}`);
      return isMet === true;
    })
    .every((isMet) => isMet);
}

async function quantizedByOthers(
  model: string,
  folder: string,
  { calibrate }: OpenedTask,
  python: string | undefined,
): Promise<readonly Result[]> {
  const able = pythonWith(["onnxruntime", "onnx", "nncf"], python);
  if (able === undefined || calibrate === undefined || !isIndexed(calibrate)) {
    line("  alone: no Python with onnxruntime, onnx and nncf was found (--python)");
    return [];
  }
  await writeSamples(join(folder, "calibration-0.npz"), calibrate);
  const { version, files, failed } = peer<Peers>(able, "quantize_static.py", [model, folder, "1"]);
  line(`  ${version}`);
  for (const [tool, reason] of Object.entries(failed)) line(`  ${tool} fails: ${reason}`);
  return files.map(({ tool, path, seconds }) => ({ name: tool, path, seconds }));
}

async function showSpeedInPage(model: string, result: string): Promise<void> {
  const words = ["bench", model, result, "--target", "wasm"];
  const { data, error } = await pith(...words);
  const { models = [] } = (data ?? {}) as { models?: readonly { readonly runs?: { readonly p50: number } }[] };
  const [before, after] = models.map(({ runs }) => runs?.p50 ?? Number.NaN);
  const speed = (before ?? Number.NaN) / (after ?? Number.NaN);
  line(`  pith ${words.join(" ")}: ${error ?? `int8 is ${speed.toFixed(2)} × as fast`}`);
}

interface Measured {
  readonly right: number;
  /** Difference to the first result. */
  readonly drop: number;
  /** Bytes after brotli. */
  readonly download: number;
}

/** Measures the results on the test samples of a task, and prints them. The first one is the original. */
async function compared(results: readonly Result[], { test }: OpenedTask): Promise<readonly Measured[]> {
  const models = await Promise.all(results.map(({ path }) => open(path)));
  const rows = await measure(createEngine(), models, test, [accuracy(), agreement()], { batch: 16 });
  const [[float = new Float64Array()] = []] = rows;
  const measured = results.map(({ name, path, seconds }, index) => {
    const [right = new Float64Array(), same = new Float64Array()] = rows[index] ?? [];
    const difference = meanInterval(right.map((value, sample) => value - (float[sample] ?? 0)));
    const bytes = readFileSync(path);
    const download = brotliCompressSync(bytes).length;
    const text = [
      name,
      (statSync(path).size / 1e6).toFixed(2),
      (download / 1e6).toFixed(2),
      share(meanInterval(right), 1),
      index === 0 ? "" : points(difference, 1),
      share(meanInterval(same), 1),
      seconds?.toFixed(0) ?? "",
    ];
    return { text, right: meanInterval(right).value, drop: difference.value, download };
  });
  table(
    ["", ">MB", ">brotli", `accuracy, ${test.count} images`, "change, points", "same predictions", ">s"],
    measured.map(({ text }) => text),
  );
  return measured;
}
