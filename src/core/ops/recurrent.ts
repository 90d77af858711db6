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
import { type Activation, activate, readActivations } from "./shared/activations.ts";
import { decimal, integer, text } from "./shared/attributes.ts";
import { need, range, requireLengths, scalar, typeOf, withDims } from "./shared/rules.ts";

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
  const direction = text(site, "direction", "forward");
  const backward = direction === "bidirectional" ? [false, true] : [direction === "reverse"];
  const activations = readActivations(site, defaults[kind], backward.length);
  if (activations instanceof Miss) return activations;
  const hidden = site.inputs[2]?.dims?.[2] ?? integer(site, "hidden_size", 0);
  return {
    hidden,
    backward,
    batchFirst: integer(site, "layout", 0) !== 0,
    clip: site.attribute("clip") === undefined ? undefined : decimal(site, "clip", 0),
    activations,
    linearBeforeReset: integer(site, "linear_before_reset", 0) !== 0,
    inputForget: integer(site, "input_forget", 0) !== 0,
  };
}

function infer(s: Settings, site: Site): readonly Inferred[] {
  const { type, dims } = need(site, 0);
  const count = s.backward.length;
  if (dims === undefined) return range(3).map(() => ({ type, dims }));
  const [steps, batch] = [dims[s.batchFirst ? 1 : 0] as Dim, dims[s.batchFirst ? 0 : 1] as Dim];
  const state: Inferred = { type, dims: s.batchFirst ? [batch, count, s.hidden] : [count, batch, s.hidden] };
  return [
    { type, dims: s.batchFirst ? [batch, steps, count, s.hidden] : [steps, count, batch, s.hidden] },
    state,
    state,
  ];
}

/** Inputs of the layer are summed over; a hidden unit is a row of each gate, in all directions. */
function links(kind: Kind, s: Settings): readonly AxisLink[] {
  const [steps, batch] = s.batchFirst ? [1, 0] : [0, 1];
  const state = s.batchFirst ? 0 : 1;
  const unit = ["in2", 2] as const;
  const rows = (port: AxisEnd[0], parts: number): AxisLink => ({
    from: unit,
    to: [port, 1],
    map: (index) => (typeof s.hidden === "number" ? range(parts).map((part) => part * Number(s.hidden) + index) : []),
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
  const found: WeightRole[] = [];
  if (site.inputs[1]?.stored === true) found.push({ ...common, input: 1, data: 0, ...bias });
  if (site.inputs[2]?.stored === true) found.push({ ...common, input: 2, data: 5, part: "recurrence" });
  return found.length === 0 ? new Miss("the weights are activations") : found;
}

/** The maximum number of unrolled steps: more would make tens of thousands of nodes. */
const mostSteps = 512;

interface Direction {
  readonly s: Settings;
  readonly emit: Emit;
  readonly functions: readonly Activation[];
  /** W·x for each step with all precomputed sums: batch × G·H. */
  readonly steps: readonly Value[];
  /** H × G·H */
  readonly recurrence: Value;
  /** b_R, if it cannot be added beforehand (`linear_before_reset`). */
  readonly recurrenceBias: Value | undefined;
  readonly peepholes: readonly Value[] | undefined;
  readonly hidden: number;
  readonly type: Parameters<typeof scalar>[1];
}

interface State {
  readonly h: Value;
  readonly c: Value | undefined;
}

function gate({ s, emit, functions }: Direction, sum: Value, which: number): Value {
  const limited = s.clip === undefined ? sum : emit.Clip([sum, -s.clip, s.clip]);
  return activate(emit, limited, functions[which] as Activation);
}

function split(emit: Emit, value: Value, parts: number, size: number): readonly Value[] {
  if (parts === 1) return [value];
  return emit.many("Split", [value, new Array<number>(parts).fill(size)], { axis: -1 }, parts);
}

function stepRNN(d: Direction, x: Value, { h }: State): State {
  return { h: gate(d, d.emit.Add([x, d.emit.MatMul([h, d.recurrence])]), 0), c: undefined };
}

function stepGRU(d: Direction, x: Value, { h }: State): State {
  const { emit, hidden } = d;
  const [xz, xr, xh] = split(emit, x, 3, hidden);
  const sum = (a: Value | undefined, b: Value | undefined): Value => emit.Add([a, b]);
  let [z, r, candidate]: (Value | undefined)[] = [];
  if (d.s.linearBeforeReset) {
    const product = emit.MatMul([h, d.recurrence]);
    const [rz, rr, rh] = split(
      emit,
      d.recurrenceBias === undefined ? product : sum(product, d.recurrenceBias),
      3,
      hidden,
    );
    z = gate(d, sum(xz, rz), 0);
    r = gate(d, sum(xr, rr), 0);
    candidate = gate(d, sum(xh, emit.Mul([r, rh])), 1);
  } else {
    const [rz, rr, rh] = split(emit, d.recurrence, 3, hidden);
    z = gate(d, sum(xz, emit.MatMul([h, rz])), 0);
    r = gate(d, sum(xr, emit.MatMul([h, rr])), 0);
    candidate = gate(d, sum(xh, emit.MatMul([emit.Mul([r, h]), rh])), 1);
  }
  // (1 - z) ∘ candidate + z ∘ h
  return { h: sum(candidate, emit.Mul([z, emit.Sub([h, candidate])])), c: undefined };
}

function stepLSTM(d: Direction, x: Value, { h, c }: State): State {
  const { emit } = d;
  const [xi, xo, xf, xc] = split(emit, emit.Add([x, emit.MatMul([h, d.recurrence])]), 4, d.hidden);
  const seen = (value: Value | undefined, peephole: number, cell: Value | undefined): Value =>
    d.peepholes === undefined && value !== undefined
      ? value
      : emit.Add([value, emit.Mul([d.peepholes?.[peephole], cell])]);
  const input = gate(d, seen(xi, 0, c), 0);
  const forget = d.s.inputForget ? emit.Sub([1, input]) : gate(d, seen(xf, 2, c), 0);
  const candidate = gate(d, xc as Value, 1);
  const cell = emit.Add([emit.Mul([forget, c]), emit.Mul([input, candidate])]);
  const output = gate(d, seen(xo, 1, cell), 0);
  return { h: emit.Mul([output, gate(d, cell, 2)]), c: cell };
}

const stepOf = { RNN: stepRNN, GRU: stepGRU, LSTM: stepLSTM };

function pick(emit: Emit, value: Value | undefined, at: number, axis = 0): Value {
  return emit.Gather([value, emit.constant(fromNumbers("int64", [], [at]), "direction")], { axis });
}

function noState(emit: Emit, x: Value, hidden: number): Value {
  const batch = emit.Shape([x], { start: 1, end: 2 });
  return emit.Expand([scalar(emit, typeOf(x), 0), emit.Concat([batch, [hidden]], { axis: 0 })]);
}

function stacked(emit: Emit, parts: readonly Value[], axis: number): Value {
  const open = parts.map((part) => emit.Unsqueeze([part, [axis]]));
  const [only] = open;
  return open.length === 1 && only !== undefined ? only : emit.Concat(open, { axis });
}

function lower(kind: Kind, s: Settings, emit: Emit, inputs: Inputs): readonly Value[] | Miss {
  const [given, w, r, b, lengths, h0, c0, p] = inputs;
  const count = given.type?.dims?.[s.batchFirst ? 1 : 0];
  if (typeof count !== "number" || typeof s.hidden !== "number")
    return new Miss("the number of steps or hidden units is not known");
  if (count > mostSteps || count === 0) return new Miss(`${count} steps are too many to unroll`);
  const { hidden } = s;
  const gates = gatesOf[kind];
  const type = typeOf(given);
  const x = s.batchFirst ? emit.Transpose([given], { perm: [1, 0, 2] }) : given;
  const stateAxis = s.batchFirst ? 1 : 0;
  const valid = range(count).map((step) => {
    if (lengths === undefined) return undefined;
    const reached = emit.Greater([lengths, emit.constant(fromNumbers("int32", [], [step]), "step")]);
    return emit.Unsqueeze([reached, [1]]);
  });

  const directions = s.backward.map((backward, at) => {
    const turned = (value: Value | undefined): Value => emit.Transpose([pick(emit, value, at)], { perm: [1, 0] });
    const [biasW, biasR] = b === undefined ? [] : split(emit, pick(emit, b, at), 2, gates * hidden);
    const apart = s.linearBeforeReset && kind === "GRU";
    const bias = biasW === undefined || biasR === undefined || apart ? biasW : emit.Add([biasW, biasR]);
    const product = emit.MatMul([x, turned(w)]);
    const all = bias === undefined ? product : emit.Add([product, bias]);
    const ones = new Array<number>(count).fill(1);
    const steps = emit.many("Split", [all, ones], { axis: 0 }, count).map((part) => emit.Squeeze([part, [0]]));
    const direction: Direction = {
      s,
      emit,
      functions: s.activations[at] ?? [],
      steps,
      recurrence: turned(r),
      recurrenceBias: apart ? biasR : undefined,
      peepholes: p === undefined ? undefined : split(emit, pick(emit, p, at), 3, hidden),
      hidden,
      type,
    };
    const initial = (value: Value | undefined): Value =>
      value === undefined ? noState(emit, x, hidden) : pick(emit, value, at, stateAxis);
    let state: State = { h: initial(h0), c: kind === "LSTM" ? initial(c0) : undefined };
    const outputs = new Array<Value>(count);
    for (const step of backward ? range(count).reverse() : range(count)) {
      const fresh = stepOf[kind](direction, steps[step] as Value, state);
      const mask = valid[step];
      const kept = (now: Value, before: Value): Value => (mask === undefined ? now : emit.Where([mask, now, before]));
      outputs[step] = mask === undefined ? fresh.h : emit.Where([mask, fresh.h, 0]);
      state = {
        h: kept(fresh.h, state.h),
        c: fresh.c === undefined || state.c === undefined ? undefined : kept(fresh.c, state.c),
      };
    }
    return { y: stacked(emit, outputs, 0), ...state };
  });

  const y = stacked(
    emit,
    directions.map((direction) => direction.y),
    1,
  );
  const states = (of: (state: State) => Value | undefined): Value[] => {
    const parts = directions.flatMap((direction) => of(direction) ?? []);
    return parts.length === 0 ? [] : [stacked(emit, parts, stateAxis)];
  };
  return [
    s.batchFirst ? emit.Transpose([y], { perm: [2, 0, 1, 3] }) : y,
    ...states((state) => state.h),
    ...states((state) => state.c),
  ];
}

function recurrent(kind: Kind): Op {
  return defineOp<Settings>({
    name: kind,
    manySteps: true,
    mustBe: ({ inputs: [, w] }) =>
      w === undefined
        ? []
        : [
            {
              input: 0,
              type: { type: w.type, dims: [unknownDim("", 0), unknownDim("", 1), w.dims?.[2] ?? unknownDim("", 2)] },
            },
          ],
    read: (site) => read(kind, site),
    infer,
    wants: (s, site) =>
      site.inputs[4] === undefined ? [] : requireLengths(4, site.inputs[0]?.dims?.[s.batchFirst ? 1 : 0]),
    parameters: [1, 2, 3, 7],
    weight: (_, site) => weights(site),
    axes: (s, site) => ({
      links: links(kind, s),
      resize: ({ dims }) =>
        site.attribute("hidden_size") === undefined
          ? {}
          : { attributes: { hidden_size: { kind: "int", value: Number(dims("in2")[2]) } } },
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
