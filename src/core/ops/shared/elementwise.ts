/** Defines elementwise operators. Backpropagation sums their gradients over broadcast axes. */
import { commutative, type DataType, type Dim, type Emit, Miss, sameDims, type Value } from "#graph";
import {
  type Affine,
  type Derivation,
  defineOp,
  type Inferred,
  type Inputs,
  type Op,
  type OpDef,
  type Site,
} from "../define.ts";
import { readInteger } from "./attributes.ts";
import { broadcastAxes, sameAxes } from "./axis-links.ts";
import { combineElements, isIntegerOrBool, withElements, withUncheckedElements } from "./elements.ts";
import { broadcast, inferShape, isConstant, requireInput } from "./shapes.ts";

interface DerivativeInputs<S> {
  readonly emit: Emit;
  /** dLoss/dy */
  readonly up: Value;
  readonly y: Value;
  readonly s: S;
}

interface OperatorRow<S> {
  readonly name: string;
  readonly read?: (site: Site) => S;
  readonly type?: DataType;
  readonly onDims?: (...operands: readonly Dim[]) => Dim | undefined;
  /** Computes the operator on floats derived from dimensions, such as half of a height. */
  readonly onFloats?: (...operands: readonly Dim[]) => Dim | undefined;
  readonly quantize?: OpDef<S>["quantize"];
  readonly needsFloat32?: NonNullable<OpDef<S>["needsFloat32"]>;
}

type UnaryRow<S> = UnaryFacets<S> &
  (
    | {
        /** dLoss/dx */
        readonly derivative: ((parts: DerivativeInputs<S> & { readonly x: Value }) => Value | undefined) | Miss;
      }
    | { readonly lower: (parts: Omit<DerivativeInputs<S>, "up" | "y"> & { readonly x: Value }) => Value }
  );

interface UnaryFacets<S> extends OperatorRow<S> {
  readonly inChannelBlocks?: NonNullable<OpDef<S>["inChannelBlocks"]>;
  readonly unchanged?: OpDef<S>["unchanged"];
  readonly homogeneous?: OpDef<S>["homogeneous"];
  readonly containers?: true;
  readonly inSteps?: true;
  readonly saturates?: readonly [low: number, high: number];
}

function addKnownElements(
  inferred: Inferred,
  site: Site,
  { onDims, onFloats }: Pick<OperatorRow<unknown>, "onDims" | "onFloats">,
): Inferred {
  if (site.inputs.every((operand) => operand !== undefined && isIntegerOrBool(operand.type)))
    return onDims === undefined ? inferred : withElements(inferred, combineElements(site, onDims));
  if (onFloats === undefined || (inferred.type !== "float32" && inferred.type !== "float64")) return inferred;
  const elements = combineElements(site, onFloats);
  // ONNX Runtime rounds every step: 10 · 0.7 is 7 in float32, but slightly less in float64.
  const round = (element: Dim | undefined): Dim | undefined =>
    typeof element === "number" && inferred.type === "float32" ? Math.fround(element) : element;
  return withUncheckedElements(inferred, elements?.map(round));
}

export function defineUnary<S = undefined>(row: UnaryRow<S>): Op {
  return defineOp<S>({
    name: row.name,
    byElement: true,
    commutes: commutative.has(row.name),
    needsFloat32: row.needsFloat32,
    inChannelBlocks: row.inChannelBlocks,
    containers: row.containers,
    inSteps: row.inSteps,
    saturates: row.saturates,
    read: (site) => row.read?.(site) as S,
    infer: (_, site) => {
      const { type, dims, container } = requireInput(site, 0);
      if (container !== undefined) return [{ type, dims, container }];
      return [addKnownElements({ type: row.type ?? type, dims }, site, row)];
    },
    unchanged: row.unchanged,
    homogeneous: row.homogeneous,
    axes: (_, __, dims) => sameAxes(dims),
    quantize: row.quantize,
    ...gradientFacetOf(row),
  });
}

function gradientFacetOf<S>(row: UnaryRow<S>) {
  if ("lower" in row) return { lower: (s: S, emit: Emit, [x]: Inputs) => [row.lower({ emit, x, s })] };
  const { derivative } = row;
  if (derivative instanceof Miss) return { gradient: derivative };
  return { gradient: (s: S, { emit, inputs: [x], y, up }: Derivation) => [derivative({ emit, up, x, y, s })] };
}

export type BinaryDerivative<S = undefined> = (
  parts: DerivativeInputs<S> & { readonly a: Value; readonly b: Value | undefined },
) => Value;

export interface BinaryRow<S> extends OperatorRow<S> {
  /** dLoss/da and dLoss/db. */
  readonly derivatives: readonly [BinaryDerivative<S>, BinaryDerivative<S>] | Miss;
  /** Constants that leave the other operand unchanged: on the left (`0 + x`), on the right (`x - 0`). */
  readonly neutral?: { readonly left?: number; readonly right?: number };
  /** Returns scale and shift of x for a stored value c on the right (`x ∘ c`) or on the left (`c ∘ x`). */
  readonly affine?: (c: number, side: "left" | "right") => readonly [scale: number, shift: number] | undefined;
  /** The axis at which the second operand aligned before opset 7, without an attribute. */
  readonly oldAxis?: number;
  readonly homogeneous?: OpDef<S>["homogeneous"];
  readonly inChannelBlocks?: NonNullable<OpDef<S>["inChannelBlocks"]>;
  readonly parameters?: OpDef<S>["parameters"];
  readonly wants?: NonNullable<OpDef<S>["wants"]>;
}

/** Returns whether the second operand aligns with inner axes of the first, as was possible before opset 7. */
function alignsInnerAxes(site: Site, oldAxis: number | undefined): boolean {
  const axis = readInteger(site, "broadcast", 0) === 0 ? oldAxis : readInteger(site, "axis", undefined);
  const [a = [], b] = [site.inputs[0]?.dims, site.inputs[1]?.dims];
  if (site.version >= 7 || axis === undefined || b?.every((dim) => dim === 1)) return false;
  return (axis < 0 ? axis + a.length : axis) + (b?.length ?? 0) !== a.length;
}

export function defineBinary<S = undefined>(row: BinaryRow<S>): Op {
  const { derivatives } = row;
  return defineOp<S>({
    name: row.name,
    byElement: true,
    commutes: commutative.has(row.name),
    needsFloat32: row.needsFloat32,
    inChannelBlocks: row.inChannelBlocks,
    ...(row.type === undefined ? { sameType: 0 } : {}),
    read: (site) =>
      alignsInnerAxes(site, row.oldAxis)
        ? new Miss("broadcasts along inner axes, as before opset 7")
        : (row.read?.(site) as S),
    infer: (_, site) => {
      const outputs = inferShape(site, broadcast, row.type, [0, 1]);
      return outputs instanceof Miss ? outputs : outputs.map((inferred) => addKnownElements(inferred, site, row));
    },
    unchanged: (_, site) => unchangedOperand(site, row.neutral),
    affine: (_, site) => affineOf(site, row.affine),
    homogeneous: row.homogeneous,
    wants: row.wants,
    parameters: row.parameters,
    scales: () => [row.neutral?.left, row.neutral?.right].flatMap((neutral, input) => (neutral === 1 ? [input] : [])),
    axes: (_, site) => broadcastAxes(site),
    gradient:
      derivatives instanceof Miss
        ? derivatives
        : (s, { emit, inputs: [a, b], y, up, wanted }) => {
            const parts = { emit, up, a, b, y, s };
            return derivatives.map((derivative, input) => (wanted(input) ? derivative(parts) : undefined));
          },
    quantize: row.quantize,
  });
}

/** Returns the operand that equals the output because the other is a neutral constant, such as 0 in x + 0. */
function unchangedOperand(site: Site, neutral: BinaryRow<unknown>["neutral"] = {}): number | undefined {
  return [0, 1].find((input) => {
    const [operand, constant] = [site.inputs[input], site.inputs[1 - input]];
    const value = input === 0 ? neutral.right : neutral.left;
    if (value === undefined || operand?.dims === undefined || constant?.dims === undefined) return false;
    if (!isConstant(constant, value)) return false;
    const dims = broadcast(operand.dims, constant.dims);
    return !(dims instanceof Miss) && sameDims(dims, operand.dims);
  });
}

/** Returns scale and shift per channel of an operator with one stored operand. */
function affineOf(site: Site, scaleAndShift: BinaryRow<unknown>["affine"]): Affine | Miss {
  const constant = site.inputs[1]?.stored === true ? 1 : 0;
  const [c, x] = [site.inputs[constant], site.inputs[1 - constant]];
  if (
    scaleAndShift === undefined ||
    c?.stored !== true ||
    x?.stored !== false ||
    c.dims === undefined ||
    x.dims === undefined
  )
    return new Miss("does not scale or shift by stored numbers");
  const dims = broadcast(x.dims, c.dims);
  if (dims instanceof Miss || !sameDims(dims, x.dims)) return new Miss("broadcasts what it scales");
  const [axis, ...otherAxes] = axesLongerThanOne(c.dims);
  if (otherAxes.length > 0) return new Miss("scales or shifts by more than one number for each channel");
  const side = constant === 1 ? "right" : "left";
  if (scaleAndShift(1, side) === undefined) return new Miss("its stored operand is on the left");
  return {
    kind: "arithmetic",
    dataInput: 1 - constant,
    axis: axis === undefined ? undefined : x.dims.length - c.dims.length + axis,
    inputs: [constant],
    of: ([numbers = new Float64Array(0)]) => ({
      scale: numbers.map((number) => scaleAndShift(number, side)?.[0] ?? 1),
      shift: numbers.map((number) => scaleAndShift(number, side)?.[1] ?? 0),
    }),
  };
}

const axesLongerThanOne = (dims: readonly Dim[]): readonly number[] =>
  dims.flatMap((dim, axis) => (dim === 1 ? [] : [axis]));

/** Returns the input that is a stored vector with one value per channel of the other input, an activation. */
export function channelVectorInputs({ inputs }: Site): readonly number[] {
  if (inputs.length !== 2) return [];
  return [0, 1].filter((input) => {
    const [vector, data] = [inputs[input], inputs[1 - input]];
    if (vector?.stored !== true || data?.stored !== false || vector.dims === undefined || data.dims === undefined)
      return false;
    const [axis, ...otherAxes] = axesLongerThanOne(vector.dims);
    return (
      axis !== undefined && otherAxes.length === 0 && data.dims.at(axis - vector.dims.length) === vector.dims[axis]
    );
  });
}

interface VariadicRow extends OperatorRow<null> {
  /** dLoss/d(operand). */
  readonly derivatives: (
    parts: Omit<DerivativeInputs<null>, "s"> & { readonly operands: readonly Value[] },
  ) => readonly Value[];
  readonly parameters?: OpDef<null>["parameters"];
}

/** Any number of operands; the identity for one. */
export function defineVariadic({ name, onDims, parameters, derivatives, quantize }: VariadicRow): Op {
  return defineOp({
    name,
    infer: (_, site) => {
      const outputs = inferShape(site, broadcast, undefined, [...site.inputs.keys()]);
      if (outputs instanceof Miss || onDims === undefined) return outputs;
      return outputs.map((inferred) => withElements(inferred, combineElements(site, onDims)));
    },
    unchanged: (_, site) => (site.inputs.length === 1 ? 0 : undefined),
    homogeneous: (_, site) => ({ products: site.inputs.map((_, input) => [input]) }),
    parameters,
    axes: (_, site) => broadcastAxes(site),
    gradient: (_, { emit, inputs, y, up }) => {
      const operands = inputs.filter((input) => input !== undefined);
      return operands.length === 1 ? [up] : derivatives({ emit, up, y, operands });
    },
    quantize,
  });
}
