/** Blocks of generated networks: layers and the operations between them. A block without a suitable value to read adds an input. */
import type { AttributesOf, Emit } from "../../src/core/graph/emit.ts";
import type { Value } from "../../src/core/graph/graph.ts";
import { float32, int64 } from "../../src/core/tensor/dense.ts";
import { sameDims } from "../../src/core/tensor/dims.ts";
import { typeCodes } from "../../src/core/tensor/types.ts";
import { type Grower, sizeAt } from "./grow.ts";

export interface Block {
  /** The first opset that supports the block. */
  readonly since?: number;
  grow(g: Grower): void;
}

type ConvPlaces = AttributesOf<"Conv">;
type PoolPlaces = AttributesOf<"MaxPool">;

const smooth = ["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Elu", "HardSigmoid", "Softplus", "Softsign", "Selu"] as const;
const newer = ["HardSwish", "Gelu", "Mish", "Celu", "ThresholdedRelu", "Swish"] as const;
const sinceOf: Readonly<Record<string, number>> = { HardSwish: 14, Gelu: 20, Mish: 18, Celu: 12, Swish: 24 };

function activation(g: Grower, value: Value): Value {
  const which = g.choose(smooth.length + newer.length + 2);
  const op = which < smooth.length ? smooth[which] : newer[which - smooth.length];
  if (op !== undefined && (sinceOf[op] ?? 1) <= g.opset) return g.named(op)[op]([value]);
  return which % 2 === 0 ? g.emit.Clip([value, g.scalar(0), g.scalar(6)]) : value;
}

function batchNorm(g: Grower, value: Value): Value {
  const channels = sizeAt(g.dims(value), 1);
  const parts = [
    g.spread("bn.weight", channels),
    g.weight("bn.bias", [channels]),
    g.weight("bn.running_mean", [channels]),
    g.spread("bn.running_var", channels, "positive"),
  ];
  const epsilon = g.of([1e-5, 1e-3]);
  if (g.choose(4) === 3)
    for (const statistic of parts.slice(2))
      if (statistic.tensor !== undefined && statistic.uses.size === 0) statistic.role = { kind: "state" };
  return g.named("BatchNormalization").BatchNormalization([value, ...parts], { epsilon });
}

function multiplied(g: Grower, value: Value, outputs: number): Value {
  const inputs = sizeAt(g.dims(value), -1);
  return g.named("MatMul").MatMul([value, g.weight("weight", [inputs, outputs], inputs)]);
}

/** Picks a value, and another one of equal dimensions. */
function pair(g: Grower): readonly [Value, Value] {
  const first = g.anything();
  const dims = g.dims(first);
  const second = g.pick((other) => sameDims(other, dims)) ?? first;
  return [first, second];
}

/** Creates a vector along an axis, to be broadcast. */
function along(g: Grower, value: Value, part: string): Value | undefined {
  const dims = g.dims(value);
  const axis = dims.length === 4 ? 1 : dims.length - 1;
  const size = sizeAt(dims, axis);
  if (size === 0) return undefined;
  return g.weight(part, dims.length === 4 ? [size, 1, 1] : [size], 4);
}

export const layerBlocks: Readonly<Record<string, Block>> = {
  gemm: {
    grow(g) {
      const value = g.row();
      const [inputs, outputs] = [sizeAt(g.dims(value), 1), g.of([4, 1, 3, 8])];
      const transB = g.choose(2);
      const weight = g.weight("weight", transB === 1 ? [outputs, inputs] : [inputs, outputs], inputs);
      const bias = g.of([undefined, [outputs], [1, outputs], [1], []]);
      const scales = g.choose(4) < 3 ? {} : { alpha: 0.5, beta: -2 };
      const operands = [value, weight, ...(bias === undefined ? [] : [g.weight("bias", bias, 4)])];
      g.add(activation(g, g.named("Gemm").Gemm(operands, { ...(transB === 1 ? { transB } : {}), ...scales })));
    },
  },
  conv: {
    grow(g) {
      const value = g.image();
      const channels = sizeAt(g.dims(value), 1);
      const kernel = g.of([1, 3]);
      const [outputs, group] = g.of<readonly [number, number]>([
        [4, 1],
        [channels, channels],
        [2 * channels, channels],
        [1, 1],
        channels % 2 === 0 ? [6, 2] : [3, 1],
      ]);
      const weight = g.weight("weight", [outputs, channels / group, kernel, kernel], (channels / group) * kernel ** 2);
      const bias = g.choose(2) === 0 ? [] : [g.weight("bias", [outputs], 4)];
      const places = g.of<ConvPlaces>([
        { pads: new Array<number>(4).fill((kernel - 1) / 2) },
        { auto_pad: "SAME_UPPER", strides: [2, 2] },
        { pads: [2, 1, 1, 2], strides: [1, 2] },
        { pads: [2, 2, 2, 2], dilations: [2, 1] },
      ]);
      let out = g
        .named("Conv")
        .Conv([value, weight, ...bias], {
          ...places,
          ...(group === 1 ? {} : { group }),
          ...(g.choose(2) === 0 ? { kernel_shape: [kernel, kernel] } : {}),
        });
      if (g.choose(3) === 1) out = batchNorm(g, out);
      g.add(activation(g, out));
    },
  },
  matmul: {
    grow(g) {
      const value = g.features();
      const outputs = g.of([4, 1, 6, sizeAt(g.dims(value), -1)]);
      let out = multiplied(g, value, outputs);
      const bias = g.choose(3);
      if (bias > 0) {
        const vector = g.weight("bias", g.of([[outputs], [1, outputs], [1]]), 4);
        out = g.emit.Add(bias === 1 ? [out, vector] : [vector, out]);
      }
      g.add(activation(g, out));
    },
  },
  "weight on the left": {
    grow(g) {
      const value = g.pick((dims) => dims.length >= 2 && sizeAt(dims, -2) > 0) ?? g.sequence();
      const rows = sizeAt(g.dims(value), -2);
      if (rows > 0) g.add(g.named("MatMul").MatMul([g.weight("weight", [g.of([3, 1]), rows], rows), value]));
    },
  },
  "convolution over time": {
    grow(g) {
      const value = g.emit.Transpose([g.sequence()], { perm: [0, 2, 1] });
      const channels = sizeAt(g.dims(value), 1);
      const weight = g.weight("weight", [g.of([4, 2]), channels, 3], 3 * channels);
      const out = g.named("Conv").Conv([value, weight], {
        pads: g.of([
          [1, 1],
          [2, 0],
        ]),
        dilations: [1],
      });
      g.add(g.emit.Transpose([activation(g, out)], { perm: [0, 2, 1] }));
    },
  },
  "transposed convolution": {
    grow(g) {
      const value = g.image();
      const channels = sizeAt(g.dims(value), 1);
      const outputs = g.of([3, 1]);
      const weight = g.weight("weight", [channels, outputs, 2, 2], channels * 4);
      const bias = g.choose(2) === 0 ? [] : [g.weight("bias", [outputs], 4)];
      g.add(
        g.named("ConvTranspose").ConvTranspose([value, weight, ...bias], {
          strides: g.of([
            [2, 2],
            [1, 1],
          ]),
        }),
      );
    },
  },
  embedding: {
    grow(g) {
      const count = g.of([5, 1, 12]);
      const dims = g.choose(3) === 0 ? [g.batch()] : [g.batch(), 3];
      const type = g.of<"int64" | "int32">(["int64", "int32"]);
      const ids = g.input("ids", type, dims, { low: g.choose(3) === 2 ? -count : 0, high: count });
      const width = g.of([4, 1, 6]);
      const table = g.weight("weight", [count, width], 1);
      const rows = g.add(g.named("Gather").Gather([table, ids]));
      // The last layer reuses the embedding table, transposed in the graph or stored a second time.
      const again = g.choose(4);
      if (again < 2) return;
      const turned = again === 3 ? g.emit.Transpose([table], { perm: [1, 0] }) : g.copied(table);
      if (turned !== undefined) g.add(g.named("MatMul").MatMul([activation(g, rows), turned]));
    },
  },
  "one-hot": {
    grow(g) {
      const ids = g.input("label", "int64", [g.batch()], { low: 0, high: 4 });
      const hot = g.emit.OneHot([ids, g.constant(int64([], [4])), g.constant(float32([2], [0, 1]))]);
      g.add(multiplied(g, hot, 3));
    },
  },
  "two layers of one matrix, stored twice": {
    grow(g) {
      const value = g.features();
      const size = sizeAt(g.dims(value), -1);
      const weight = g.weight("weight", [size, size], size);
      const copy = g.copied(weight) ?? weight;
      const result = g.add(g.named("MatMul").MatMul([activation(g, g.named("MatMul").MatMul([value, weight])), copy]));
      const form = g.choose(3);
      if (form === 0) return;
      const other = form === 1 ? g.emit.Transpose([weight], { perm: [1, 0] }) : g.emit.Neg([weight]);
      g.add(g.named("MatMul").MatMul([result, other]));
    },
  },
  recurrent: {
    since: 14,
    grow(g) {
      const sequence = g.sequence();
      const value = g.emit.Transpose([sequence], { perm: [1, 0, 2] });
      const inputs = sizeAt(g.dims(value), 2);
      const [op, gates] = g.of<readonly ["RNN" | "GRU" | "LSTM", number]>([
        ["RNN", 1],
        ["GRU", 3],
        ["LSTM", 4],
      ]);
      const hidden = g.of([3, 1]);
      const [direction, directions] = g.of<readonly [string, number]>([
        ["forward", 1],
        ["reverse", 1],
        ["bidirectional", 2],
      ]);
      const w = g.weight("weight_ih", [directions, gates * hidden, inputs], inputs);
      const r = g.weight("weight_hh", [directions, gates * hidden, hidden], hidden);
      const b = g.choose(2) === 0 ? undefined : g.weight("bias", [directions, 2 * gates * hidden], 4);
      const state = g.choose(3);
      const start =
        state === 0
          ? undefined
          : state === 1
            ? g.constant(float32([directions, 1, hidden], new Array(directions * hidden).fill(0)))
            : g.input("state", "float32", [directions, g.dims(sequence)[0] ?? 1, hidden], { low: -1, high: 1 });
      const initial =
        start === undefined || state === 2
          ? start
          : g.emit.Expand([
              start,
              g.emit.Concat([g.ints([directions]), sizeOf(g, value, 1), g.ints([hidden])], { axis: 0 }),
            ]);
      const settings = {
        hidden_size: hidden,
        direction,
        ...(op === "GRU" ? { linear_before_reset: g.choose(2) } : {}),
      };
      const [all, last] = g.named(op).many(op, [value, w, r, b, undefined, initial], settings, 2);
      if (all === undefined || last === undefined) return;
      if (state === 2) g.add(last);
      // [length, directions, batch, hidden] → [batch, length, directions * hidden]
      const turned = g.emit.Transpose([all], { perm: [2, 0, 1, 3] });
      g.add(g.emit.Reshape([turned, g.ints([0, 0, directions * hidden])]));
    },
  },
  attention: {
    grow(g) {
      const value = g.sequence();
      const width = sizeAt(g.dims(value), 2);
      const [heads, size] = g.of<readonly [number, number]>([
        [1, width],
        [2, 2],
      ]);
      const turn = (perm: readonly number[]): Value =>
        g.emit.Transpose([g.emit.Reshape([multiplied(g, value, heads * size), g.ints([0, 0, heads, size])])], { perm });
      const [q, k, v] = [turn([0, 2, 1, 3]), turn([0, 2, 3, 1]), turn([0, 2, 1, 3])];
      const scores = g.emit.Div([g.emit.MatMul([q, k]), g.scalar(Math.sqrt(size))]);
      const mixed = g.emit.MatMul([g.emit.Softmax([scores], { axis: -1 }), v]);
      const back = g.emit.Reshape([g.emit.Transpose([mixed], { perm: [0, 2, 1, 3] }), g.ints([0, 0, heads * size])]);
      const out = multiplied(g, back, width);
      g.add(g.choose(2) === 0 ? out : g.emit.Add([out, value]));
    },
  },
  einsum: {
    grow(g) {
      const value = g.features();
      const inputs = sizeAt(g.dims(value), -1);
      g.add(g.emit.Einsum([value, g.weight("weight", [3, inputs], inputs)], { equation: "...i,oi->...o" }));
    },
  },
  "einsum to heads and back": {
    grow(g) {
      const value = g.features();
      const width = sizeAt(g.dims(value), -1);
      const heads = g.of([1, 2, 4]);
      const headwise = g.emit.Einsum([value, g.weight("weight", [width, heads, 3], width)], {
        equation: "...d,dhk->...hk",
      });
      g.add(g.emit.Einsum([headwise, g.weight("weight", [heads, 3, 5], heads * 3)], { equation: "...hk,hkd->...d" }));
    },
  },
  "batch normalization": {
    grow(g) {
      const value = g.pick((dims) => dims.length >= 2 && sizeAt(dims, 1) > 0) ?? g.image();
      g.add(batchNorm(g, value));
    },
  },
  "layer normalization": {
    since: 17,
    grow(g) {
      const value = g.features();
      const size = sizeAt(g.dims(value), -1);
      const parts = [g.spread("weight", size), ...(g.choose(2) === 0 ? [g.weight("bias", [size], 4)] : [])];
      g.add(g.named("LayerNormalization").LayerNormalization([value, ...parts], { epsilon: 1e-5 }));
    },
  },
  "layer normalization in parts": {
    grow(g) {
      const value = g.features();
      if (isEmpty(g, value)) return;
      const size = sizeAt(g.dims(value), -1);
      const mean = (input: Value): Value => reduced(g, "ReduceMean", input, [-1], 1);
      const centred = g.emit.Sub([value, mean(value)]);
      const variance = mean(g.emit.Pow([centred, g.scalar(2)]));
      const root = g.emit.Sqrt([g.emit.Add([variance, g.scalar(1e-5)])]);
      const scaled = g.emit.Mul([g.emit.Div([centred, root]), g.spread("weight", size)]);
      g.add(g.emit.Add([scaled, g.weight("bias", [size], 4)]));
    },
  },
  "instance normalization": {
    grow(g) {
      const value = g.image();
      // For a single position the output is the bias, but ONNX Runtime adds the rounding error of its products.
      if (
        g
          .dims(value)
          .slice(2)
          .every((dim) => dim === 1)
      )
        return;
      const channels = sizeAt(g.dims(value), 1);
      g.add(g.emit.InstanceNormalization([value, g.spread("weight", channels), g.weight("bias", [channels])]));
    },
  },
  "group normalization": {
    since: 21,
    grow(g) {
      const value = g.image();
      const channels = sizeAt(g.dims(value), 1);
      const groups = channels % 2 === 0 ? g.of([1, 2, channels]) : g.of([1, channels]);
      const parts = [g.spread("weight", channels), g.weight("bias", [channels])];
      g.add(g.emit.GroupNormalization([value, ...parts], { num_groups: groups }));
    },
  },
  activation: {
    grow(g) {
      g.add(activation(g, g.anything()));
    },
  },
  prelu: {
    grow(g) {
      const value = g.anything(2);
      const slope = along(g, value, "slope") ?? g.scalar(0.1);
      g.add(g.emit.PRelu([value, slope]));
    },
  },
  residual: {
    grow(g) {
      const [first, second] = pair(g);
      g.add(g.emit[g.of(["Add", "Mul", "Sub", "Max", "Min"] as const)]([first, second]));
    },
  },
  "affine by stored numbers": {
    grow(g) {
      const value = g.anything();
      const stored = g.choose(3) === 0 ? g.scalar(g.of([0.5, 1, 0, -1])) : (along(g, value, "scale") ?? g.scalar(2));
      const op = g.of(["Mul", "Add", "Sub", "Div"] as const);
      const divisor = op === "Div" ? g.scalar(g.of([2, 1, -0.25])) : stored;
      g.add(g.emit[op](g.choose(2) === 0 || op === "Div" ? [value, divisor] : [divisor, value]));
    },
  },
  "squeeze and excite": {
    grow(g) {
      const value = g.image();
      const channels = sizeAt(g.dims(value), 1);
      const pooled = g.emit.GlobalAveragePool([value]);
      const down = g.emit.Conv([pooled, g.weight("down.weight", [2, channels, 1, 1], channels)]);
      const up = g.emit.Conv([g.emit.Relu([down]), g.weight("up.weight", [channels, 2, 1, 1], 2)]);
      g.add(g.emit.Mul([value, g.emit.Sigmoid([up])]));
    },
  },
  "pool and flatten": {
    grow(g) {
      const pooled = g.emit[g.of(["GlobalAveragePool", "GlobalMaxPool"] as const)]([g.image()]);
      g.add(g.choose(2) === 0 ? g.emit.Flatten([pooled]) : g.emit.Reshape([pooled, g.ints([0, -1])]));
    },
  },
  pool: {
    grow(g) {
      const value = g.image();
      const settings = g.of<PoolPlaces>([
        { kernel_shape: [2, 2], strides: [2, 2], auto_pad: "SAME_UPPER" },
        { kernel_shape: [3, 3], pads: [1, 1, 1, 1] },
        { kernel_shape: [3, 1], pads: [1, 0, 1, 0], strides: [2, 1] },
      ]);
      const op = g.of(["MaxPool", "AveragePool"] as const);
      const ceil = g.choose(3) === 2 && !("auto_pad" in settings) ? { ceil_mode: 1 } : {};
      const counted = op === "AveragePool" && g.choose(2) === 1 ? { count_include_pad: 1 } : {};
      g.add(g.emit[op]([value], { ...settings, ...(g.opset >= 19 || op === "MaxPool" ? ceil : {}), ...counted }));
    },
  },
  "layers whose weights are codes": {
    grow(g) {
      const kind = g.choose(4);
      if (kind === 3) {
        const value = g.image();
        const channels = sizeAt(g.dims(value), 1);
        const conv = g.named("Conv").Conv([value, g.codes("weight", [4, channels, 1, 1], channels)]);
        g.add(activation(g, conv));
        return;
      }
      const value = kind === 2 ? g.features() : g.row();
      const [inputs, outputs] = [sizeAt(g.dims(value), -1), g.of([4, 1, 3])];
      const weight = g.codes("weight", kind === 1 ? [outputs, inputs] : [inputs, outputs], inputs);
      const operands = [value, weight, ...(g.choose(2) === 0 ? [] : [g.weight("bias", [outputs], 4)])];
      const product =
        kind === 2
          ? g.named("MatMul").MatMul(operands.slice(0, 2))
          : g.named("Gemm").Gemm(operands, kind === 1 ? { transB: 1 } : {});
      g.add(activation(g, product));
    },
  },
  "layers around a clamp that only lets 0 pass": {
    grow(g) {
      const value = g.features();
      const outputs = g.of([4, 3]);
      const shift = g.of([-50, -1000, 50]);
      const far = g.constant(float32([outputs], new Array<number>(outputs).fill(shift)));
      const shifted = g.emit.Add([multiplied(g, value, outputs), far]);
      const bounds = shift > 0 ? [-1, 0] : [0, 6];
      const clamped =
        shift < 0 && g.choose(2) === 0
          ? g.emit.Relu([shifted])
          : g.emit.Clip([shifted, ...bounds.map((bound) => g.scalar(bound))]);
      g.add(multiplied(g, clamped, 3));
    },
  },
  "layers of another type": {
    grow(g) {
      const value = g.features();
      const type = g.of(["float16", "float64", "bfloat16"] as const);
      const [inputs, outputs] = [sizeAt(g.dims(value), -1), g.of([4, 1, 3])];
      const first = g.typed("weight", type, [inputs, outputs], inputs);
      // The runtime has no bfloat16 arithmetic: weights are stored in bfloat16 and computed in float32.
      if (type === "bfloat16") {
        g.add(activation(g, g.named("MatMul").MatMul([value, g.emit.Cast([first], { to: typeCodes.float32 })])));
        return;
      }
      const product = g.named("MatMul").MatMul([g.emit.Cast([value], { to: typeCodes[type] }), first]);
      const second = (): Value =>
        g.named("MatMul").MatMul([g.emit.Relu([product]), g.typed("second.weight", type, [outputs, 3], outputs)]);
      g.add(g.emit.Cast([g.choose(2) === 0 ? product : second()], { to: typeCodes.float32 }));
    },
  },
  softmax: {
    grow(g) {
      g.add(g.emit[g.of(["Softmax", "LogSoftmax"] as const)]([g.anything(2)], { axis: g.of([-1, 1]) }));
    },
  },
  "local response": {
    grow(g) {
      // With the default alpha the output is nearly equal to the input.
      g.add(g.emit.LRN([g.image()], { size: 3, alpha: 0.5 }));
    },
  },
};

/** Computes the size of an axis in the graph, as a vector of one number. */
export function sizeOf(g: Grower, value: Value, axis: number): Value {
  return g.emit.Gather([g.emit.Shape([value]), g.ints([axis])]);
}

/** Returns whether an axis is empty: for empty axes ONNX Runtime returns means of the wrong size. */
export function isEmpty(g: Grower, value: Value): boolean {
  return g.dims(value).includes(0);
}

type Reduction = "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceL2" | "ReduceMin" | "ReduceProd";

/** Reduces a value over axes, which are an attribute in older opsets. */
export function reduced(g: Grower, op: Reduction, value: Value, axes: readonly number[], keepdims: number): Value {
  const emit: Emit = g.emit;
  const since = op === "ReduceSum" ? 13 : 18;
  return g.opset >= since ? emit[op]([value, g.ints(axes)], { keepdims }) : emit[op]([value], { axes, keepdims });
}
