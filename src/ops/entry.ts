/**
 * The shape of an entry in this folder.
 *
 * Walkers (shapes, gradients, channel groups, costs, quantization placement) ask the entry and never look at an operator's name.
 * "No" is a `Miss` with its reason; the most frequent "no" is left out. The facets that every operator is required: `Complete`.
 */
import type { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Attribute, Container, Node, Value, ValueType } from "../graph/graph.ts";
import type { Dim } from "../tensor/dims.ts";
import type { Dense, Tensor } from "../tensor/types.ts";

/** What a rule knows of an input or output. */
export interface Operand extends ValueType {
  /**
   * What it is if it is no tensor; `type` is that of the tensors inside then, and `dims` are undefined. Only entries that say so
   * (`OpDef.containers`) are handed such.
   */
  readonly container?: Container;
  /**
   * The elements of a small tensor of integers, booleans or shares of dimensions (a float that a shape was cast to), where they are known:
   * Shape → Gather → Concat → Reshape.
   */
  readonly elements?: readonly Dim[];
  /** The elements of a small stored tensor of any type. */
  readonly small?: Dense;
  /** True if the numbers come from stored tensors alone, perhaps through a mask or a DequantizeLinear: a weight or a constant. */
  readonly stored: boolean;
}

/** A node as its entry sees it. */
export interface Site {
  /** The version of the operator set in force. */
  readonly version: number;
  readonly inputs: readonly (Operand | undefined)[];
  /** How many outputs the node has, trailing absent ones included. */
  readonly outputs: number;
  attribute(name: string): Attribute | undefined;
  /**
   * A dimension that only the data decide (how many elements are not zero): a name of its own for this output and axis, so that it equals
   * itself alone. Outputs that share one ask for the same.
   */
  open(output: number, axis: number): Dim;
  /** The graph in an attribute; undefined if there is none. */
  body(attribute: string): Body | undefined;
}

/** A graph inside a node, as the node's entry sees it. */
export interface Body {
  /** What it states of its inputs. */
  readonly inputs: readonly (ValueType | undefined)[];
  /** What is known of its outputs, given what is known of its inputs; undefined where that is nothing. Values from outside are known anyway. */
  infer(inputs: readonly (Inferred | undefined)[]): readonly (Inferred | undefined)[];
  /**
   * What holds of the values that a loop carries before its first turn and after any. `start` is what holds of them before the first; `turn` asks
   * `infer` once and returns what it makes of them, then the outputs beside them; `open` makes a size of one that is not known.
   */
  settle(
    start: readonly Inferred[],
    turn: (states: readonly Inferred[]) => readonly (Inferred | undefined)[],
    open: (state: number, axis: number) => Dim,
  ): Settled | Miss;
  /** Multiply-accumulates of one run of it, by what was last inferred; a Miss if a node inside is not counted. */
  macs(): Dim | Miss;
  /** Whether it holds graphs or calls of functions: to look into it once for each of many operands would cost a power of the depth. */
  readonly nested: boolean;
}

export interface Settled {
  readonly states: readonly Inferred[];
  /** What a turn returns beside the states. */
  readonly others: readonly (Inferred | undefined)[];
}

/** The output of `infer`: `stored` follows from the inputs. */
export type Inferred = Omit<Operand, "stored">;

/** The inputs of a node whose first is there; what else it requires, a verified model has. */
export type Inputs = readonly [Value, ...(Value | undefined)[]];

/** What the walker tells of a node that gradients arrive at. */
export interface GradientScope {
  readonly emit: Emit;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly (Value | undefined)[];
  /** dLoss/dOutput; undefined where nothing depends on the output. */
  readonly upstream: readonly (Value | undefined)[];
  /** Whether dLoss/dInput is needed. */
  wanted(input: number): boolean;
  /**
   * Takes over what was contributed to dLoss/dInput so far, in the input's own dimensions: an entry that can add to it for free (a matrix
   * product) returns the sum. Undefined if there is nothing to add to.
   */
  take(input: number): Contribution | undefined;
  /** How many channels a block has, where convolutions over blocks are faster; undefined where there are none. */
  readonly channelBlock?: number | undefined;
}

/** The same as an entry sees it. */
export interface Derivation extends GradientScope {
  readonly inputs: Inputs;
  /** Output 0. */
  readonly y: Value;
  /** dLoss/dy: zeros where the loss depends on other outputs alone. */
  readonly up: Value;
}

/** factor · value */
export interface Contribution {
  readonly value: Value;
  readonly factor: number;
}

/** An end of a link: a port of the node and an axis of the tensor there. */
export type AxisEnd = readonly [port: `in${number}` | `out${number}`, axis: number];

/**
 * How indices along an axis of an input relate to those of another axis. Links tell what must go together when channels are removed.
 * - `{ from, to }`: index i of `from` is index i of `to`, or the indices `map(i)`. Followed backwards only for whole images `map(i)`.
 * - `{ absorbs }`: the axis is summed over; a channel of zeros there changes nothing. One that is linked, too, is read by the node itself: what it
 *   computes without some of its indices is what it computes while they are read as zeros.
 * - `{ refuses, reason }`: removing indices of this axis would change what the operator computes. `statistics`: by nothing but that a mean or a variance is
 *   of the indices that are left, which are then those of `to`, where there is such an axis.
 * An axis that no link mentions refuses. Links of inputs and outputs that the node does not have are passed over.
 */
export type AxisLink =
  | { readonly from: AxisEnd; readonly to: AxisEnd; readonly map?: (index: number) => readonly number[] }
  | { readonly absorbs: AxisEnd }
  | { readonly refuses: AxisEnd; readonly reason: string; readonly statistics?: { readonly to?: AxisEnd } };

/** What has to change in the node itself once its operands have new dimensions: attributes, or small constant inputs. */
export interface NodeChange {
  /** Undefined takes an attribute away. */
  readonly attributes?: Readonly<Record<string, Attribute | undefined>>;
  readonly inputs?: Readonly<Record<number, Dense>>;
  /** Stored inputs whose axes do not count what went, as numbers in packed blocks: what is left of them. */
  readonly packed?: Readonly<Record<number, Restored>>;
  /** Added to an integer input that is put together at run time, of which only some elements are known. */
  readonly shifts?: Readonly<Record<number, Dense>>;
}

/** What is left of a stored tensor. */
export interface Restored {
  readonly dims: readonly number[];
  of(before: Dense): Dense;
}

/** The operands after channels were removed: their new dimensions, and which indices of an axis went. */
export interface ChannelCut {
  dims(port: AxisEnd[0]): readonly Dim[];
  removed(end: AxisEnd): readonly number[];
}

export interface AxisRule {
  readonly links: readonly AxisLink[];
  /** Needed only by operators that repeat dimensions in attributes or constants: Reshape, grouped Conv, Split. */
  readonly resize?: (cut: ChannelCut) => NodeChange;
}

/** The weight of a layer: which input it is, and which of its axes count output and input channels (per group). */
export interface WeightRole {
  /**
   * Rows of a table are picked by whole numbers, and nothing is multiplied: its rows are the inputs, its columns the outputs. Left out where
   * the weight is multiplied with.
   */
  readonly kind?: "lookup";
  readonly input: number;
  readonly out: number;
  readonly in: number;
  readonly groups: number;
  readonly bias?: number;
  /** The input where a vector with a number for each output channel may be added, if the operator has one. */
  readonly biasInput?: number;
  /** The input with the activations, and its channel axis; and the channel axis of output 0. -1, the last, where their rank is not known. */
  readonly data: number;
  readonly dataAxis: number;
  readonly outputAxis: number;
  /** What the operator still does to the product before it goes out: an activation, a sum. Nothing that follows can be folded into the weight. */
  readonly fused?: string;
  /** The attribute that scales the product, where it does: 1 without it. */
  readonly scaled?: { readonly attribute: string; readonly factor: number };
  readonly packed?: PackedWeight;
  /**
   * The axes that count independent matrices: the directions of a recurrent layer, whose output channels are the rows of all gates; the stack of a
   * product.
   */
  readonly stack?: readonly number[];
  /**
   * Further axes of outputs, which output 0 has in this order behind `outputAxis`: each output channel is so many numbers, 64 for each of 8 heads
   * in a weight (512, 8, 64). Axes that nothing here names count taps: numbers for each pair of an input and an output.
   */
  readonly outTaps?: readonly number[];
  /** What tells this weight from the others of the same node, in the layer's name: "recurrence". */
  readonly part?: string;
  /** The axes of the weight along which a window slides, and its strides along them; left out without a window. */
  readonly window?: { readonly axes: readonly number[]; readonly strides: readonly number[] };
  /** Writes the layer as several in a row; left out if the operator cannot be written so. */
  readonly chain?: Chain;
}

/** A weight that is stored in packed blocks: how many channels it stands for, and the bits of a code. `out` and `in` are the axes of the matrix. */
export interface PackedWeight {
  readonly outputs: number;
  readonly inputs: number;
  readonly bits: number;
  /** Writes the matrix in floats, of the inputs of the node. */
  matrix(emit: Emit, inputs: readonly (Value | undefined)[]): Value | Miss;
}

/** One layer of a chain, of the same operator and as many groups. Its output is named after `name`. */
export interface ChainPart {
  readonly name: string;
  /** Has the layout of the layer's weight, and size 1 along the axes of the window that it lacks. */
  readonly weight: Value;
  /** The axes of the window, counted from 0, along which it slides as the layer does: kernel, strides, padding, dilations. None by default. */
  readonly window?: readonly number[];
}

/**
 * Writes a chain of layers in place of one, given its inputs. What the operator does besides is done once: the first layer transposes the data, the
 * last applies factors and the bias.
 */
export type Chain = (emit: Emit, inputs: readonly (Value | undefined)[], parts: readonly ChainPart[]) => Value;

/** y = scale · x + shift for each index of an axis, with numbers that are stored: batch normalization, a product with a vector. */
export interface Affine {
  readonly kind: "normalization" | "arithmetic";
  /** The input that is x. */
  readonly data: number;
  /** The axis of x and y; undefined where all places have the same numbers. */
  readonly axis: number | undefined;
  /** The inputs that must be stored. */
  readonly inputs: readonly number[];
  /** Scale and shift from the elements of these inputs: for each index of the axis, or one for all. */
  of(vectors: readonly Float64Array[]): { readonly scale: Float64Array; readonly shift: Float64Array };
  /** The inputs with the mean and the variance that x was seen to have, where it is normalized by them. */
  readonly statistics?: { readonly mean: number; readonly variance: number };
}

/**
 * A sum of products of inputs, as positive factors see it: where each product has s > 0 times its value, so has every output. Relu is [[0]],
 * Conv [[0, 1], [2]], batch normalization (x - mean) · scale + bias [[0, 1], [3, 1], [2]]. Inputs in no product are as they were. Along which axes
 * factors may differ the links say.
 */
export interface Homogeneity {
  readonly products: readonly (readonly number[])[];
  /** Axes that go together for factors and not for cuts: what a layer normalization scales by, along the axis that it normalizes. */
  readonly links?: readonly Extract<AxisLink, { readonly from: AxisEnd }>[];
}

/** What a node computes while it is trained, where that is not what it computes then. */
export interface TrainingForm {
  /** The inputs with what is carried from step to step, or only says that there is training: stored tensors of the role `state`. */
  readonly states: readonly number[];
  /** Whether the node itself says that it is trained, whatever the roles. */
  readonly declared: boolean;
  /**
   * Its outputs in training, and what is stored for inputs in the next step.
   * @param draw An odd number below 2³¹, another one in each step.
   */
  write(
    emit: Emit,
    inputs: readonly (Value | undefined)[],
    draw: () => Value,
  ): { readonly outputs: readonly Value[]; readonly next: ReadonlyMap<number, Value> } | Miss;
  /** Its outputs in inference, of a node that states training mode. */
  readonly inference:
    | ((emit: Emit, inputs: readonly (Value | undefined)[]) => readonly (Value | undefined)[])
    | undefined;
}

/** Codes, and what makes numbers of them. */
export interface Coded {
  readonly codes: Value;
  readonly scale: Value;
  readonly zeroPoint: Value;
}

/** How numbers become codes. */
type Rounded = Omit<Coded, "codes">;

/** How an operator may be quantized. */
export type QuantizeRule =
  /** A layer: its data, weight and (int32) bias are quantized, its output too. */
  | {
      readonly kind: "weighted";
      readonly weight: WeightRole;
      /** Bias of the integer form is scaled by data scale × weight scale × this (beta of Gemm); undefined: the bias stays float. */
      readonly biasFactor?: number;
      /** The attribute that holds this factor: without it, it is 1. */
      readonly biasAttribute?: string;
      /** The same operator on integers: (x: uint8, weight: (u)int8) → int32, without bias. */
      readonly integer: (
        emit: Emit,
        operands: {
          readonly x: Value;
          readonly weight: Value;
          readonly xZeroPoint: Value;
          readonly weightZeroPoint?: Value;
        },
      ) => Value;
      /** The dimensions that a per-channel vector must have to multiply or add to the output. */
      readonly channelDims: (channels: number) => readonly number[];
      /** The same operator from codes to codes; the bias is int32. */
      readonly onCodes?: (emit: Emit, x: Coded, weight: Coded, bias: Value | undefined, y: Rounded) => Value;
      /** The integer form takes the (two-dimensional) weight as inputs × outputs; true if it must be transposed for that. */
      readonly integerTransposed: boolean;
      /** ONNX Runtime computes it on integers where its result is not rounded, too. */
      readonly floatResult?: true;
    }
  /** Output and input share scale and zero point: the numbers are only moved or selected. */
  | {
      readonly kind: "transparent";
      /** The same on codes, where ONNX Runtime does not find it between DequantizeLinear and QuantizeLinear; the first input is the codes. */
      readonly onCodes?: (emit: Emit, inputs: Inputs, zeroPoint: Value) => Value;
    }
  /** Limits numbers to an interval that contains 0; a bound is undefined where there is none. Codes that end at its bounds do the same. */
  | {
      readonly kind: "clamp";
      readonly low: number | undefined;
      readonly high: number | undefined;
      /** Channels have bounds of their own, of which these are met first. */
      readonly eachChannel?: true;
    }
  /** An activation that is quantized at its inputs and output. */
  | {
      readonly kind: "activation";
      readonly inputs: readonly number[];
      /** The same operator from codes to codes; `inputs` are those of the node, for what is not codes. */
      readonly onCodes?: (
        emit: Emit,
        operands: readonly Coded[],
        y: Rounded,
        inputs: readonly (Value | undefined)[],
      ) => Value;
      /** The output holds the numbers of all inputs, side by side under one scale. */
      readonly joins?: true;
      /** The smallest scale of the output, as a share of the first input's, for which ONNX Runtime's kernel runs. */
      readonly finest?: number;
    };

export type Facet<F> = F | Miss;

/** Which numbers an input should hold for a node to run, or to say something: from `low` to `high`, both included. */
export interface Wanted {
  readonly input: number;
  readonly low: Dim;
  readonly high: Dim;
  /** Other numbers are an error; else they are only unlikely. */
  readonly strict: boolean;
}

export type WantedInterval = Omit<Wanted, "input">;

/** An input that holds codes, and the inputs with what makes numbers of them: (code - zero point) · scale. Where no input has the scale, it multiplies the result further on. */
export interface CodedInput {
  readonly input: number;
  readonly scale?: number;
  readonly zeroPoint: number;
}

/** What holds for every node of an operator, whatever its settings; left out by those for which it does not. */
export interface Traits {
  /** The input whose element type every output has, whatever else is known: said even where the entry cannot tell dimensions. */
  readonly sameType?: number;
  /**
   * What an input is certain to be, by the others: of the type and rank that a kernel asks for, where nothing else tells. Only inputs of which
   * something is not known are asked about.
   */
  readonly mustBe?: (site: Site) => readonly { readonly input: number; readonly type: ValueType }[];
  /** Takes sequences, optionals and maps too: what is no tensor is refused for all other operators. */
  readonly containers?: true | undefined;
  /**
   * The kind of the attribute "seed" of an operator that draws random numbers, so that two runs differ. Undefined if it draws none: that may depend
   * on which inputs are there.
   */
  readonly random?: (inputs: readonly unknown[]) => "float" | "int" | undefined;
  /** The tensor that output 0 is, in whichever attribute it is written: a weight may stand there. */
  readonly holds?: (attribute: Site["attribute"]) => Tensor | undefined;
  readonly codes?: readonly CodedInput[];
  /** Computes element by element, so that it makes no difference in which order they lie. */
  readonly byElement?: true;
  /** Goes in steps: numbers that differ in their last bits may come out a whole step apart. */
  readonly inSteps?: true | undefined;
  /** The input of which the element type counts, and nothing else. */
  readonly typeOnly?: number;
  /** The input with the padding of each axis, before and behind, which ONNX Runtime moves into the window that reads output 0 once it is stored. */
  readonly padding?: number;
  /** What a version calls otherwise: values of an attribute that mean what others did before. */
  readonly renamed?: {
    readonly since: number;
    readonly attribute: string;
    readonly values: Readonly<Record<string, string>>;
  };
  /** By how much a window may be padded along its axes, before and behind: ONNX Runtime refuses pools that are padded by more. */
  readonly mostPadding?: (site: Site) => readonly number[] | undefined;
  /** Why it computes in float32 where others compute in float16, if it has to. */
  readonly needsFloat32?: ((node: Node) => string | undefined) | undefined;
  /** An attribute with which ONNX Runtime (1.24 to 1.30) computes wrongly in float16, in a graph inside a node: there it is left out. */
  readonly wrongInHalfInside?: string;
  /** Reads its weights once for many steps, so that making floats of their codes costs little beside them: it has no integer form that is faster. */
  readonly manySteps?: true;
  /** Its own gradient is shorter than that of its primitives: it is not lowered before it is differentiated. */
  readonly differentiatedWhole?: true;
}

/** What an operator normalizes: output 0 sums to one, or its exponentials do. */
export interface Distribution {
  readonly form: "probabilities" | "logarithms";
  /** The axes that are summed over together; undefined where they are not known. */
  readonly axes: readonly number[] | undefined;
}

/** An entry. `S` holds attributes and constant inputs, read once, opset differences gone. */
export interface OpDef<S> extends Traits {
  readonly name: string;
  /** "" is ai.onnx. */
  readonly domain?: string;
  /** Left out by those that read nothing: S is null. */
  read?: (site: Site) => S | Miss;
  /** What is known of each output; undefined for one of which not even the type is. */
  infer(s: S, site: Site): readonly (Inferred | undefined)[] | Miss;
  /**
   * The input that output 0 equals here, in elements, type and dimensions: a Reshape to what it was, a product with ones that broadcasts
   * nothing. Undefined where they differ, or may. Left out by those that never hand an input on.
   */
  readonly unchanged?: ((s: S, site: Site) => number | undefined) | undefined;
  /** Whether it scales and shifts an input by stored numbers, which the layer before it could do. Left out by those that never do. */
  readonly affine?: (s: S, site: Site) => Affine | Miss;
  /** How positive factors go through; the products alone where the links of `axes` are all there are. Left out by those that are not homogeneous. */
  readonly homogeneous?: readonly (readonly number[])[] | ((s: S, site: Site) => Homogeneity | undefined) | undefined;
  /** Left out by those that compute the same in training. */
  readonly training?: (s: S, site: Site) => TrainingForm | undefined;
  /**
   * The outputs by ONNX Runtime's operators on blocks of so many channels, for fixed dimensions; undefined where they are not faster. Left out by
   * those that have no such form, or need none (`byElement`).
   */
  readonly inChannelBlocks?:
    | ((s: S, emit: Emit, inputs: readonly (Value | undefined)[], block: number) => readonly Value[] | undefined)
    | undefined;
  /** Whether output 0 is a distribution, whatever goes in. Left out by those of which it never is. */
  readonly distribution?: (s: S, site: Site) => Distribution | undefined;
  /**
   * The asymptotes of output 0: there it is rounded in steps of its whole interval, so that a tiny number is a difference of two that are not, and
   * says little beside the input. Left out by those that have none; distributions of probabilities have 0 and 1.
   */
  readonly saturates?: readonly [low: number, high: number] | undefined;
  /** The inputs that hold trained numbers: those of a list that are stored. Left out by those that learn nothing. */
  readonly parameters?: readonly number[] | ((s: S, site: Site) => readonly number[]) | undefined;
  /**
   * The inputs that hold 1 where nothing was learnt yet: scales, and variances that were seen. Left out by those that have none. Other stored
   * vectors hold 0 then.
   */
  readonly scales?: (s: S, site: Site) => readonly number[];
  /**
   * The numbers that inputs should hold: indices of an axis, what lies between two bounds; `output` is wanted of output 0, and goes on to what it
   * is made of. Left out by those that take any numbers. What only moves numbers, or scales and shifts them, says so by other facets.
   */
  readonly wants?: ((s: S, site: Site, output: readonly WantedInterval[]) => readonly Wanted[]) | undefined;
  /** Several for an operator that holds several matrices. Left out by those that have none. */
  readonly weight?: Facet<(s: S, site: Site) => WeightRole | readonly WeightRole[] | Miss> | undefined;
  /** Asked once the dimensions of input 0 are known; links alone where nothing is to be rewritten. */
  readonly axes: Facet<(s: S, site: Site, dims: readonly Dim[]) => AxisRule | readonly AxisLink[] | Miss>;
  /**
   * A fused operator as primitives, one value for each output. Left out by those that are primitive. It and the gradient may write whatever
   * opset 18 has: who asks raises the model to it first.
   */
  readonly lower?: Facet<(s: S, emit: Emit, inputs: Inputs) => readonly Value[] | Miss>;
  /**
   * dLoss/dInput for each wanted input, in the input's shape before broadcasting is undone (the walker sums over broadcast axes). Left out by
   * those that are lowered first.
   */
  readonly gradient?: Facet<(s: S, g: Derivation) => readonly (Value | undefined)[] | Miss>;
  /** Multiply-accumulates. Left out by those that have none. */
  readonly cost?: Facet<(s: S, site: Site) => Dim | Miss> | undefined;
  /** Left out by those that run in float. */
  readonly quantize?: Facet<(s: S, site: Site) => QuantizeRule | Miss> | undefined;
}
