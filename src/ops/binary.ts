/**
 * Element by element, two operands, with broadcasting: arithmetic, comparison, logic.
 * Gradients are written in the broadcast shape; the walker sums over broadcast axes.
 * Opset history: before 7, broadcasting was one-sided and asked for by attributes (`axis`, `broadcast`): refused.
 * Add takes a stored vector as the bias of the layer before it: trained.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { addDims, type Dim, divideDims, isSymbolic, multiplyDims, sameDims } from "../tensor/dims.ts";
import type { DataType } from "../tensor/types.ts";
import { defineOp, noParameters, type Op, type OpDef, type Site } from "./define.ts";
import { combineElements, equalElements, withElements } from "./elements.ts";
import { broadcast, broadcastAxes, dimsAt, isConstant, need, noMacs, scalar, typeOf } from "./rules.ts";

type Derivative = (parts: {
  readonly emit: Emit;
  readonly up: Value;
  readonly a: Value;
  readonly b: Value;
  readonly y: Value;
  readonly number: (value: number) => Value;
}) => Value;

interface Row {
  readonly name: string;
  /** dLoss/da and dLoss/db. */
  readonly derivatives: readonly [Derivative, Derivative] | Miss;
  /** The same arithmetic on dimensions, for shapes computed in the graph. */
  readonly onDims?: (...operands: readonly Dim[]) => Dim | undefined;
  readonly type?: DataType;
  /** Constants that leave the other operand as it is: on the left (`0 + x`), on the right (`x - 0`). */
  readonly neutral?: { readonly left?: number; readonly right?: number };
  readonly parameters?: OpDef<null>["parameters"];
  readonly quantize?: OpDef<null>["quantize"];
}

function binary(row: Row): Op {
  const { derivatives, onDims } = row;
  return defineOp<null>({
    name: row.name,
    read: (site) => (site.version < 7 ? new Miss("broadcasts by attributes before opset 7") : null),
    infer: (_, site) => {
      const a = dimsAt(site, 0);
      const b = dimsAt(site, 1);
      const type = row.type ?? need(site, 0).type;
      if (a instanceof Miss || b instanceof Miss) return [{ type, dims: undefined }];
      const dims = broadcast(a, b);
      if (dims instanceof Miss) return dims;
      return [withElements({ type, dims }, onDims === undefined ? undefined : combineElements(site, onDims))];
    },
    unchanged: (_, site) => keptOperand(site, row.neutral),
    parameters: row.parameters ?? noParameters,
    weight: new Miss("has no weight"),
    axes: (_, site) => broadcastAxes(site),
    lower: new Miss("is primitive"),
    gradient:
      derivatives instanceof Miss
        ? derivatives
        : (_, { emit, inputs, outputs, upstream, wanted }) => {
            const [a, b] = inputs;
            const [y] = outputs;
            const [up] = upstream;
            if (a === undefined || b === undefined || y === undefined || up === undefined) return [];
            const parts = { emit, up, a, b, y, number: (value: number) => scalar(emit, typeOf(y), value) };
            return derivatives.map((derivative, input) => (wanted(input) ? derivative(parts) : undefined));
          },
    cost: noMacs,
    quantize: row.quantize ?? new Miss("runs in float"),
  });
}

/** The operand that a neutral constant leaves as it is, unless the constant broadcasts it. */
function keptOperand(site: Site, neutral: Row["neutral"] = {}): number | undefined {
  const sides = [
    { kept: 0, constant: 1, value: neutral.right },
    { kept: 1, constant: 0, value: neutral.left },
  ];
  return sides.find(({ kept, constant, value }) => {
    const [a, b] = [site.inputs[kept]?.dims, site.inputs[constant]?.dims];
    if (value === undefined || a === undefined || b === undefined) return false;
    if (!isConstant(site.inputs[constant], value)) return false;
    const dims = broadcast(a, b);
    return !(dims instanceof Miss) && sameDims(dims, a);
  })?.kept;
}

const joins = () => ({ kind: "activation", inputs: [0, 1] }) as const;
const flat = new Miss("is constant almost everywhere");
const both = (f: Derivative): readonly [Derivative, Derivative] => [f, f];

/** A stored operand with more than one element, added to an activation, is a bias. */
function bias(_: null, site: Site): readonly number[] {
  return site.inputs.flatMap((operand, input) =>
    operand?.stored === true && operand.dims?.some((dim) => dim !== 1) ? [input] : [],
  );
}

const comparison = (name: string, more: Pick<Row, "onDims" | "neutral"> = {}): Op =>
  binary({ name, derivatives: flat, type: "bool", ...more });

export const binaryOperators: readonly Op[] = [
  binary({
    name: "Add",
    neutral: { left: 0, right: 0 },
    derivatives: both(({ up }) => up),
    onDims: (a = 0, b = 0) => addDims(a, b),
    parameters: bias,
    quantize: joins,
  }),
  binary({
    name: "Sub",
    neutral: { right: 0 },
    derivatives: [({ up }) => up, ({ emit, up }) => emit.Neg([up])],
    onDims: (a = 0, b = 0) => addDims(a, multiplyDims(-1, b)),
  }),
  binary({
    name: "Mul",
    neutral: { left: 1, right: 1 },
    derivatives: [({ emit, up, b }) => emit.Mul([up, b]), ({ emit, up, a }) => emit.Mul([up, a])],
    onDims: (a = 0, b = 0) => multiplyDims(a, b),
    quantize: joins,
  }),
  binary({
    name: "Div",
    neutral: { right: 1 },
    // d(a/b)/db = -y/b
    derivatives: [
      ({ emit, up, b }) => emit.Div([up, b]),
      ({ emit, up, b, y }) => emit.Neg([emit.Mul([up, emit.Div([y, b])])]),
    ],
    // Integer division truncates; exact quotients and non-negative numbers are what shape arithmetic needs.
    onDims: (a = 0, b = 0) =>
      isSymbolic(a) || isSymbolic(b) ? divideDims(a, b) : b === 0 ? undefined : Math.trunc(a / b),
  }),
  binary({
    name: "Pow",
    neutral: { right: 1 },
    // d(aᵇ)/da = b · aᵇ⁻¹; d(aᵇ)/db = y · ln a, taken as 0 where a = 0. The exponent may be of another type than the base.
    derivatives: [
      ({ emit, up, a, b, number }) => {
        const exponent = typeOf(b) === typeOf(a) ? b : emit.CastLike([b, a]);
        return emit.Mul([up, emit.Mul([exponent, emit.Pow([a, emit.Sub([exponent, number(1)])])])]);
      },
      ({ emit, up, a, y, number }) => {
        const safe = emit.Where([emit.Equal([a, number(0)]), number(1), a]);
        return emit.Mul([up, emit.Mul([y, emit.Log([safe])])]);
      },
    ],
  }),
  comparison("Equal", { onDims: (a = 0, b = 0) => equalElements(a, b) }),
  comparison("Greater"),
  comparison("GreaterOrEqual"),
  comparison("Less"),
  comparison("LessOrEqual"),
  comparison("And", { neutral: { left: 1, right: 1 } }),
  comparison("Or", { neutral: { left: 0, right: 0 } }),
];

/** Any number of operands. Those that share the extremum share the gradient evenly. */
function extremum(name: "Max" | "Min"): Op {
  return defineOp<null>({
    name,
    read: (site) => (site.version < 8 ? new Miss("does not broadcast before opset 8") : null),
    infer: (_, site) => {
      const shapes = site.inputs.map((_, input) => dimsAt(site, input));
      const type = need(site, 0).type;
      const known = shapes.flatMap((dims) => (dims instanceof Miss ? [] : [dims]));
      if (known.length < shapes.length) return [{ type, dims: undefined }];
      const dims = broadcast(...known);
      if (dims instanceof Miss) return dims;
      const choose = name === "Max" ? Math.max : Math.min;
      const onDims = (...operands: readonly Dim[]): Dim | undefined => {
        if (operands.every((dim) => dim === operands[0])) return operands[0];
        return operands.every((dim) => typeof dim === "number")
          ? choose(...(operands as readonly number[]))
          : undefined;
      };
      return [withElements({ type, dims }, combineElements(site, onDims))];
    },
    unchanged: (_, site) => (site.inputs.length === 1 ? 0 : undefined),
    parameters: noParameters,
    weight: new Miss("has no weight"),
    axes: (_, site) => broadcastAxes(site),
    lower: new Miss("is primitive"),
    gradient: (_, { emit, inputs, outputs: [y], upstream: [up] }) => {
      if (up === undefined || y === undefined) return [];
      if (inputs.length === 1) return [up];
      const operands = inputs.filter((input) => input !== undefined);
      const reached = operands.map((input) => emit.CastLike([emit.Equal([input, y]), up]));
      const share = emit.Div([up, reached.reduce((sum, value) => emit.Add([sum, value]))]);
      return reached.map((value) => emit.Mul([share, value]));
    },
    cost: noMacs,
    quantize: new Miss("runs in float"),
  });
}

export const extremumOperators: readonly Op[] = [extremum("Max"), extremum("Min")];
