/**
 * Recurrent layers: RNN, GRU and LSTM, with D directions, H hidden units and G gates (`layout` 1: batch first)
 * X: steps × batch × inputs, W: D × G·H × inputs, R: D × G·H × H, B: D × 2·G·H (of W, then of R), P (peepholes of LSTM): D × 3·H;
 * Y: steps × D × batch × H, and the last states D × batch × H.
 * - RNN: h' = f(W·x + R·h + b)
 * - GRU (gates z, r, h): h' = (1 - z) ∘ g(W·x + R·(r ∘ h) + b) + z ∘ h; with `linear_before_reset` r ∘ (R·h + b_R) replaces R·(r ∘ h)
 * - LSTM (gates i, o, f, c): c' = f ∘ c + i ∘ g(…), h' = o ∘ h(c'); a peephole adds P ∘ c to the gates; `input_forget` makes f = 1 - i
 * A finished sample keeps its state, and its Y is 0. The primitives unroll the steps, so their number must be known.
 * Removing a hidden unit (its rows of all gates, its column of R) equals reading it as 0.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { addDims, type Dim, elementCount, multiplyDims, unknownDim } from "../tensor/dims.ts";
import {
  type AxisEnd,
  type AxisLink,
  defineOp,
  type Inferred,
  type Inputs,
  type Op,
  type Site,
  type WeightRole,
} from "./define.ts";
import { type Activation, writeActivation, readActivations } from "./shared/activations.ts";
import { readFloat, readFlag, readInteger, readString } from "./shared/attributes.ts";
import { countAttribute, requireInput, range, requireLengths, requireValue, scalar, typeOf, withDims } from "./shared/rules.ts";

type Kind = "RNN" | "GRU" | "LSTM";

const gatesOf: Readonly<Record<Kind, number>> = { RNN: 1, GRU: 3, LSTM: 4 };
const defaults: Readonly<Record<Kind, readonly string[]>> = {
  RNN: ["Tanh"],
  GRU: ["Sigmoid", "Tanh"],
  LSTM: ["Sigmoid", "Tanh", "Tanh"],
};

interface Settings {
  readonly hidden: Dim;
  readonly backward: readonly boolean[];
  readonly batchFirst: boolean;
  readonly clip: number | undefined;
  readonly activations: readonly (readonly Activation[])[];
  readonly linearBeforeReset: boolean;
  readonly inputForget: boolean;
}

function read(kind: Kind, site: Site): Settings | Miss {
  const direction = readString(site, "direction", "forward");
  const backward = direction === "bidirectional" ? [false, true] : [direction === "reverse"];
  const activations = readActivations(site, defaults[kind], backward.length);
  if (activations instanceof Miss) return activations;
  const hidden = site.inputs[2]?.dims?.[2] ?? readInteger(site, "hidden_size", 0);
  return {
    hidden,
    backward,
    batchFirst: readFlag(site, "layout"),
    clip: readFloat(site, "clip", undefined),
    activations,
    linearBeforeReset: readFlag(site, "linear_before_reset"),
    inputForget: readFlag(site, "input_forget"),
  };
}

function infer(s: Settings, site: Site): readonly Inferred[] {
  const { type, dims } = requireInput(site, 0);
  const count = s.backward.length;
  if (dims === undefined) return range(3).map(() => ({ type, dims }));
  const [first = 1, second = 1] = dims;
  const [steps, batch] = s.batchFirst ? [second, first] : [first, second];
  const state: Inferred = { type, dims: s.batchFirst ? [batch, count, s.hidden] : [count, batch, s.hidden] };
  const all = s.batchFirst ? [batch, steps, count, s.hidden] : [steps, count, batch, s.hidden];
  return [{ type, dims: all }, state, state];
}

/** Links the axes: inputs of the layer are summed over; a hidden unit is a row of each gate, in all directions. */
function linkAxes(kind: Kind, s: Settings): readonly AxisLink[] {
  const [steps, batch] = s.batchFirst ? [1, 0] : [0, 1];
  const state = s.batchFirst ? 0 : 1;
  const unit = ["in2", 2] as const;
  const { hidden } = s;
  const rows = (port: AxisEnd[0], parts: number): AxisLink => ({
    from: unit,
    to: [port, 1],
    map: (index) => (typeof hidden === "number" ? range(parts).map((part) => part * hidden + index) : []),
  });
  const states = (["in5", "in6"] as const).flatMap((port): AxisLink[] => [
    { from: [port, state], to: ["in0", batch] },
    { from: [port, 1 - state], to: ["in1", 0] },
    { from: [port, 2], to: unit },
  ]);
  return [
    { from: ["in0", batch], to: ["out0", s.batchFirst ? 0 : 2] },
    { from: ["in0", batch], to: ["out1", state] },
    { from: ["in0", batch], to: ["out2", state] },
    ...states,
    { from: ["in4", 0], to: ["in0", batch] },
    { from: ["in0", 2], to: ["in1", 2] },
    { refuses: ["in0", steps], reason: "each step depends on the one before" },
    { refuses: ["in1", 0], reason: "directions are separate" },
    rows("in1", gatesOf[kind]),
    rows("in2", gatesOf[kind]),
    rows("in3", 2 * gatesOf[kind]),
    rows("in7", 3),
    { absorbs: unit },
    { from: unit, to: ["out0", 3] },
    { from: unit, to: ["out1", 2] },
    { from: unit, to: ["out2", 2] },
  ];
}

/** Returns the matrices of inputs and state: a stack of directions, whose rows are all gates of all hidden units. */
function weights(site: Site): readonly WeightRole[] | Miss {
  const bias = site.inputs[3]?.stored === true ? { bias: 3 } : {};
  const common = { out: 1, in: 2, groups: 1, stack: [0], dataAxis: 2, outputAxis: 3 };
  const roles: readonly WeightRole[] = [
    { ...common, input: 1, data: 0, ...bias },
    { ...common, input: 2, data: 5, part: "recurrence" },
  ];
  const storedRoles = roles.filter(({ input }) => site.inputs[input]?.stored === true);
  return storedRoles.length === 0 ? new Miss("the weights are activations") : storedRoles;
}

/** The maximum number of unrolled steps: more would make tens of thousands of nodes. */
const maxSteps = 512;

interface Direction {
  readonly s: Settings;
  readonly emit: Emit;
  readonly functions: readonly Activation[];
  /** H × G·H */
  readonly recurrence: Value;
  /** b_R, if it cannot be added beforehand (`linear_before_reset`). */
  readonly recurrenceBias: Value | undefined;
  readonly peepholes: readonly Value[] | undefined;
  readonly hidden: number;
}

interface State {
  readonly h: Value;
  readonly c: Value | undefined;
}

function gate({ s, emit, functions }: Direction, sum: Value, which: number): Value {
  const limited = s.clip === undefined ? sum : emit.Clip([sum, -s.clip, s.clip]);
  return writeActivation(emit, limited, functions[which] as Activation);
}

function split(emit: Emit, value: Value, parts: number, size: number, axis = -1): readonly Value[] {
  if (parts === 1 && axis === -1) return [value];
  return emit.many("Split", [value, new Array<number>(parts).fill(size)], { axis }, parts);
}

function stepRNN(d: Direction, x: Value, { h }: State): State {
  return { h: gate(d, d.emit.Add([x, d.emit.MatMul([h, d.recurrence])]), 0), c: undefined };
}

function stepGRU(d: Direction, x: Value, { h }: State): State {
  const { emit, hidden } = d;
  const [xz, xr, xh] = split(emit, x, 3, hidden);
  const sum = (a: Value | undefined, b: Value | undefined): Value => emit.Add([a, b]);
  // (1 - z) ∘ candidate + z ∘ h
  const blend = (z: Value, candidate: Value): State => ({
    h: sum(candidate, emit.Mul([z, emit.Sub([h, candidate])])),
    c: undefined,
  });
  if (d.s.linearBeforeReset) {
    const product = emit.MatMul([h, d.recurrence]);
    const biased = d.recurrenceBias === undefined ? product : sum(product, d.recurrenceBias);
    const [rz, rr, rh] = split(emit, biased, 3, hidden);
    const z = gate(d, sum(xz, rz), 0);
    const r = gate(d, sum(xr, rr), 0);
    return blend(z, gate(d, sum(xh, emit.Mul([r, rh])), 1));
  }
  const [rz, rr, rh] = split(emit, d.recurrence, 3, hidden);
  const z = gate(d, sum(xz, emit.MatMul([h, rz])), 0);
  const r = gate(d, sum(xr, emit.MatMul([h, rr])), 0);
  return blend(z, gate(d, sum(xh, emit.MatMul([emit.Mul([r, h]), rh])), 1));
}

function stepLSTM(d: Direction, x: Value, { h, c }: State): State {
  const { emit } = d;
  const [xi, xo, xf, xc] = split(emit, emit.Add([x, emit.MatMul([h, d.recurrence])]), 4, d.hidden);
  const addPeephole = (value: Value | undefined, index: number, cell: Value | undefined): Value =>
    d.peepholes === undefined ? requireValue(value) : emit.Add([value, emit.Mul([d.peepholes[index], cell])]);
  const input = gate(d, addPeephole(xi, 0, c), 0);
  const forget = d.s.inputForget ? emit.Sub([1, input]) : gate(d, addPeephole(xf, 2, c), 0);
  const candidate = gate(d, requireValue(xc), 1);
  const cell = emit.Add([emit.Mul([forget, c]), emit.Mul([input, candidate])]);
  const output = gate(d, addPeephole(xo, 1, cell), 0);
  return { h: emit.Mul([output, gate(d, cell, 2)]), c: cell };
}

const stepOf = { RNN: stepRNN, GRU: stepGRU, LSTM: stepLSTM };

function pick(emit: Emit, value: Value | undefined, direction: number, axis = 0): Value {
  return emit.Gather([value, emit.constant(fromNumbers("int64", [], [direction]), "direction")], { axis });
}

function zeroState(emit: Emit, x: Value, hidden: number): Value {
  const batch = emit.Shape([x], { start: 1, end: 2 });
  return emit.Expand([scalar(emit, typeOf(x), 0), emit.Concat([batch, [hidden]], { axis: 0 })]);
}

function stackParts(emit: Emit, parts: readonly Value[], axis: number): Value {
  const layers = parts.map((part) => emit.Unsqueeze([part, [axis]]));
  const [only] = layers;
  return layers.length === 1 && only !== undefined ? only : emit.Concat(layers, { axis });
}

function lower(kind: Kind, s: Settings, emit: Emit, inputs: Inputs): readonly Value[] | Miss {
  const [data, w, r, b, lengths, h0, c0, p] = inputs;
  const count = data.type?.dims?.[s.batchFirst ? 1 : 0];
  const { hidden } = s;
  if (typeof count !== "number" || typeof hidden !== "number")
    return new Miss("the number of steps or hidden units is not known");
  if (count > maxSteps || count === 0) return new Miss(`${count} steps are too many to unroll`);
  const gates = gatesOf[kind];
  const x = s.batchFirst ? emit.Transpose([data], { perm: [1, 0, 2] }) : data;
  const stateAxis = s.batchFirst ? 1 : 0;
  const valid = range(count).map((step) => {
    if (lengths === undefined) return undefined;
    const isActive = emit.Greater([lengths, emit.constant(fromNumbers("int32", [], [step]), "step")]);
    return emit.Unsqueeze([isActive, [1]]);
  });

  const directions = s.backward.map((backward, index) => {
    const matrix = (value: Value | undefined): Value => emit.Transpose([pick(emit, value, index)], { perm: [1, 0] });
    const [biasW, biasR] = b === undefined ? [] : split(emit, pick(emit, b, index), 2, gates * hidden);
    const isSeparate = s.linearBeforeReset && kind === "GRU";
    const bias = biasW === undefined || biasR === undefined || isSeparate ? biasW : emit.Add([biasW, biasR]);
    const product = emit.MatMul([x, matrix(w)]);
    const sums = bias === undefined ? product : emit.Add([product, bias]);
    const steps = split(emit, sums, count, 1, 0).map((part) => emit.Squeeze([part, [0]]));
    const direction: Direction = {
      s,
      emit,
      functions: s.activations[index] ?? [],
      recurrence: matrix(r),
      recurrenceBias: isSeparate ? biasR : undefined,
      peepholes: p && split(emit, pick(emit, p, index), 3, hidden),
      hidden,
    };
    const initial = (value: Value | undefined): Value =>
      value === undefined ? zeroState(emit, x, hidden) : pick(emit, value, index, stateAxis);
    let state: State = { h: initial(h0), c: kind === "LSTM" ? initial(c0) : undefined };
    const outputs = new Array<Value>(count);
    for (const step of backward ? range(count).reverse() : range(count)) {
      const next = stepOf[kind](direction, requireValue(steps[step]), state);
      const mask = valid[step];
      const keep = (updated: Value, before: Value): Value =>
        mask === undefined ? updated : emit.Where([mask, updated, before]);
      outputs[step] = mask === undefined ? next.h : emit.Where([mask, next.h, 0]);
      state = { h: keep(next.h, state.h), c: next.c && state.c && keep(next.c, state.c) };
    }
    return { y: stackParts(emit, outputs, 0), ...state };
  });

  const stack = (key: "y" | "h" | "c", axis: number): readonly Value[] => {
    const parts = directions.flatMap((direction) => direction[key] ?? []);
    return parts.length === 0 ? [] : [stackParts(emit, parts, axis)];
  };
  const [y] = stack("y", 1);
  const states = [...stack("h", stateAxis), ...stack("c", stateAxis)];
  return [s.batchFirst ? emit.Transpose([y], { perm: [2, 0, 1, 3] }) : requireValue(y), ...states];
}

function recurrent(kind: Kind): Op {
  return defineOp<Settings>({
    name: kind,
    manySteps: true,
    mustBe: ({ inputs: [, w] }) => {
      if (w === undefined) return [];
      const dims = [unknownDim("", 0), unknownDim("", 1), w.dims?.[2] ?? unknownDim("", 2)];
      return [{ input: 0, type: { type: w.type, dims } }];
    },
    read: (site) => read(kind, site),
    infer,
    wants: (s, site) =>
      site.inputs[4] === undefined ? [] : requireLengths(4, site.inputs[0]?.dims?.[s.batchFirst ? 1 : 0]),
    parameters: [1, 2, 3, 7],
    weight: (_, site) => weights(site),
    axes: (s, site) => ({
      links: linkAxes(kind, s),
      resize: ({ dims }) =>
        site.attribute("hidden_size") === undefined ? {} : countAttribute("hidden_size", dims("in2")[2]),
    }),
    lower: (s, emit, inputs) => lower(kind, s, emit, inputs),
    cost: (_, site) =>
      withDims(site, [0, 1, 2], (x = [], w = [], r = []) =>
        multiplyDims(elementCount(x.slice(0, 2)), addDims(elementCount(w), elementCount(r))),
      ),
    quantize: new Miss("runs in float; its weights alone may be stored as integers"),
  });
}

export const recurrentOperators: readonly Op[] = [recurrent("RNN"), recurrent("GRU"), recurrent("LSTM")];
