/** The networks of the step timings, with the same layers, batch, optimizer and loss as in `peers/train_networks.py`. */
import { float32, Model, open } from "pith";
import { emitInto, random } from "pith/extend";
import {
  attention,
  averagePool,
  batchNorm,
  conv2d,
  flatten,
  gelu,
  globalAveragePool,
  layerNorm,
  linear,
  type Module,
  type Modules,
  maxPool,
  network,
  relu,
  residual,
  select,
  sequential,
} from "pith/nn";
import { adam, type Optimizer, sgd } from "pith/train";
import { shared } from "../../test/shared.ts";

export interface Network {
  readonly name: string;
  /** Input shape, with the batch first. */
  readonly input: readonly number[];
  readonly classes: number;
  readonly optimizer: () => Optimizer;
  /** Maximum time relative to PyTorch; undefined if it is only reported. */
  readonly target: number | undefined;
  /** Returns undefined if the network's file is missing. */
  readonly build: () => Model | Promise<Model | undefined>;
}

const momentum = (): Optimizer => sgd({ momentum: 0.9 });

function built(modules: Modules, input: readonly number[]): Model {
  return network(modules, { input, seed: 1 });
}

function mlp(name: string, optimizer: () => Optimizer, target: number): Network {
  const input = [128, 784];
  const build = () =>
    built({ fc1: linear(784, 1200), a: relu(), fc2: linear(1200, 1200), b: relu(), fc3: linear(1200, 10) }, input);
  return { name, input, classes: 10, optimizer, target, build };
}

/** Builds a pre-norm encoder: six layers of width 384 with six heads and hidden width 1536. The first token gives the class. */
function encoder(): Network {
  const input = [16, 64, 384];
  const layer = (): Module =>
    sequential({
      mix: residual({ norm: layerNorm(384), attention: attention(384, 6) }),
      think: residual({ norm: layerNorm(384), fc1: linear(384, 1536), act: gelu(), fc2: linear(1536, 384) }),
    });
  const layers = Object.fromEntries(Array.from({ length: 6 }, (_, at) => [`layer${at}`, layer()]));
  const build = () => built({ ...layers, first: select(1, 0), head: linear(384, 2) }, input);
  return { name: "encoder", input, classes: 2, optimizer: () => adam(), target: 0.95, build };
}

const unbiased = { bias: false } as const;

/** Builds ResNet-20 or ResNet-56 (He et al. 2016) with 1×1 shortcuts: three stages of `blocksOfStage` blocks. */
function resnet(name: string, blocksOfStage: number, target: number | undefined): Network {
  const input = [128, 3, 32, 32];
  const block = (from: number, to: number, stride: number): Module => {
    const main = {
      conv1: conv2d(from, to, 3, { stride, padding: 1, ...unbiased }),
      bn1: batchNorm(to),
      relu: relu(),
      conv2: conv2d(to, to, 3, { padding: 1, ...unbiased }),
      bn2: batchNorm(to),
    };
    const shortcut = sequential({ conv: conv2d(from, to, 1, { stride, ...unbiased }), bn: batchNorm(to) });
    return sequential({ sum: residual(main, from === to ? {} : { shortcut }), relu: relu() });
  };
  const widths = [16, 32, 64];
  const blocks = widths.flatMap((to, stage) =>
    Array.from({ length: blocksOfStage }, (_, at): [string, Module] => {
      const from = at === 0 ? (widths[stage - 1] ?? 16) : to;
      return [`block${stage}_${at}`, block(from, to, at === 0 && stage > 0 ? 2 : 1)];
    }),
  );
  const stem = { conv: conv2d(3, 16, 3, { padding: 1, ...unbiased }), bn: batchNorm(16), relu: relu() };
  const end = { pool: globalAveragePool(), flat: flatten(), fc: linear(64, 10) };
  const build = () => built({ ...stem, ...Object.fromEntries(blocks), ...end }, input);
  return { name, input, classes: 10, optimizer: momentum, target, build };
}

/** Builds LeNet-5 (LeCun et al. 1998) with ReLU and max pooling. */
function lenet5(): Network {
  const input = [128, 1, 28, 28];
  const build = () =>
    built(
      {
        conv1: conv2d(1, 6, 5, { padding: 2 }),
        relu1: relu(),
        pool1: maxPool(2),
        conv2: conv2d(6, 16, 5),
        relu2: relu(),
        pool2: averagePool(2),
        flat: flatten(),
        fc1: linear(400, 120),
        relu3: relu(),
        fc2: linear(120, 84),
        relu4: relu(),
        fc3: linear(84, 10),
      },
      input,
    );
  return { name: "lenet5", input, classes: 10, optimizer: momentum, target: 1.5, build };
}

/**
 * Builds MobileNetV2 (Sandler et al. 2018). Depthwise kernels are fast in blocks of channels. The bottlenecks are 1 × 1 kernels on 3 × 3 and
 * 6 × 6 positions, too few for a fast product, and the memory traffic of 52 batch normalizations, whose training kernel runs in one thread.
 */
function mobilenetv2(): Network {
  const input = [16, 3, 96, 96];
  const block = (from: number, to: number, stride: number, expansion: number): Module => {
    const inside = from * expansion;
    const expand =
      expansion === 1 ? {} : { expand: conv2d(from, inside, 1, unbiased), bn0: batchNorm(inside), relu0: relu() };
    const rest = {
      depthwise: conv2d(inside, inside, 3, { stride, padding: 1, groups: inside, ...unbiased }),
      bn1: batchNorm(inside),
      relu1: relu(),
      project: conv2d(inside, to, 1, unbiased),
      bn2: batchNorm(to),
    };
    const body = { ...expand, ...rest };
    return stride === 1 && from === to ? residual(body) : sequential(body);
  };
  const stages = [
    [1, 16, 1, 1],
    [6, 24, 2, 2],
    [6, 32, 3, 2],
    [6, 64, 4, 2],
    [6, 96, 3, 1],
    [6, 160, 3, 2],
    [6, 320, 1, 1],
  ] as const;
  let from = 32;
  const blocks = stages.flatMap(([expansion, to, count, stride], stage) =>
    Array.from({ length: count }, (_, at): [string, Module] => {
      const module = block(from, to, at === 0 ? stride : 1, expansion);
      from = to;
      return [`stage${stage}block${at}`, module];
    }),
  );
  const stem = { conv: conv2d(3, 32, 3, { stride: 2, padding: 1, ...unbiased }), bn: batchNorm(32), relu: relu() };
  const last = { last: conv2d(320, 1280, 1, unbiased), lastbn: batchNorm(1280), lastrelu: relu() };
  const end = { pool: globalAveragePool(), flat: flatten(), fc: linear(1280, 1000) };
  const build = () => built({ ...stem, ...Object.fromEntries(blocks), ...last, ...end }, input);
  return { name: "mobilenetv2", input, classes: 1000, optimizer: momentum, target: undefined, build };
}

/** Returns a network of the shared folder, whose normalizations use batch statistics as in PyTorch's `train()`. */
function exported(name: string, file: string): Network {
  const build = async () => {
    const path = shared(`data/models/${file}.onnx`);
    const model = path === undefined ? undefined : await open(path);
    for (const { op, inputs } of model?.graph.nodes() ?? [])
      if (op === "BatchNormalization")
        for (const statistic of inputs.slice(3)) if (statistic) statistic.role = { kind: "state" };
    return model;
  };
  return { name, input: [128, 3, 32, 32], classes: 10, optimizer: () => adam(), target: 1.3, build };
}

/** Builds one LSTM layer with 256 units over 64 steps. The last state gives the class. */
function lstm(): Network {
  const [batch, steps, width, hidden, classes] = [32, 64, 128, 256, 10];
  const build = () => {
    const model = new Model();
    const { graph } = model;
    const emit = emitInto(model);
    const numbers = random(1, "lstm");
    const stored = (name: string, ...dims: number[]) => {
      const length = dims.reduce((product, size) => product * size, 1);
      const uniform = () => numbers.uniform(-1 / Math.sqrt(hidden), 1 / Math.sqrt(hidden));
      return emit.constant(float32(dims, Float32Array.from({ length }, uniform)), name, { kind: "parameter" });
    };
    const x = graph.addInput("input", { type: "float32", dims: [batch, steps, width] });
    const layer = [
      emit.Transpose([x], { perm: [1, 0, 2] }),
      stored("weight_ih", 1, 4 * hidden, width),
      stored("weight_hh", 1, 4 * hidden, hidden),
      stored("bias", 1, 8 * hidden),
    ];
    const [, last] = emit.many("LSTM", layer, { hidden_size: hidden }, 3);
    const features = emit.Squeeze([last, [0]]);
    graph.addOutput(
      emit.Gemm([features, stored("head", classes, hidden), stored("head_bias", classes)], { transB: 1 }),
    );
    return model;
  };
  return { name: "lstm", input: [batch, steps, width], classes, optimizer: () => adam(), target: 1.3, build };
}

export const networks: readonly Network[] = [
  mlp("mlp", momentum, 1.15),
  mlp("mlp-adam", () => adam(), 1.15),
  encoder(),
  lenet5(),
  resnet("resnet20", 3, 1.3),
  resnet("resnet56", 9, undefined),
  mobilenetv2(),
  exported("mobilenetv3", "mobilenetv3_cifar10"),
  exported("cct", "cct_cifar10"),
  lstm(),
];
