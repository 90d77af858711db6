/** Blocks that change shapes: layout, splitting and joining, control flow, computed sizes, empty axes. */
import type { Value } from "../../src/core/graph/graph.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import { float32, int64 } from "../../src/core/tensor/dense.ts";
import { type Dim, symbol } from "../../src/core/tensor/dims.ts";
import { type Block, isEmpty, reduced, sizeOf } from "./blocks.ts";
import { allFixed, type Grower, sizeAt } from "./grow.ts";

/** Picks a value and one of its axes with a known size. */
function axisOf(g: Grower, least = 1): readonly [value: Value, axis: number, size: number] {
  const fits = (dims: readonly Dim[]): boolean =>
    dims.length > 0 && dims.some((_, axis) => sizeAt(dims, axis) >= least);
  const value = g.pick(fits) ?? g.row();
  const dims = g.dims(value);
  const axes = dims.flatMap((_, axis) => (sizeAt(dims, axis) >= least ? [axis] : []));
  const axis = axes.toReversed()[g.choose(axes.length)] ?? dims.length - 1;
  return [value, axis, sizeAt(dims, axis)];
}

function slice(g: Grower, value: Value, axis: number, from: number, to: number, step = 1): Value {
  return g.emit.Slice([value, g.ints([from]), g.ints([to]), g.ints([axis]), ...(step === 1 ? [] : [g.ints([step])])]);
}

export const shapingBlocks: Readonly<Record<string, Block>> = {
  concat: {
    grow(g) {
      const [value, axis] = axisOf(g);
      const dims = g.dims(value);
      const fits = (other: readonly Dim[]): boolean =>
        other.length === dims.length && other.every((dim, at) => at === axis || dim === dims[at]);
      const other = g.pick(fits) ?? value;
      g.add(g.emit.Concat(g.choose(2) === 0 ? [value, other] : [other, value, other], { axis }));
    },
  },
  split: {
    grow(g) {
      const [value, axis, size] = axisOf(g, 2);
      if (size < 2) return;
      const width = g.of([1, size - 1, Math.floor(size / 2)]);
      const [first, second] = g.emit.many("Split", [value, g.ints([width, size - width])], { axis }, 2);
      g.add(first);
      g.add(g.choose(2) === 0 ? second : first);
    },
  },
  slice: {
    grow(g) {
      const [value, axis, size] = axisOf(g);
      const [from, to, step] = g.of([
        [0, size - 1 || size, 1],
        [-1, 1e6, 1],
        [0, size, 2],
        [-1, -1e6, -1],
        [1, size, 1],
      ] as const);
      g.add(slice(g, value, axis, from, to, step));
    },
  },
  "sliced apart and joined": {
    grow(g) {
      const [value, axis, size] = axisOf(g, 2);
      const middle = Math.ceil(size / 2);
      const [lower, upper] = [slice(g, value, axis, 0, middle), slice(g, value, axis, middle, size)];
      g.add(g.emit.Concat(g.choose(2) === 0 ? [lower, upper] : [upper, lower], { axis }));
    },
  },
  "channel shuffle": {
    grow(g) {
      const value = g.image();
      const channels = sizeAt(g.dims(value), 1);
      if (channels % 2 === 1) return;
      const height = sizeOf(g, value, 2);
      const splitShape = g.emit.Concat([g.ints([0, 2, channels / 2]), height, g.ints([-1])], { axis: 0 });
      const turned = g.emit.Transpose([g.emit.Reshape([value, splitShape])], { perm: [0, 2, 1, 3, 4] });
      const joinedShape = g.emit.Concat([g.ints([0, channels]), height, g.ints([-1])], { axis: 0 });
      g.add(g.emit.Reshape([turned, joinedShape]));
    },
  },
  flatten: {
    grow(g) {
      g.add(g.emit.Flatten([g.anything(2)], g.choose(3) === 2 ? { axis: g.of([0, 2]) } : {}));
    },
  },
  "reshape by a stored shape": {
    grow(g) {
      const value = g.pick((dims) => dims.length >= 2 && allFixed(dims.slice(1))) ?? g.row();
      const count = g
        .dims(value)
        .slice(1)
        .reduce<number>((product, dim) => product * Number(dim), 1);
      const shape = g.of([
        [0, count],
        [0, -1],
        [-1, count],
        [0, 1, count],
        [0, count, 1, 1],
      ]);
      if (count > 0) g.add(g.emit.Reshape([value, g.ints(shape)]));
    },
  },
  "reshape by a computed shape": {
    grow(g) {
      const value = g.anything(2);
      const batch = sizeOf(g, value, 0);
      const rest = g.choose(2) === 0 ? g.ints([-1]) : product(g, value);
      g.add(g.emit.Reshape([value, g.emit.Concat([batch, rest], { axis: 0 })]));
    },
  },
  transpose: {
    grow(g) {
      const value = g.anything(2);
      const axes = g.dims(value).map((_, axis) => axis);
      const [first = 0, ...rest] = axes;
      g.add(g.emit.Transpose([value], { perm: g.of([[first, ...rest.toReversed()], axes, [...rest, first]]) }));
    },
  },
  "transposed twice": {
    grow(g) {
      const value = g.anything(3);
      const axes = g.dims(value).map((_, axis) => axis);
      if (axes.length < 3) return;
      const perm = [0, ...axes.slice(2), 1];
      const back = [0, axes.length - 1, ...axes.slice(1, -1)];
      const there = g.emit.Transpose([value], { perm });
      g.add(g.emit.Transpose([g.choose(2) === 0 ? there : g.emit.Relu([there])], { perm: back }));
    },
  },
  "axes of one": {
    grow(g) {
      const value = g.anything();
      const axis = g.choose(g.dims(value).length + 1);
      const more = g.emit.Unsqueeze([value, g.ints([axis])]);
      const kept = g.choose(3);
      g.add(kept === 0 ? more : g.emit.Squeeze([g.emit.Neg([more]), g.ints([axis])]));
    },
  },
  reduction: {
    grow(g) {
      const value = g.anything(2);
      if (isEmpty(g, value)) return;
      const op = g.of(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2", "ReduceMin"] as const);
      g.add(reduced(g, op, value, [g.of([-1, 1])], g.choose(2)));
    },
  },
  resize: {
    since: 13,
    grow(g) {
      const value = g.image();
      const mode = g.of(["nearest", "linear"]);
      const scales = g.constant(float32([4], [1, 1, 2, 2]));
      if (g.choose(2) === 0) {
        g.add(g.emit.Resize([value, undefined, scales], { mode, coordinate_transformation_mode: "asymmetric" }));
        return;
      }
      const sizes = g.emit.Concat([sizeOf(g, value, 0), sizeOf(g, value, 1), g.ints([7, 3])], { axis: 0 });
      g.add(g.emit.Resize([value, undefined, undefined, sizes], { mode }));
    },
  },
  pad: {
    grow(g) {
      const value = g.image();
      const pads = g.of([
        [0, 0, 1, 0, 0, 0, 0, 2],
        [0, 1, 0, 0, 0, 2, 0, 0],
        [0, 0, -0, 0, 0, 0, 0, 0],
      ]);
      g.add(g.emit.Pad(g.choose(2) === 0 ? [value, g.ints(pads)] : [value, g.ints(pads), g.scalar(0.5)]));
    },
  },
  "depth to space": {
    grow(g) {
      const value = g.image();
      const wide = g.emit.Conv([value, g.weight("weight", [8, sizeAt(g.dims(value), 1), 1, 1])]);
      g.add(g.emit.DepthToSpace([wide], { blocksize: 2, mode: g.of(["DCR", "CRD"]) }));
    },
  },
  expand: {
    grow(g) {
      const value = g.anything(2);
      if (isEmpty(g, value)) return;
      const mean = reduced(g, "ReduceMean", value, [1], 1);
      const shape =
        g.choose(2) === 0
          ? g.emit.Shape([value])
          : g.ints([
              1,
              3,
              ...g
                .dims(value)
                .slice(2)
                .map(() => 1),
            ]);
      g.add(g.emit.Expand([mean, shape]));
    },
  },
  gather: {
    grow(g) {
      const [value, axis, size] = axisOf(g);
      const indices = g.of([[0], [size - 1, 0], [-1], [0, 0, 0]]);
      const single = g.choose(3) === 2;
      const at = single ? g.constant(int64([], indices.slice(0, 1))) : g.ints(indices);
      g.add(g.emit.Gather([value, at], { axis }));
    },
  },
  where: {
    grow(g) {
      const value = g.anything();
      const stored = g.scalar(g.of([0, -1e9, 0.1]));
      const high = g.emit.Greater([value, g.scalar(g.of([0.03, 1e9, -1e9]))]);
      g.add(g.emit.Where(g.choose(2) === 0 ? [high, value, stored] : [high, stored, value]));
    },
  },
  "casts there and back": {
    grow(g) {
      const value = g.anything();
      const wide = g.emit.Cast([value], { to: g.of([11, 1]) });
      g.add(g.emit.Cast([g.choose(2) === 0 ? g.emit.Mul([wide, wide]) : wide], { to: 1 }));
    },
  },
  "does nothing": {
    grow(g) {
      const value = g.anything();
      const which = g.choose(4);
      if (which === 0) g.add(g.emit.Identity([value]));
      if (which === 1) g.add(g.emit.Dropout([value]));
      if (which === 2) g.add(g.emit.Add([g.emit.Mul([value, g.scalar(1)]), g.scalar(0)]));
      if (which === 3) g.add(g.emit.Neg([g.emit.Neg([value])]));
    },
  },
  "stored numbers alone": {
    grow(g) {
      const value = g.anything();
      const computed = g.emit.Mul([g.scalar(0.5), g.emit.Exp([g.scalar(g.of([0, 1, -2]))])]);
      g.add(g.emit.Mul([value, computed]));
    },
  },
  "the same twice": {
    grow(g) {
      const value = g.features();
      const twice = [g.emit.Sigmoid([value]), g.emit.Sigmoid([value])];
      g.add(g.emit.Add(twice));
    },
  },
  "an empty axis": {
    grow(g) {
      const [value, axis] = axisOf(g);
      const none =
        g.choose(2) === 0 ? slice(g, value, axis, 0, 0) : g.emit.Gather([value, g.constant(int64([0], []))], { axis });
      g.add(g.choose(2) === 0 ? g.emit.Concat([none, value], { axis }) : none);
    },
  },
  if: {
    grow(g) {
      const value = g.features();
      const size = sizeAt(g.dims(value), -1);
      const stored = g.choose(3);
      const flag =
        stored === 0
          ? g.emit.Greater([reduced(g, "ReduceSum", g.emit.Flatten([value], { axis: 0 }), [0, 1], 0), g.scalar(0)])
          : stored === 1
            ? g.input("flag", "bool", [], { low: 0, high: 2 })
            : g.constant(fromNumbers("bool", [], [g.choose(2)]));
      const outer = g.weight("weight", [size, 3], size);
      const weight = (name: string): Value => (g.choose(2) === 0 ? outer : g.weight(name, [size, 3], size));
      const [first, second] = [weight("then.weight"), weight("else.weight")];
      g.add(
        g.emit.If([flag], {
          then_branch: (emit) => [emit.Relu([emit.MatMul([value, first])])],
          else_branch: (emit) => [emit.MatMul([emit.Tanh([value]), second])],
        }),
      );
    },
  },
  loop: {
    grow(g) {
      const value = g.features();
      const size = sizeAt(g.dims(value), -1);
      const weight = g.weight("weight", [size, size], size);
      const turns =
        g.choose(2) === 0
          ? g.constant(int64([], [g.of([2, 0, 1])]))
          : g.input("turns", "int64", [], { low: 1, high: 3 });
      const type = { type: "float32", dims: g.dims(value) } as const;
      const bias = float32([size], new Array(size).fill(0.1));
      const body = (emit: Grower["emit"], graph: Parameters<Parameters<Grower["emit"]["Loop"]>[1]["body"]>[1]) => {
        graph.addInput("turn", { type: "int64", dims: [] });
        const go = graph.addInput("still", { type: "bool", dims: [] });
        const carried = graph.addInput("carried", type);
        const next = emit.Tanh([emit.Add([emit.MatMul([carried, weight]), emit.constant(bias, "inner.bias")])]);
        return [emit.Identity([go]), next];
      };
      g.add(g.emit.Loop([turns, undefined, value], { body }));
    },
  },
  scan: {
    grow(g) {
      const value = g.row();
      const size = sizeAt(g.dims(value), 1);
      const weight = g.weight("weight", [size, size], size);
      const start = g.constant(float32([size], new Array(size).fill(0)));
      const type = { type: "float32", dims: [size] } as const;
      const body = (emit: Grower["emit"], graph: Parameters<Parameters<Grower["emit"]["Loop"]>[1]["body"]>[1]) => {
        const state = graph.addInput("state_in", type);
        const item = graph.addInput("item", type);
        const next = emit.Tanh([emit.Add([emit.MatMul([item, weight]), state])]);
        return [next, emit.Identity([next])];
      };
      const [last, all] = g.emit.many("Scan", [start, value], { num_scan_inputs: 1, body }, 2);
      g.add(last);
      g.add(all);
    },
  },
  "a mask that is fed": {
    grow(g) {
      const value = g.sequence();
      const dims = g.dims(value);
      const mask = g.input("attention_mask", "int64", dims.slice(0, 2), { low: 0, high: 2 });
      const wide = g.emit.Unsqueeze([g.emit.Cast([mask], { to: 1 }), g.ints([-1])]);
      const penalty = g.emit.Mul([g.emit.Sub([g.scalar(1), wide]), g.scalar(-10000)]);
      g.add(g.emit.Softmax([g.emit.Add([value, penalty])], { axis: -1 }));
    },
  },
  "what was before": {
    grow(g) {
      // The cache of a decoder: an input with earlier positions, and an output with the new ones appended.
      const value = g.sequence();
      const dims = g.dims(value);
      const past = g.input("past_key", "float32", [dims[0] ?? 1, g.of([symbol("past"), 2]), dims[2] ?? 1], {
        low: -1,
        high: 1,
      });
      const present = g.add(g.named("Concat").Concat([past, value], { axis: 1 }));
      const scores = g.emit.MatMul([value, g.emit.Transpose([present], { perm: [0, 2, 1] })]);
      g.add(g.emit.MatMul([g.emit.Softmax([scores], { axis: -1 }), present]));
    },
  },
  "a number that is fed": {
    grow(g) {
      const value = g.anything();
      const number = g.input("temperature", "float32", g.of([[], [1]]), { low: 0.5, high: 2 });
      g.add(g.choose(2) === 0 ? g.emit.Mul([value, number]) : g.emit.Div([value, number]));
    },
  },
  "answers that are no floats": {
    grow(g) {
      const value = g.anything();
      const answer = g.of([
        () => g.emit.Shape([value]),
        () => g.emit.Size([value]),
        () => g.emit.IsNaN([value]),
        () => g.emit.Add([g.input("count", "int64", [g.batch()], { low: 0, high: 9 }), g.ints([1])]),
      ])();
      g.model.graph.setOutputs([...g.model.graph.outputs, answer]);
    },
  },
  positions: {
    grow(g) {
      const value = g.sequence();
      const size = sizeAt(g.dims(value), 2);
      const table = g.weight("position.weight", [16, size], 1);
      const length = g.emit.Squeeze([sizeOf(g, value, 1), g.ints([0])]);
      const range = g.emit.Range([g.constant(int64([], [0])), length, g.constant(int64([], [1]))]);
      g.add(g.emit.Add([value, g.emit.Gather([table, range])]));
    },
  },
  "largest and where": {
    grow(g) {
      const [value, axis, size] = axisOf(g);
      // ONNX Runtime crashes on an empty value.
      if (isEmpty(g, value)) return;
      const count = g.ints([g.of([1, size])]);
      const [best] = g.emit.many("TopK", [value, count], { axis }, 2);
      g.add(best);
    },
  },
  "running sum": {
    grow(g) {
      g.add(g.emit.CumSum([g.anything(2), g.constant(int64([], [1]))]));
    },
  },
};

/** Computes the product of the sizes of all axes except the first, as older exporters do. */
function product(g: Grower, value: Value): Value {
  const rest = g.dims(value).slice(1);
  return rest.map((_, at) => sizeOf(g, value, at + 1)).reduce((sum, size) => g.emit.Mul([sum, size]));
}
