/**
 * Trains the detector of drawn shapes and writes it next to this file: about a minute.
 *
 *     npx tsx --conditions=pith-source test/detector/train.ts
 *
 * Each of the 8 × 8 cells predicts one box in pixels and the probabilities of three classes. The cell that contains the center of a shape learns it.
 */
import { createEngine } from "../../src/core/engine/index.ts";
import { save } from "../../src/core/onnx/index.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { memory } from "../../src/data/index.ts";
import { conv2d, type Module, network, relu, sequential } from "../../src/learn/nn/index.ts";
import { type Loss, train } from "../../src/learn/train/index.ts";
import { meanAveragePrecision } from "../../src/runtime/metrics/detections.ts";
import { estimate, measure } from "../../src/runtime/metrics/evaluate.ts";
import { cells, classes, detectorFile, drawShapes, maxBoxes, type Shapes, side, stride } from "./shapes.ts";

const places = cells * cells;
/** Boxes: scale · σ(x) + offset, where centers reach half a cell beyond their cell and sizes 48 pixels. */
const scales = float32([1, 4, 1], [2 * stride, 2 * stride, 48, 48]);
const offsets = float32(
  [1, 4, places],
  Array.from({ length: 4 * places }, (_, index) => {
    const [row, place] = [Math.floor(index / places), index % places];
    if (row > 1) return 0;
    return stride * ((row === 0 ? place % cells : Math.floor(place / cells)) - 0.5);
  }),
);

const down = (inputs: number, outputs: number): Module => conv2d(inputs, outputs, 3, { stride: 2, padding: 1 });
const same = (inputs: number, outputs: number): Module => conv2d(inputs, outputs, 3, { padding: 1 });

const head: Module = (scope, x) => {
  const branch = (name: string, outputs: number) => {
    const module = sequential({ conv: same(32, 16), relu: relu(), out: conv2d(16, outputs, 1) });
    const maps = module(scope.inside(name), x);
    return scope.emit.Sigmoid([scope.emit.Reshape([maps, [0, outputs, places]])]);
  };
  const { emit } = scope;
  const sizes = emit.Mul([branch("box", 4), emit.constant(scales, "scales")]);
  const boxes = emit.Add([sizes, emit.constant(offsets, "offsets")]);
  return emit.Concat([boxes, branch("cls", classes)], { axis: 1 });
};

/** Mean absolute error of boxes in cells, and binary cross-entropy of scores, both per shape. */
const loss: Loss = {
  name: "detection",
  build({ emit, model, outputs }) {
    const [output] = outputs.values();
    if (output === undefined) throw new Error("the network has no output");
    const samples = Number(output.type?.dims?.[0]);
    const target = model.graph.addInput("target", { type: "float32", dims: [samples, 4 + classes, places] });
    const mask = model.graph.addInput("mask", { type: "float32", dims: [samples, 1, places] });
    const part = (value: typeof output, start: number, end: number) => emit.Slice([value, [start], [end], [1]]);
    const sum = (value: typeof output) => emit.ReduceSum([value], { keepdims: 0 });
    const distance = emit.Abs([emit.Sub([part(output, 0, 4), part(target, 0, 4)])]);
    const boxes = sum(emit.Mul([emit.Mul([distance, mask]), 1 / stride]));
    const [scores, truth] = [part(output, 4, 4 + classes), part(target, 4, 4 + classes)];
    const log = (shares: typeof output) => emit.Log([emit.Max([shares, 1e-6])]);
    const yes = emit.Mul([truth, log(scores)]);
    const no = emit.Mul([emit.Sub([1, truth]), log(emit.Sub([1, scores]))]);
    const value = emit.Div([emit.Sub([boxes, sum(emit.Add([yes, no]))]), sum(mask)]);
    return { value, feeds: ({ boxes: target, mask }) => ({ target, mask }) as never };
  },
};

function targets({ count, labels }: Shapes) {
  const boxes = new Float32Array(count * (4 + classes) * places);
  const mask = new Float32Array(count * places);
  for (let row = 0; row < count * maxBoxes; row++) {
    const [index = -1, x1 = 0, y1 = 0, x2 = 0, y2 = 0] = labels.subarray(5 * row, 5 * row + 5);
    if (index < 0) continue;
    const image = Math.floor(row / maxBoxes);
    const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
    const place = Math.floor(y / stride) * cells + Math.floor(x / stride);
    for (const [field, value] of [x, y, x2 - x1, y2 - y1].entries())
      boxes[(image * (4 + classes) + field) * places + place] = value;
    boxes[(image * (4 + classes) + 4 + index) * places + place] = 1;
    mask[image * places + place] = 1;
  }
  return { boxes: float32([count, 4 + classes, places], boxes), mask: float32([count, 1, places], mask) };
}

const shapes = drawShapes(2000, 1);
const images = ({ count, images: pixels }: Shapes) => float32([count, 1, side, side], pixels);
const net = network(
  {
    conv1: down(1, 12),
    relu1: relu(),
    conv2: down(12, 24),
    relu2: relu(),
    conv3: down(24, 32),
    relu3: relu(),
    conv4: same(32, 32),
    relu4: relu(),
    head,
  },
  { input: { images: { dims: ["batch", 1, side, side] } }, seed: 1 },
);
const [output] = net.graph.outputs;
if (output === undefined) throw new Error("the network has no output");
net.graph.rename(output, "output0");
const data = memory("shapes", { images: images(shapes), ...targets(shapes) });
const epochs = Number(process.argv[2] ?? 30);
await train(
  net,
  {
    data,
    epochs,
    batch: 32,
    learningRate: 3e-3,
    optimizer: "adam",
    loss,
    onEpoch: ({ loss: value, epoch }) => console.log(epoch, value),
  },
  { seed: 1 },
);
await save(net, detectorFile);

const test = drawShapes(300, 2);
const metric = meanAveragePrecision({ form: { layout: "[N, 4 + classes, boxes]", classes } });
const label = float32([test.count, maxBoxes, 5], test.labels);
const [rows] = await measure(createEngine(), [net], memory("test", { images: images(test), label }), [metric], {
  held: false,
});
console.log("mAP", estimate(metric, rows?.[0] ?? new Float64Array()));
