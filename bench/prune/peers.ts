/**
 * Experiment "peers": prunes half of the channels of torchvision's architectures, compared with Torch-Pruning.
 *
 * Both exporters of PyTorch export each network, and the older one exports the result of Torch-Pruning, so that parameters, multiply-accumulates and
 * layers of all files are counted in the same way. The classifier keeps its outputs. Seconds are processor time without program start; Torch-Pruning
 * runs on one thread.
 */
import { spawnSync } from "node:child_process";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Model, open } from "pith";
import { cost } from "../../src/core/analysis/cost.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { layers } from "../../src/core/analysis/layers.ts";
import { parametersOf } from "../../src/core/analysis/parameters.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { elementCount } from "../../src/core/tensor/dims.ts";
import { random } from "../../src/core/tensor/random.ts";
import { operationCountOf } from "../../src/judge/record/operation-count.ts";
import { runJob } from "../../src/runtime/job/run.ts";
import { heading, line, table, target } from "../lib/print.ts";
import type peerJob from "./peer-job.ts";

const seed = 0;

/** Maximum remaining shares of parameters and multiply-accumulates, and minimum number of layers that lose output channels. */
interface Bounds {
  readonly parameters: number;
  readonly macs: number;
  readonly layers?: number;
}

interface Network {
  readonly name: string;
  /** Image size in pixels (224). */
  readonly size?: number;
  /** Limits of the result. By default, the multiply-accumulates must equal those of Torch-Pruning's result. */
  readonly plain?: Bounds | "any";
  /** Limits if channels that share a normalization are pruned as well. */
  readonly throughNorms?: Bounds;
}

const norms = { parameters: 0.27, macs: 0.27 };

const networks: readonly Network[] = [
  { name: "resnet18" },
  { name: "resnet50" },
  { name: "mobilenet_v2" },
  { name: "densenet121" },
  { name: "shufflenet_v2_x1_0", plain: { parameters: 0.38, macs: 0.32, layers: 53 } },
  { name: "googlenet" },
  { name: "regnet_y_400mf" },
  { name: "efficientnet_b0" },
  { name: "vgg11" },
  { name: "mnasnet1_0" },
  { name: "squeezenet1_0" },
  { name: "inception_v3", size: 299 },
  { name: "convnext_tiny", plain: "any", throughNorms: norms },
  { name: "vit_b_16", plain: "any", throughNorms: norms },
  { name: "swin_t", plain: "any", throughNorms: norms },
];

interface PeerSettings {
  /** Whether to run only the first network. */
  readonly smoke: boolean;
  /** Path of the Python interpreter. */
  readonly python: string | undefined;
}

const exporters = ["script", "dynamo"] as const;

/** Output of prune_torch_pruning.py. */
interface Theirs {
  readonly torch: string;
  readonly torchvision: string;
  readonly version: string;
  readonly seconds?: number;
  readonly failed: Readonly<Partial<Record<"theirs" | (typeof exporters)[number], string>>>;
}

interface Counted {
  readonly parameters: number;
  /** Multiply-accumulates of one sample. */
  readonly macs: number;
  /** Output channels of each layer. */
  readonly layers: readonly number[];
}

/** Maximum peak memory as a multiple of the file size, and maximum time as a multiple of Torch-Pruning's. */
const mostMemory = 2;
const mostSeconds = 1;

export async function peers({ smoke, python }: PeerSettings): Promise<boolean> {
  heading("Half of the channels, beside Torch-Pruning", seed);
  const pythons = [python, process.env.PITH_PYTHON, inPeers("venv/bin/python"), "python3"];
  const able = pythons.find(
    (one) => one !== undefined && spawnSync(one, ["-c", "import torch_pruning, torchvision, onnxscript"]).status === 0,
  );
  if (able === undefined) {
    line("  not measured: no Python with torch_pruning, torchvision, onnx and onnxscript was found (--python)");
    return true;
  }
  const results: Found[] = [];
  const failures: string[] = [];
  let versions = "";
  for (const network of smoke ? networks.slice(0, 1) : networks) {
    const folder = await mkdtemp(join(tmpdir(), "pith-bench-"));
    try {
      const theirs = torchPruning(able, folder, network.name);
      versions = `Torch-Pruning ${theirs.version}, PyTorch ${theirs.torch}, torchvision ${theirs.torchvision}`;
      if (theirs.failed.theirs !== undefined) failures.push(`${network.name}: ${theirs.failed.theirs}`);
      results.push(...(await besides(network, theirs, folder)));
    } finally {
      await rm(folder, { recursive: true });
    }
  }
  for (const text of new Set(failures)) line(`  Torch-Pruning fails on ${text}`);
  line(`${versions}; shares that are left, layers that lose outputs, seconds of the processor`);
  const titles = [
    "",
    "",
    ">Torch-Pruning",
    ">layers",
    ">s",
    ">Pith",
    ">layers",
    ">s",
    ">with files",
    ">memory / file",
    "",
  ];
  table(
    titles,
    results.map(({ row }) => row),
  );
  const met = (answers: readonly boolean[]): [string, boolean] => {
    const count = answers.filter(Boolean).length;
    return [`${count} of ${answers.length}`, count === answers.length];
  };
  const [amounts, allAmounts] = met(results.map(({ misses }) => misses.length === 0));
  const [times, allTimes] = met(results.flatMap(({ seconds = [] }) => seconds));
  const [memory, allMemory] = met(results.flatMap(({ memory = [] }) => memory));
  line(`  ${target(`what is left, ${amounts}`, allAmounts, true)}`);
  line(`  ${target(`at most ${mostSeconds} × the seconds where Torch-Pruning cuts, ${times}`, allTimes, true)}`);
  line(`  ${target(`at most ${mostMemory} × the file in memory, ${memory}`, allMemory, true)}`);
  return allAmounts && allTimes && allMemory;
}

interface Found {
  readonly row: string[];
  readonly misses: readonly string[];
  /** Whether time and memory were within their limits; undefined if not measured. */
  readonly seconds?: boolean;
  readonly memory?: boolean;
}

/** Returns one row for each exporter and each set of limits. */
async function besides(network: Network, theirs: Theirs, folder: string): Promise<readonly Found[]> {
  const { name, throughNorms } = network;
  const file = (kind: string): string => join(folder, `${name}.${kind}.onnx`);
  const results: Found[] = [];
  const original = theirs.failed.script === undefined ? await counted(await open(file("script"))) : undefined;
  const after = theirs.failed.theirs === undefined ? await counted(await open(file("theirs"))) : undefined;
  const peer = original === undefined || after === undefined ? undefined : sharesOf(original, after);
  for (const exporter of exporters) {
    const failed = theirs.failed[exporter];
    if (failed !== undefined) {
      results.push({ row: [name, exporter], misses: [`not exported: ${failed}`] });
      continue;
    }
    for (const normsToo of throughNorms === undefined ? [false] : [false, true]) {
      const path = file(exporter);
      const out = file("ours");
      const job = new URL("./peer-job.ts", import.meta.url);
      const ran = await runJob<typeof peerJob>(
        job,
        { path, out, throughNorms: normsToo },
        { name: `The cut of ${name}` },
      );
      const ours = sharesOf(await counted(await open(path)), await counted(await open(out)));
      const misses = [
        ...missesOf(ours, normsToo ? throughNorms : network.plain, peer),
        ...(await faults(out, network.size ?? 224)),
      ];
      const memory = ran.peak / (await stat(path)).size;
      results.push({
        row: [
          `${name}${normsToo ? ", through norms" : ""}`,
          exporter,
          ...(peer === undefined ? ["fails", "", ""] : [...shown(peer), theirs.seconds?.toFixed(2) ?? ""]),
          ...shown(ours),
          ran.seconds.toFixed(2),
          ran.whole.toFixed(2),
          memory.toFixed(2),
          misses.length === 0 ? "" : `MISSED: ${misses.join(", ")}`,
        ],
        misses,
        ...(peer !== undefined &&
          theirs.seconds !== undefined && { seconds: ran.seconds <= mostSeconds * theirs.seconds }),
        memory: memory <= mostMemory,
      });
    }
  }
  return results;
}

interface Shares {
  readonly parameters: number;
  readonly macs: number;
  /** Multiply-accumulates of one sample. */
  readonly left: number;
  readonly cut: number;
  readonly layers: number;
}

function sharesOf(before: Counted, after: Counted): Shares {
  return {
    parameters: after.parameters / before.parameters,
    macs: after.macs / before.macs,
    left: after.macs,
    cut: before.layers.filter((count, at) => (after.layers[at] ?? 0) < count).length,
    layers: before.layers.length,
  };
}

function shown({ parameters, macs, cut, layers }: Shares): string[] {
  return [`${parameters.toFixed(3)} / ${macs.toFixed(3)}`, `${cut} of ${layers}`];
}

async function counted(model: Model): Promise<Counted> {
  const inference = infer(model);
  let parameters = 0;
  for (const { tensor } of parametersOf(model, inference)) parameters += elementCount(tensor?.dims ?? []);
  const { macs } = cost(model, inference);
  return {
    parameters,
    macs: operationCountOf(macs)?.count ?? Number.NaN,
    layers: layers(model, inference).map(({ outputs }) => outputs),
  };
}

function missesOf(ours: Shares, bounds: Bounds | "any" | undefined, peer: Shares | undefined): readonly string[] {
  if (bounds === "any") return [];
  if (bounds === undefined) return peer === undefined || ours.left === peer.left ? [] : ["as Torch-Pruning"];
  const { parameters, macs, layers: fewest = 0 } = bounds;
  return [
    ...(ours.parameters <= parameters ? [] : [`parameters ≤ ${parameters}`]),
    ...(ours.macs <= macs ? [] : [`multiply-accumulates ≤ ${macs}`]),
    ...(ours.cut >= fewest ? [] : [`${fewest} layers`]),
  ];
}

/** Runs a result in ONNX Runtime on three samples, and returns its faults. The batch size differs from that of the export. */
async function faults(path: string, size: number): Promise<readonly string[]> {
  const numbers = random(seed, "images");
  const images = Float32Array.from({ length: 3 * 3 * size * size }, () => numbers.normal());
  const session = await createEngine().load(await open(path));
  try {
    const { y } = await session.run({ x: float32([3, 3, size, size], images) });
    if (y?.type !== "float32" || y.dims.join() !== "3,1000") return [`its output is ${y?.type}[${y?.dims.join()}]`];
    return y.data.every(Number.isFinite) ? [] : ["its output is not finite"];
  } finally {
    await session.release();
  }
}

function torchPruning(python: string, folder: string, name: string): Theirs {
  const { status, stdout, stderr } = spawnSync(python, [inPeers("prune_torch_pruning.py"), folder, name], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`${name}: ${stderr.trim().split("\n").slice(-3).join(" ")}`);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Theirs;
}

function inPeers(name: string): string {
  return fileURLToPath(new URL(`../peers/${name}`, import.meta.url));
}
