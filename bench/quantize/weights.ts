/** Experiment "weights": low-bit weights with one scale per output or per tensor, for every rounder. The goals apply to the default rounder. */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine } from "../../src/core/engine/index.ts";
import { meanInterval } from "../../src/core/math/confidence-interval.ts";
import { open } from "../../src/core/onnx/index.ts";
import { type Estimate, measure } from "../../src/judge/index.ts";
import { runJob } from "../../src/runtime/job/run.ts";
import type { QuantizeOptions } from "../../src/techniques/quantize/index.ts";
import { rounders } from "../../src/techniques/quantize/rounders/index.ts";
import { heading, line, points, table, target } from "../lib/print.ts";
import type quantizeJob from "./job.ts";
import { type NetworkName, openSamples } from "./samples.ts";
import type { Settings } from "./static.ts";

interface Case {
  readonly title: string;
  readonly network: NetworkName;
  readonly options: Omit<QuantizeOptions, "data" | "samples" | "rounder">;
  /** Number of calibration samples. */
  readonly calibrate: number;
  /** Maximum accuracy drop, or minimum accuracy, as shares. */
  readonly goal: { readonly drop: number } | { readonly accuracy: number };
}

const few = (bits: 3 | 4) => ({ scheme: "weights", bits }) as const;

const cases: readonly Case[] = [
  {
    title: "mobilenetv2, weights of 8 bits, one scale each",
    network: "mobilenetv2",
    options: { scheme: "weights", perChannel: false },
    calibrate: 400,
    goal: { drop: 0.03 },
  },
  {
    title: "mobilenetv2, static, one scale each",
    network: "mobilenetv2",
    options: { scheme: "static", perChannel: false },
    calibrate: 100,
    goal: { drop: 0.03 },
  },
  { title: "mobilenetv2, 4 bits", network: "mobilenetv2", options: few(4), calibrate: 400, goal: { accuracy: 0.84 } },
  { title: "squeezenet, 4 bits", network: "squeezenet", options: few(4), calibrate: 400, goal: { drop: 0.05 } },
  { title: "resnet20, 4 bits", network: "resnet20", options: few(4), calibrate: 400, goal: { drop: 0.01 } },
  { title: "resnet20, 3 bits", network: "resnet20", options: few(3), calibrate: 400, goal: { drop: 0.03 } },
  { title: "resnet56, 4 bits", network: "resnet56", options: few(4), calibrate: 400, goal: { drop: 0.01 } },
  { title: "resnet56, 3 bits", network: "resnet56", options: few(3), calibrate: 400, goal: { drop: 0.03 } },
  { title: "bert_sst2, 4 bits", network: "bert_sst2", options: few(4), calibrate: 400, goal: { drop: 0.015 } },
  { title: "cct_cifar10, 4 bits", network: "cct_cifar10", options: few(4), calibrate: 400, goal: { drop: 0.015 } },
  {
    title: "mobilenetv3_cifar10, 4 bits",
    network: "mobilenetv3_cifar10",
    options: few(4),
    calibrate: 400,
    goal: { drop: 0.015 },
  },
];

const most = { minutes: 10, bytes: 1.5e9 };
const seed = 0;
const byName = rounders.meanings.rows.map(([name]) => name);
const usual = "default";

export async function weights(settings: Settings): Promise<boolean> {
  heading("Weights in few bits", seed);
  line(
    "accuracy on samples that were not looked at; of ImageNet 100 are left, and beside them stands the change on all 500",
  );
  let met = true;
  const all = settings.smoke ? cases.filter(({ network }) => network === "resnet20").slice(0, 1) : cases;
  for (const experiment of all)
    if (settings.models === undefined || settings.models.includes(experiment.network))
      met = (await measured(experiment, settings)) && met;
  return met;
}

interface Row {
  readonly name: string;
  readonly accuracy: number;
  readonly change: Estimate;
  readonly ofAll: Estimate | undefined;
  readonly seconds: number;
  readonly peak: number;
  readonly bytes: number;
}

async function measured(
  one: Case,
  { smoke, rounders: chosen = [usual, ...(smoke ? [] : byName)] }: Settings,
): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), "pith-bench-"));
  line(`\n${one.title}`);
  try {
    const samples = await openSamples(one.network, folder, smoke ? 100 : Infinity);
    if (samples === undefined) {
      line("  not measured: the shared folder (../shared, or PITH_SHARED) does not have it");
      return true;
    }
    const { test, places } = samples.draw(one.calibrate, seed);
    const rows: Row[] = [];
    for (const name of chosen) {
      const out = join(folder, "result.onnx");
      const input = {
        ...{ network: one.network, calibrate: one.calibrate, seed, out },
        options: { ...one.options, ...(name === usual ? {} : { rounder: name as "nearest" }) },
      };
      try {
        const job = new URL("./job.ts", import.meta.url);
        const ran = await runJob<typeof quantizeJob>(job, input, { name: one.title });
        const models = [await open(samples.path), await open(out)];
        // If the calibration samples come from the test samples, all are evaluated, and the others are selected afterwards.
        const all = test.count < samples.test.count ? samples.test : test;
        const [[float = new Float64Array()] = [], [scores = new Float64Array()] = []] = await measure(
          createEngine(),
          models,
          all,
          [samples.metric],
          { batch: 16 },
        );
        const changes = scores.map((value, at) => value - (float[at] ?? 0));
        const picked = (rows: Float64Array) => Float64Array.from(places, (place) => rows[place] ?? 0);
        rows.push({
          ...{ name, seconds: ran.seconds, peak: ran.peak, bytes: (await stat(out)).size },
          accuracy: meanInterval(picked(scores)).value,
          change: meanInterval(picked(changes)),
          ofAll: all === test ? undefined : meanInterval(changes),
        });
      } catch (error) {
        line(`  ${name}: ${error instanceof Error ? error.message : error}`);
      }
    }
    table(
      ["", ">accuracy, %", ">change, points (95 %)", ">on all", ">kB", ">minutes", ">MB"],
      rows.map(({ name, accuracy, change, ofAll, bytes, seconds, peak }) => [
        name,
        (100 * accuracy).toFixed(1),
        points(change),
        ofAll === undefined ? "" : (100 * ofAll.value).toFixed(2),
        (bytes / 1000).toFixed(0),
        (seconds / 60).toFixed(1),
        (peak / 1e6).toFixed(0),
      ]),
    );
    return smoke ? rows.length > 0 : judged(one, rows[0]?.name === usual ? rows[0] : undefined);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function judged({ goal }: Case, row: Row | undefined): boolean {
  if (row === undefined) {
    line(`  ${target("the default", false, true)}`);
    return false;
  }
  const { accuracy, change, seconds, peak } = row;
  const lost = -change.value;
  const checks: readonly (readonly [string, boolean, boolean])[] = [
    "drop" in goal
      ? [`within ${100 * goal.drop} points`, lost <= goal.drop, -change.low <= goal.drop]
      : [
          `≥ ${100 * goal.accuracy} %`,
          accuracy >= goal.accuracy,
          accuracy + change.low - change.value >= goal.accuracy,
        ],
    [`≤ ${most.minutes} minutes`, seconds <= 60 * most.minutes, true],
    [`< ${most.bytes / 1e9} GB`, peak < most.bytes, true],
  ];
  for (const check of checks) line(`  ${target(...check)}`);
  return checks.every(([, met]) => met);
}
