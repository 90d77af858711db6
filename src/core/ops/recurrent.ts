/**
 * Recurrent layers: RNN, GRU and LSTM, with D directions, H hidden units and G gates. `layout` 1 puts the batch first.
 * Inputs: X steps × batch × inputs, W D × G·H × inputs, R D × G·H × H, biases B D × 2·G·H (of W, then of R), peepholes P of LSTM D × 3·H.
 * Outputs: Y steps × D × batch × H, and the last states D × batch × H.
 * - RNN: h' = f(W·x + R·h + b)
 * - GRU (gates z, r, h): h' = (1 - z) ∘ g(W·x + R·(r ∘ h) + b) + z ∘ h; `linear_before_reset` replaces R·(r ∘ h) by r ∘ (R·h + b_R)
 * - LSTM (gates i, o, f, c): c' = f ∘ c + i ∘ g(…), h' = o ∘ h(c'); a peephole adds P ∘ c to the gates; `input_forget` makes f = 1 - i
 * The state of a sample is unchanged after its end. Removing a hidden unit has the same effect as a unit that is always 0.
 */
import type { Dim, Emit, Value } from "#graph";
import { addDims, elementCount, fromNumbers, Miss, multiplyDims, unknownDim } from "#graph";
import type { AxisEnd, AxisLink, Inferred, Inputs, Op, Site, WeightRole } from "./define.ts";
import { defineOp } from "./define.ts";
import { type Activation, readActivations, writeActivation } from "./shared/activations.ts";
import { readFlag, readFloat, readInteger, readString } from "./shared/attributes.ts";
import {
  countAttribute,
  range,
  requireInput,
  requireLengths,
  requireValue,
  scalar,
  typeOf,
  withDims,
} from "./shared/shapes.ts";

type Kind = "RNN" | "GRU" | "LSTM";

const gateCounts: Readonly<Record<Kind, number>> = { RNN: 1, GRU: 3, LSTM: 4 };
const defaultActivations: Readonly<Record<Kind, readonly string[]>> = {
  RNN: ["Tanh"],
  GRU: ["Sigmoid", "Tanh"],
  LSTM: ["Sigmoid", "Tanh", "Tanh"],
};

interface Settings {
  readonly hidden: Dim;
  readonly backward: readonly boolean[];
  readonly isBatchFirst: boolean;
  readonly clip: number | undefined;
  readonly activations: readonly (readonly Activation[])[];
  readonly linearBeforeReset: boolean;
  readonly couplesForgetGate: boolean;
}

function read(kind: Kind, site: Site): Settings | Miss {
  const direction = readString(site, "direction", "forward");
  const backward = direction === "bidirectional" ? [false, true] : [direction === "reverse"];
  const activations = readActivations(site, defaultActivations[kind], backward.length);
  if (activations instanceof Miss) return activations;
  const hidden = site.inputs[2]?.dims?.[2] ?? readInteger(site, "hidden_size", 0);
  return {
    hidden,
    backward,
    isBatchFirst: readFlag(site, "layout"),
    clip: readFloat(site, "clip", undefined),
    activations,
    linearBeforeReset: readFlag(site, "linear_before_reset"),
    couplesForgetGate: readFlag(site, "input_forget"),
  };
}

function infer(s: Settings, site: Site): readonly Inferred[] {
  const { type, dims } = requireInput(site, 0);
  const count = s.backward.length;
  if (dims === undefined) return range(3).map(() => ({ type, dims }));
  const [first = 1, second = 1] = dims;
  const [steps, batch] = s.isBatchFirst ? [second, first] : [first, second];
  const state: Inferred = { type, dims: s.isBatchFirst ? [batch, count, s.hidden] : [count, batch, s.hidden] };
  const outDims = s.isBatchFirst ? [batch, steps, count, s.hidden] : [steps, count, batch, s.hidden];
  return [{ type, dims: outDims }, state, state];
}

/** Links each hidden unit to its row in the gates, in all directions. */
function linkAxes(kind: Kind, s: Settings): readonly AxisLink[] {
  const [stepsAxis, batchAxis] = s.isBatchFirst ? [1, 0] : [0, 1];
  const stateBatchAxis = s.isBatchFirst ? 0 : 1;
  const hiddenUnit = ["in2", 2] as const;
  const { hidden } = s;
  const linkGateRows = (port: AxisEnd[0], parts: number): AxisLink => ({
    from: hiddenUnit,
    to: [port, 1],
    map: (index) => (typeof hidden === "number" ? range(parts).map((part) => part * hidden + index) : []),
  });
  const states = (["in5", "in6"] as const).flatMap((port): AxisLink[] => [
    { from: [port, stateBatchAxis], to: ["in0", batchAxis] },
    { from: [port, 1 - stateBatchAxis], to: ["in1", 0] },
    { from: [port, 2], to: hiddenUnit },
  ]);
  return [
    { from: ["in0", batchAxis], to: ["out0", s.isBatchFirst ? 0 : 2] },
    { from: ["in0", batchAxis], to: ["out1", stateBatchAxis] },
    { from: ["in0", batchAxis], to: ["out2", stateBatchAxis] },
    ...states,
    { from: ["in4", 0], to: ["in0", batchAxis] },
    { from: ["in0", 2], to: ["in1", 2] },
    { refuses: ["in0", stepsAxis], reason: "each step depends on the one before" },
    { refuses: ["in1", 0], reason: "directions are separate" },
    linkGateRows("in1", gateCounts[kind]),
    linkGateRows("in2", gateCounts[kind]),
    linkGateRows("in3", 2 * gateCounts[kind]),
    linkGateRows("in7", 3),
    { absorbs: hiddenUnit },
    { from: hiddenUnit, to: ["out0", 3] },
    { from: hiddenUnit, to: ["out1", 2] },
    { from: hiddenUnit, to: ["out2", 2] },
  ];
}

/** Returns the roles of W and R: stacks of one matrix per direction. */
function weightRoles(site: Site): readonly WeightRole[] | Miss {
  const bias = site.inputs[3]?.stored === true ? { bias: 3 } : {};
  const commonRole = { out: 1, in: 2, groups: 1, stack: [0], dataAxis: 2, outputAxis: 3 };
  const roles: readonly WeightRole[] = [
    { ...commonRole, input: 1, data: 0, ...bias },
    { ...commonRole, input: 2, data: 5, part: "recurrence" },
  ];
  const storedRoles = roles.filter(({ input }) => site.inputs[input]?.stored === true);
  return storedRoles.length === 0 ? new Miss("the weights are activations") : storedRoles;
}

/** More unrolled steps would make the graph too large: a step has up to about 30 nodes. */
const maxSteps = 512;

interface Direction {
  readonly s: Settings;
  readonly emit: Emit;
  readonly functions: readonly Activation[];
  /** Rᵀ, H × G·H. */
  readonly recurrence: Value;
  /** b_R, if it must be added in each step (`linear_before_reset`). */
  readonly recurrenceBias: Value | undefined;
  readonly peepholes: readonly Value[] | undefined;
  readonly hidden: number;
}

interface State {
  readonly h: Value;
  readonly c: Value | undefined;
}

function writeGate({ s, emit, functions }: Direction, sum: Value, functionIndex: number): Value {
  const clippedSum = s.clip === undefined ? sum : emit.Clip([sum, -s.clip, s.clip]);
  return writeActivation(emit, clippedSum, functions[functionIndex] as Activation);
}

function splitEqually(emit: Emit, value: Value, parts: number, size: number, axis = -1): readonly Value[] {
  if (parts === 1 && axis === -1) return [value];
  return emit.many("Split", [value, new Array<number>(parts).fill(size)], { axis }, parts);
}

function stepRNN(d: Direction, x: Value, { h }: State): State {
  return { h: writeGate(d, d.emit.Add([x, d.emit.MatMul([h, d.recurrence])]), 0), c: undefined };
}

function stepGRU(d: Direction, x: Value, { h }: State): State {
  const { emit, hidden } = d;
  const [xz, xr, xh] = splitEqually(emit, x, 3, hidden);
  const sum = (a: Value | undefined, b: Value | undefined): Value => emit.Add([a, b]);
  // Writes (1 - z) ∘ candidate + z ∘ h.
  const blend = (z: Value, candidate: Value): State => ({
    h: sum(candidate, emit.Mul([z, emit.Sub([h, candidate])])),
    c: undefined,
  });
  if (d.s.linearBeforeReset) {
    const product = emit.MatMul([h, d.recurrence]);
    const biasedProduct = d.recurrenceBias === undefined ? product : sum(product, d.recurrenceBias);
    const [rz, rr, rh] = splitEqually(emit, biasedProduct, 3, hidden);
    const z = writeGate(d, sum(xz, rz), 0);
    const r = writeGate(d, sum(xr, rr), 0);
    return blend(z, writeGate(d, sum(xh, emit.Mul([r, rh])), 1));
  }
  const [rz, rr, rh] = splitEqually(emit, d.recurrence, 3, hidden);
  const z = writeGate(d, sum(xz, emit.MatMul([h, rz])), 0);
  const r = writeGate(d, sum(xr, emit.MatMul([h, rr])), 0);
  return blend(z, writeGate(d, sum(xh, emit.MatMul([emit.Mul([r, h]), rh])), 1));
}

function stepLSTM(d: Direction, x: Value, { h, c }: State): State {
  const { emit } = d;
  const [xi, xo, xf, xc] = splitEqually(emit, emit.Add([x, emit.MatMul([h, d.recurrence])]), 4, d.hidden);
  const addPeephole = (value: Value | undefined, index: number, cell: Value | undefined): Value =>
    d.peepholes === undefined ? requireValue(value) : emit.Add([value, emit.Mul([d.peepholes[index], cell])]);
  const input = writeGate(d, addPeephole(xi, 0, c), 0);
  const forget = d.s.couplesForgetGate ? emit.Sub([1, input]) : writeGate(d, addPeephole(xf, 2, c), 0);
  const candidate = writeGate(d, requireValue(xc), 1);
  const cell = emit.Add([emit.Mul([forget, c]), emit.Mul([input, candidate])]);
  const output = writeGate(d, addPeephole(xo, 1, cell), 0);
  return { h: emit.Mul([output, writeGate(d, cell, 2)]), c: cell };
}

const stepFunctions = { RNN: stepRNN, GRU: stepGRU, LSTM: stepLSTM };

function pickDirection(emit: Emit, value: Value | undefined, direction: number, axis = 0): Value {
  return emit.Gather([value, emit.constant(fromNumbers("int64", [], [direction]), "direction")], { axis });
}

function zeroState(emit: Emit, x: Value, hidden: number): Value {
  const batch = emit.Shape([x], { start: 1, end: 2 });
  return emit.Expand([scalar(emit, typeOf(x), 0), emit.Concat([batch, [hidden]], { axis: 0 })]);
}

function stackParts(emit: Emit, parts: readonly Value[], axis: number): Value {
  const layers = parts.map((part) => emit.Unsqueeze([part, [axis]]));
  const [onlyLayer] = layers;
  return layers.length === 1 && onlyLayer !== undefined ? onlyLayer : emit.Concat(layers, { axis });
}

function lower(kind: Kind, s: Settings, emit: Emit, inputs: Inputs): readonly Value[] | Miss {
  const [data, w, r, b, lengths, h0, c0, p] = inputs;
  const count = data.type?.dims?.[s.isBatchFirst ? 1 : 0];
  const { hidden } = s;
  if (typeof count !== "number" || typeof hidden !== "number")
    return new Miss("the number of steps or hidden units is not known");
  if (count > maxSteps || count === 0) return new Miss(`${count} steps cannot be unrolled`);
  const gates = gateCounts[kind];
  const x = s.isBatchFirst ? emit.Transpose([data], { perm: [1, 0, 2] }) : data;
  const stateAxis = s.isBatchFirst ? 1 : 0;
  const activeMasks = range(count).map((step) => {
    if (lengths === undefined) return undefined;
    const isActive = emit.Greater([lengths, emit.constant(fromNumbers("int32", [], [step]), "step")]);
    return emit.Unsqueeze([isActive, [1]]);
  });

  const directions = s.backward.map((backward, index) => {
    const matrix = (value: Value | undefined): Value =>
      emit.Transpose([pickDirection(emit, value, index)], { perm: [1, 0] });
    const [biasW, biasR] = b === undefined ? [] : splitEqually(emit, pickDirection(emit, b, index), 2, gates * hidden);
    const isSeparate = s.linearBeforeReset && kind === "GRU";
    const bias = biasW === undefined || biasR === undefined || isSeparate ? biasW : emit.Add([biasW, biasR]);
    const product = emit.MatMul([x, matrix(w)]);
    const sums = bias === undefined ? product : emit.Add([product, bias]);
    const steps = splitEqually(emit, sums, count, 1, 0).map((part) => emit.Squeeze([part, [0]]));
    const direction: Direction = {
      s,
      emit,
      functions: s.activations[index] ?? [],
      recurrence: matrix(r),
      recurrenceBias: isSeparate ? biasR : undefined,
      peepholes: p && splitEqually(emit, pickDirection(emit, p, index), 3, hidden),
      hidden,
    };
    const initialState = (value: Value | undefined): Value =>
      value === undefined ? zeroState(emit, x, hidden) : pickDirection(emit, value, index, stateAxis);
    let state: State = { h: initialState(h0), c: kind === "LSTM" ? initialState(c0) : undefined };
    const outputs = new Array<Value>(count);
    for (const step of backward ? range(count).reverse() : range(count)) {
      const next = stepFunctions[kind](direction, requireValue(steps[step]), state);
      const mask = activeMasks[step];
      const updateActive = (updated: Value, previous: Value): Value =>
        mask === undefined ? updated : emit.Where([mask, updated, previous]);
      outputs[step] = mask === undefined ? next.h : emit.Where([mask, next.h, 0]);
      state = { h: updateActive(next.h, state.h), c: next.c && state.c && updateActive(next.c, state.c) };
    }
    return { y: stackParts(emit, outputs, 0), ...state };
  });

  const stackDirections = (key: "y" | "h" | "c", axis: number): readonly Value[] => {
    const parts = directions.flatMap((direction) => direction[key] ?? []);
    return parts.length === 0 ? [] : [stackParts(emit, parts, axis)];
  };
  const [y] = stackDirections("y", 1);
  const states = [...stackDirections("h", stateAxis), ...stackDirections("c", stateAxis)];
  return [s.isBatchFirst ? emit.Transpose([y], { perm: [2, 0, 1, 3] }) : requireValue(y), ...states];
}

function defineRecurrent(kind: Kind): Op {
  return defineOp<Settings>({
    name: kind,
    mustBe: ({ inputs: [, w] }) => {
      if (w === undefined) return [];
      const dims = [unknownDim("", 0), unknownDim("", 1), w.dims?.[2] ?? unknownDim("", 2)];
      return [{ input: 0, type: { type: w.type, dims } }];
    },
    read: (site) => read(kind, site),
    infer,
    wants: (s, site) =>
      site.inputs[4] === undefined ? [] : requireLengths(4, site.inputs[0]?.dims?.[s.isBatchFirst ? 1 : 0]),
    parameters: [1, 2, 3, 7],
    weight: (_, site) => weightRoles(site),
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

export const recurrentOperators: readonly Op[] = [
  defineRecurrent("RNN"),
  defineRecurrent("GRU"),
  defineRecurrent("LSTM"),
];
