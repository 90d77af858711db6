/**
 * Times the convolutions of a training step in every form that Pith writes: forward, and the gradients by data and kernel.
 *
 *     npm run bench -- convolutions [--rounds 8] [--threads 1] [match]
 *
 * The forms of one shape alternate, so that all run under the same load. Times are milliseconds of the fastest run: processor time with one thread,
 * because other processes disturb it least, and wall-clock time with several. "*" marks the form that a training step would use. A form is worth
 * keeping if it is the fastest for at least one shape.
 */
import { parseArgs } from "node:util";
import { type Inference, infer } from "../src/core/analysis/infer.ts";
import { createEngine, type Session } from "../src/core/engine/index.ts";
import { Miss } from "../src/core/errors.ts";
import { type Emit, emitInto } from "../src/core/graph/emit.ts";
import type { Node, Value } from "../src/core/graph/graph.ts";
import type { Model } from "../src/core/graph/model.ts";
import { removeUnused } from "../src/core/graph/remove-unused.ts";
import { parseModel } from "../src/core/graph/text.ts";
import { createBlocks } from "../src/core/ops/shared/channel-blocks.ts";
import { readConv } from "../src/core/ops/shared/convolution.ts";
import {
  forms,
  possibleForms,
  selectFastestForm,
  writeWeightGradient,
} from "../src/core/ops/shared/weight-gradient.ts";
import type { Batch, Dense } from "../src/core/tensor/types.ts";
import { channelsPerBlock } from "../src/learn/train/channel-blocks.ts";
import { noise } from "../test/noise.ts";

const { values: options, positionals } = parseArgs({
  options: { rounds: { type: "string", default: "8" }, threads: { type: "string", default: "1" } },
  allowPositionals: true,
});
const threads = Number(options.threads);

const same = "pads=[1, 1, 1, 1]";
const shapes = [
  { of: "ResNet-20, first", x: [128, 3, 32, 32], w: [16, 3, 3, 3], settings: same },
  { of: "ResNet-20", x: [128, 16, 32, 32], w: [16, 16, 3, 3], settings: same },
  { of: "ResNet-20", x: [128, 32, 16, 16], w: [32, 32, 3, 3], settings: same },
  { of: "ResNet-20", x: [128, 64, 8, 8], w: [64, 64, 3, 3], settings: same },
  { of: "ResNet-20", x: [128, 16, 32, 32], w: [32, 16, 3, 3], settings: `${same}, strides=[2, 2]` },
  { of: "ResNet-20", x: [128, 32, 16, 16], w: [64, 32, 1, 1], settings: "strides=[2, 2]" },
  { of: "LeNet-5", x: [128, 1, 28, 28], w: [6, 1, 5, 5], settings: "pads=[2, 2, 2, 2]" },
  { of: "LeNet-5", x: [128, 6, 14, 14], w: [16, 6, 5, 5], settings: "" },
  { of: "ResNet-18", x: [16, 64, 56, 56], w: [64, 64, 3, 3], settings: same },
  { of: "ResNet-18", x: [16, 256, 14, 14], w: [256, 256, 3, 3], settings: same },
  { of: "ResNet-18, batch 12", x: [12, 256, 14, 14], w: [256, 256, 3, 3], settings: same },
  { of: "MobileNetV2", x: [16, 32, 48, 48], w: [32, 1, 3, 3], settings: `${same}, group=32` },
  { of: "MobileNetV2", x: [16, 96, 48, 48], w: [96, 1, 3, 3], settings: `${same}, group=96, strides=[2, 2]` },
  { of: "MobileNetV2", x: [16, 384, 6, 6], w: [384, 1, 3, 3], settings: `${same}, group=384` },
  { of: "MobileNetV2", x: [16, 144, 24, 24], w: [24, 144, 1, 1], settings: "" },
  { of: "MobileNetV2", x: [16, 320, 3, 3], w: [1280, 320, 1, 1], settings: "" },
];

const engine = createEngine();
const block = await channelsPerBlock(engine);

interface Timed {
  readonly name: string;
  readonly chosen: boolean;
  readonly session: Session;
  readonly feeds: Batch;
  readonly buffers: Batch;
  processor: number;
  clock: number;
}

async function timed(name: string, chosen: boolean, model: Model, feeds: Batch): Promise<Timed> {
  const session = await engine.load(model, { optimize: false, threads });
  const ownFeeds = Object.fromEntries(model.graph.feeds.map((value) => [value.name, feeds[value.name] as Dense]));
  const unknown = Number.POSITIVE_INFINITY;
  return {
    name,
    chosen,
    session,
    feeds: ownFeeds,
    buffers: await session.run(ownFeeds),
    processor: unknown,
    clock: unknown,
  };
}

async function race(candidates: readonly Timed[]): Promise<void> {
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const form of candidates) {
      for (let run = 0; run < 3; run++) {
        const [start, used] = [performance.now(), process.cpuUsage()];
        await form.session.run(form.feeds, form.buffers);
        const { user, system } = process.cpuUsage(used);
        form.clock = Math.min(form.clock, performance.now() - start);
        form.processor = Math.min(form.processor, (user + system) / 1000);
      }
    }
  }
  for (const form of candidates) await form.session.release();
}

interface Parts {
  readonly emit: Emit;
  readonly inference: Inference;
  readonly node: Node;
  readonly data: Value;
  readonly kernel: Value;
  readonly up: Value;
}

for (const { of, x, w, settings } of shapes) {
  const title = `${of}: ${x.join("×")} by ${w.join("×")} ${settings}`;
  if (!positionals.every((word) => title.includes(word))) continue;
  const base = parseModel(`opset 18
graph (x: float32[${x}], w: float32[${w}]) -> (y) {
  y = Conv (x, w) {${settings}}
}`);
  infer(base);
  const dims = base.graph.outputs[0]?.type?.dims?.map(Number) ?? [];
  const feeds = { x: noise(x, "x"), w: noise(w, "w"), up: noise(dims, "up") };
  const candidates: Timed[] = [];
  /** Adds the form that `write` returns, unless it is undefined because the form does not apply. */
  const add = async (name: string, write: (parts: Parts) => { value: Value; chosen: boolean } | undefined) => {
    const model = base.clone();
    const inference = infer(model);
    const [node] = [...model.graph.nodes()];
    const [data, kernel] = node?.inputs ?? [];
    if (node === undefined || data === undefined || kernel === undefined) throw new Error("There is no convolution.");
    const up = model.graph.addInput("up", { type: "float32", dims });
    const form = write({ emit: emitInto(model, { onNode: inference.visit }), inference, node, data, kernel, up });
    if (form === undefined) return;
    model.graph.setOutputs([form.value]);
    removeUnused(model.graph);
    model.graph.setInputs(model.graph.inputs.filter((input) => input.uses.size > 0));
    candidates.push(await timed(name, form.chosen, model, feeds));
  };

  const inBlocks = ({ inference, node, emit }: Parts): Value | undefined => {
    const bound = inference.at(node);
    return block === undefined || bound instanceof Miss
      ? undefined
      : bound.inChannelBlocks(emit, node.inputs, block)?.[0];
  };
  const byData = ({ inference, node, emit, up }: Parts, size: number | undefined): Value | undefined => {
    const bound = inference.at(node);
    if (bound instanceof Miss) return undefined;
    const { inputs, outputs } = node;
    const needsGradient = (input: number): boolean => input === 0;
    const scope = {
      emit,
      inputs,
      outputs,
      upstream: [up],
      wanted: needsGradient,
      take: () => undefined,
      channelBlock: size,
    };
    const gradients = bound.gradient(scope);
    return gradients instanceof Miss ? undefined : gradients[0];
  };
  await add("forward", (parts) => {
    const [value] = parts.node.outputs;
    return value === undefined ? undefined : { value, chosen: inBlocks(parts) === undefined };
  });
  await add("forward, in blocks", (parts) => {
    const value = inBlocks(parts);
    return value === undefined ? undefined : { value, chosen: true };
  });
  for (const size of block === undefined ? [undefined] : [undefined, block])
    await add(size === undefined ? "by the data, without blocks" : "by the data", (parts) => {
      const value = byData(parts, size);
      return value === undefined ? undefined : { value, chosen: size === block };
    });
  for (const form of forms)
    await add(`by the kernel, ${form}`, ({ emit, inference, node, data, kernel, up }) => {
      const s = readConv(inference.site(node));
      if (s instanceof Miss || !possibleForms(s, data, up, block).includes(form)) return undefined;
      const blocks = block === undefined ? undefined : createBlocks(emit, block);
      const value = writeWeightGradient(s, emit, [data, kernel, up], { blocks, form });
      return { value, chosen: form === selectFastestForm(s, data, up, block) };
    });
  await race(candidates);
  console.log(title);
  for (const { name, chosen, processor, clock } of candidates) {
    const figures = [processor, clock].map((time) => time.toFixed(2).padStart(8)).join(" ");
    console.log(`  ${chosen ? "*" : " "} ${name.padEnd(36)} ${figures}`);
  }
}
