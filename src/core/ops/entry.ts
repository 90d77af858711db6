/**
 * Operator definitions: shape inference, gradients, channel links, costs and quantization ask these facets and never look at an operator's name.
 * A "no" is a `Miss` with a reason. `Complete` lists the facets that every operator must define.
 */
import type { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Attribute, Container, Node, Value, ValueType } from "../graph/graph.ts";
import type { Dim } from "../tensor/dims.ts";
import type { Dense, Tensor } from "../tensor/types.ts";

/** The facts about one input or output that rules can use. */
export interface Operand extends ValueType {
  /** The container type if the value is not a tensor: `type` is then the element type, and `dims` are undefined. Requires `OpDef.containers`. */
  readonly container?: Container;
  /** Known elements of a small integer, boolean or shape-like tensor. They carry shapes through Shape → Gather → Concat → Reshape. */
  readonly elements?: readonly Dim[];
  readonly small?: Dense;
  /** True if all elements come from stored tensors (weights, constants), possibly through a mask or a DequantizeLinear. */
  readonly stored: boolean;
}

/** A node as its operator definition sees it. */
export interface Site {
  /** The opset version of the operator's domain. */
  readonly version: number;
  readonly inputs: readonly (Operand | undefined)[];
  /** The number of outputs, including trailing absent ones. */
  readonly outputs: number;
  attribute(name: string): Attribute | undefined;
  /** Returns a named dimension that depends on the data (such as a count of nonzeros). Outputs that share it must pass the same arguments. */
  open(output: number, axis: number): Dim;
  /** The subgraph in an attribute. */
  body(attribute: string): Body | undefined;
}

/** A subgraph as the definition of its node sees it. */
export interface Body {
  readonly inputs: readonly (ValueType | undefined)[];
  /** Infers the outputs from what is known about the inputs. Values captured from the outer graph are known already. */
  infer(inputs: readonly (Inferred | undefined)[]): readonly (Inferred | undefined)[];
  /**
   * Finds what holds for loop-carried values in every iteration. `start` describes them before the loop; `turn` calls `infer` once and returns the
   * new states, then the other outputs; `open` names a dimension that is unknown.
   */
  settle(
    start: readonly Inferred[],
    turn: (states: readonly Inferred[]) => readonly (Inferred | undefined)[],
    open: (state: number, axis: number) => Dim,
  ): Settled | Miss;
  /** Multiply-accumulates of one run, based on the last `infer`; a Miss if a node in the subgraph has no count. */
  macs(): Dim | Miss;
  /** True if the subgraph holds subgraphs or function calls. Inferring those once per operand would be exponential in the depth. */
  readonly nested: boolean;
}

export interface Settled {
  readonly states: readonly Inferred[];
  readonly others: readonly (Inferred | undefined)[];
}

/** A definition does not return `stored`: it follows from the inputs. */
export type Inferred = Omit<Operand, "stored">;

/** The inputs of a node. A verified model has all inputs that the operator requires. */
export type Inputs = readonly [Value, ...(Value | undefined)[]];

/** The walker's data for a node that receives gradients. */
export interface GradientScope {
  readonly emit: Emit;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly (Value | undefined)[];
  /** dLoss/dOutput; undefined if the loss does not depend on the output. */
  readonly upstream: readonly (Value | undefined)[];
  wanted(input: number): boolean;
  /** Removes and returns the sum of dLoss/dInput so far. A definition that can add to it for free (a matrix product) returns the total. */
  take(input: number): Contribution | undefined;
  /** The channels per block, if convolutions on blocked channels are faster. */
  readonly channelBlock?: number | undefined;
}

export interface Derivation extends GradientScope {
  readonly inputs: Inputs;
  readonly y: Value;
  readonly up: Value;
}

/** factor · value */
export interface Contribution {
  readonly value: Value;
  readonly factor: number;
}

/** One end of a link: an input or output of the node and an axis of its tensor. */
export type AxisEnd = readonly [port: `in${number}` | `out${number}`, axis: number];

/**
 * How indices along an axis of an input relate to those of another axis; tells what must be removed together when channels are cut.
 * - `{ from, to }`: index i of `from` is index i of `to`, or the indices `map(i)`. Backward, only complete images `map(i)` are followed.
 * - `{ absorbs }`: the axis is summed over, so a channel of zeros changes nothing. An absorbed axis can also be linked.
 * - `{ refuses, reason }`: removing indices changes the result; with `statistics` only because a mean or variance covers fewer indices (of `to`).
 * An axis without a link refuses. Links of absent inputs and outputs are ignored.
 */
export type AxisLink =
  | { readonly from: AxisEnd; readonly to: AxisEnd; readonly map?: (index: number) => readonly number[] }
  | { readonly absorbs: AxisEnd }
  | { readonly refuses: AxisEnd; readonly reason: string; readonly statistics?: { readonly to?: AxisEnd } };

/** The attributes or small constant inputs of a node that must change with the dimensions of its operands. */
export interface NodeChange {
  /** Undefined removes an attribute. */
  readonly attributes?: Readonly<Record<string, Attribute | undefined>>;
  readonly inputs?: Readonly<Record<number, Dense>>;
  /** The remaining parts of stored inputs whose axes do not count channels, such as packed blocks. */
  readonly packed?: Readonly<Record<number, Restored>>;
  /** Offsets for an integer input that is assembled at run time and only partly known. */
  readonly shifts?: Readonly<Record<number, Dense>>;
}

/** The part of a stored tensor that remains after a cut. */
export interface Restored {
  readonly dims: readonly number[];
  of(before: Dense): Dense;
}

/** The new dimensions of the operands after a cut, and the removed indices. */
export interface ChannelCut {
  dims(port: AxisEnd[0]): readonly Dim[];
  removed(end: AxisEnd): readonly number[];
}

export interface AxisRule {
  readonly links: readonly AxisLink[];
  /** Only operators that repeat dimensions in attributes or constants need this: Reshape, grouped Conv, Split. */
  readonly resize?: (cut: ChannelCut) => NodeChange;
}

/** The input that holds a layer's weight, and its axes of output and input channels (per group). */
export interface WeightRole {
  /** A lookup table, whose rows are selected by integers: rows are inputs, columns are outputs. Undefined if the weight is multiplied. */
  readonly kind?: "lookup";
  readonly input: number;
  readonly out: number;
  readonly in: number;
  readonly groups: number;
  readonly bias?: number;
  /** The input that can hold a bias with one value per output channel. */
  readonly biasInput?: number;
  /** The input with the activations, and the channel axes of that input and of output 0. -1 is the last axis, for unknown ranks. */
  readonly data: number;
  readonly dataAxis: number;
  readonly outputAxis: number;
  /** A fused step (activation, sum) after the product: later factors cannot be folded into the weight. */
  readonly fused?: string;
  /** The attribute that scales the product; its default is 1. */
  readonly scaled?: { readonly attribute: string; readonly factor: number };
  readonly packed?: PackedWeight;
  /** Axes that count independent matrices: the directions of a recurrent layer, or the batch axes of a product. */
  readonly stack?: readonly number[];
  /**
   * Further output axes, in the order of output 0 after `outputAxis`: 8 × 64 values per head in a weight (512, 8, 64).
   * Axes that no field names count taps: values for each pair of input and output.
   */
  readonly outTaps?: readonly number[];
  /** Distinguishes several weights of one node in the layer's name, such as "recurrence". */
  readonly part?: string;
  readonly window?: SlidingWindow;
  /** Writes the layer as a chain of several. */
  readonly chain?: Chain;
}

/** The axes of the weight along which a window slides, the strides, and the attribute that counts groups. */
export interface SlidingWindow {
  readonly axes: readonly number[];
  readonly strides: readonly number[];
  readonly groups: string;
}

/** A weight stored in packed blocks: its channels and the bits per value. `out` and `in` are the axes of the matrix. */
export interface PackedWeight {
  readonly outputs: number;
  readonly inputs: number;
  readonly bits: number;
  /** Writes the float matrix from the node's inputs. */
  matrix(emit: Emit, inputs: readonly (Value | undefined)[]): Value | Miss;
}

/** One layer of a chain: same operator, same groups. `name` prefixes its output. */
export interface ChainPart {
  readonly name: string;
  /** Has the layout of the layer's weight, with size 1 along window axes that it does not use. */
  readonly weight: Value;
  /** The window axes, counted from 0, that keep the layer's kernel, strides, padding and dilations. Default: none. */
  readonly window?: readonly number[];
}

/** Writes a chain of layers in place of one. The first layer transposes the data; the last applies factors and the bias. */
export type Chain = (emit: Emit, inputs: readonly (Value | undefined)[], parts: readonly ChainPart[]) => Value;

/** y = scale · x + shift per index of an axis, with stored values: batch normalization, or a product with a vector. */
export interface Affine {
  readonly kind: "normalization" | "arithmetic";
  readonly data: number;
  /** The axis of x and y; undefined if scale and shift are scalars. */
  readonly axis: number | undefined;
  readonly inputs: readonly number[];
  /** Computes scale and shift from the elements of `inputs`: one per index of the axis, or one in all. */
  of(vectors: readonly Float64Array[]): { readonly scale: Float64Array; readonly shift: Float64Array };
  /** The inputs that hold the running mean and variance by which x is normalized. */
  readonly statistics?: { readonly mean: number; readonly variance: number };
}

/**
 * The products of inputs that an operator adds up: if every product is scaled by s > 0, so is the output. Relu is [[0]], Conv [[0, 1], [2]], batch
 * normalization (x - mean) · scale + bias [[0, 1], [3, 1], [2]]. Inputs in no product stay unscaled. Links tell along which axes s can differ.
 */
export interface Homogeneity {
  readonly products: readonly (readonly number[])[];
  /** Axes linked for factors but not for cuts, such as the scale of a layer normalization along the normalized axis. */
  readonly links?: readonly Extract<AxisLink, { readonly from: AxisEnd }>[];
}

export interface TrainingForm {
  /** Stored inputs of the role `state`: carried from step to step, or only marking that the node is trained. */
  readonly states: readonly number[];
  /** True if the node itself declares training mode, whatever the roles. */
  readonly declared: boolean;
  /**
   * Writes the outputs in training and the next values of the states.
   * @param draw An odd number below 2³¹, another one in each step.
   */
  write(
    emit: Emit,
    inputs: readonly (Value | undefined)[],
    draw: () => Value,
  ): { readonly outputs: readonly Value[]; readonly next: ReadonlyMap<number, Value> } | Miss;
  /** Writes the inference outputs of a node that declares training mode. */
  readonly inference:
    | ((emit: Emit, inputs: readonly (Value | undefined)[]) => readonly (Value | undefined)[])
    | undefined;
}

/** How an operator can be quantized. */
export type QuantizeRule =
  /** A layer: data, weight, output and (int32) bias are quantized. */
  | {
      readonly kind: "weighted";
      readonly weight: WeightRole;
      /** The integer bias has the scale data scale × weight scale × this factor (beta of Gemm). Undefined: the bias stays float. */
      readonly biasFactor?: number;
      /** The attribute that holds `biasFactor`; its default is 1. */
      readonly biasAttribute?: string;
      /** The operator on integers: (x: uint8, weight: (u)int8) → int32, without bias. */
      readonly integer: (
        emit: Emit,
        operands: {
          readonly x: Value;
          readonly weight: Value;
          readonly xZeroPoint: Value;
          readonly weightZeroPoint?: Value;
        },
      ) => Value;
      readonly channelDims: (channels: number) => readonly number[];
      /** True if the 2-D weight must be transposed to inputs × outputs for the integer form. */
      readonly integerTransposed: boolean;
      /** ONNX Runtime has an integer kernel even if the output is not quantized. */
      readonly floatResult?: true;
    }
  /** Output and input share scale and zero point: values are only moved or selected. */
  | {
      readonly kind: "transparent";
      /** The operator on quantized values, if ONNX Runtime does not fuse DequantizeLinear → operator → QuantizeLinear. Input 0 is quantized. */
      readonly onCodes?: (emit: Emit, inputs: Inputs, zeroPoint: Value) => Value;
    }
  /** Limits values to an interval that contains 0 (undefined: unbounded). A quantized range that ends at these bounds has the same effect. */
  | {
      readonly kind: "clamp";
      readonly low: number | undefined;
      readonly high: number | undefined;
      /** Channels have bounds of their own, which apply first. */
      readonly eachChannel?: true;
    }
  /** An activation function with quantized inputs and output. */
  | {
      readonly kind: "activation";
      readonly inputs: readonly number[];
      /** The output holds the values of all inputs (Concat) under one scale. */
      readonly joins?: true;
      /** The minimum ratio of output scale to first input scale that ONNX Runtime's kernel supports. */
      readonly finest?: number;
    };

export type Facet<F> = F | Miss;

/** The closed interval of values that an input needs for the node to run or to be meaningful. */
export interface Wanted {
  readonly input: number;
  readonly low: Dim;
  readonly high: Dim;
  /** Values outside are an error; otherwise they are only unlikely. */
  readonly strict: boolean;
}

export type WantedInterval = Omit<Wanted, "input">;

/** An input of quantized values: (value - zero point) · scale. Without `scale`, a later node applies the scale. */
export interface CodedInput {
  readonly input: number;
  readonly scale?: number;
  readonly zeroPoint: number;
}

/** Facts about every node of an operator, independent of its settings. */
export interface Traits {
  /** The input whose element type all outputs have, even if their dimensions are unknown. */
  readonly sameType?: number;
  /** Types and ranks that a kernel requires of inputs that are not fully known. */
  readonly mustBe?: (site: Site) => readonly { readonly input: number; readonly type: ValueType }[];
  /** Accepts sequences, optionals and maps. Other operators accept only tensors. */
  readonly containers?: true | undefined;
  /** The kind of the attribute "seed" if the operator draws random values; can depend on which inputs are present. */
  readonly random?: (inputs: readonly unknown[]) => "float" | "int" | undefined;
  /** The tensor attribute that is output 0, such as a weight in a Constant. */
  readonly holds?: (attribute: Site["attribute"]) => Tensor | undefined;
  readonly codes?: readonly CodedInput[];
  /** Computes element by element, so storage order does not matter. */
  readonly byElement?: true;
  /** A step function: a difference in the last bits of an input can change the output by a whole step. */
  readonly inSteps?: true | undefined;
  /** The input of which only the element type matters. */
  readonly typeOnly?: number;
  /** The input with the padding of each axis (before, after). ONNX Runtime fuses it into the window that reads output 0 if it is stored. */
  readonly padding?: number;
  /** Attribute values that were renamed in a later opset version, or the default before it. */
  readonly renamed?: {
    readonly since: number;
    readonly attribute: string;
    readonly values?: Readonly<Record<string, string>>;
    readonly absent?: string;
  };
  /** The maximum padding per axis (before, after): ONNX Runtime rejects pools with more. */
  readonly maxPadding?: (site: Site) => readonly number[] | undefined;
  /** The reason why the node must compute in float32 in a float16 model. */
  readonly needsFloat32?: ((node: Node) => string | undefined) | undefined;
  /** An attribute that ONNX Runtime 1.24 to 1.30 computes wrongly in float16 subgraphs. It is omitted there. */
  readonly wrongInHalfInside?: string;
  /** Reads its weights once for many steps, so dequantizing them is cheap and an integer form is not faster. */
  readonly manySteps?: true;
  /** The gradient is shorter than that of its primitives, so it is not lowered before differentiation. */
  readonly differentiatedWhole?: true;
}

/** Output 0 sums to one (probabilities), or its exponentials do (logarithms). */
export interface Distribution {
  readonly form: "probabilities" | "logarithms";
  /** The axes over which the sum is taken; undefined if unknown. */
  readonly axes: readonly number[] | undefined;
}

/** An operator definition. `S` holds the settings: attributes and constant inputs, read once and independent of the opset. */
export interface OpDef<S> extends Traits {
  readonly name: string;
  /** "" is ai.onnx. */
  readonly domain?: string;
  /** Omitted if there is nothing to read: S is null. */
  read?: (site: Site) => S | Miss;
  /** Infers the facts about each output; undefined for an output of unknown type. */
  infer(s: S, site: Site): readonly (Inferred | undefined)[] | Miss;
  /** The input that output 0 equals in elements, type and dimensions, as a Reshape to the same shape does. Undefined if they can differ. */
  readonly unchanged?: ((s: S, site: Site) => number | undefined) | undefined;
  /** The stored scale and shift of an input, which the preceding layer could apply instead. */
  readonly affine?: (s: S, site: Site) => Affine | Miss;
  /** How positive factors pass through: only the products if the links of `axes` suffice. Omitted if the operator is not homogeneous. */
  readonly homogeneous?: readonly (readonly number[])[] | ((s: S, site: Site) => Homogeneity | undefined) | undefined;
  /** Omitted if training and inference compute the same. */
  readonly training?: (s: S, site: Site) => TrainingForm | undefined;
  /** Writes the outputs with ONNX Runtime's operators on blocks of `block` channels, for fixed dimensions; undefined if that is not faster. */
  readonly inChannelBlocks?:
    | ((s: S, emit: Emit, inputs: readonly (Value | undefined)[], block: number) => readonly Value[] | undefined)
    | undefined;
  /** Tells whether output 0 is a distribution for any input. */
  readonly distribution?: (s: S, site: Site) => Distribution | undefined;
  /** The asymptotes of output 0 (0 and 1 for probabilities). Near them outputs are rounded relative to the interval, so tiny outputs say little. */
  readonly saturates?: readonly [low: number, high: number] | undefined;
  /** The inputs that hold trained values, as far as they are stored. */
  readonly parameters?: readonly number[] | ((s: S, site: Site) => readonly number[]) | undefined;
  /** The inputs that are 1 before training (scales, running variances). Other stored vectors are 0 then. */
  readonly scales?: (s: S, site: Site) => readonly number[];
  /** The value ranges that inputs need (indices, bounds); `output` holds those that readers of output 0 need. Omitted if any value is valid. */
  readonly wants?: ((s: S, site: Site, output: readonly WantedInterval[]) => readonly Wanted[]) | undefined;
  /** Several roles for an operator with several matrices. */
  readonly weight?: Facet<(s: S, site: Site) => WeightRole | readonly WeightRole[] | Miss> | undefined;
  /** Called once the dimensions of input 0 are known. Links suffice if nothing must be rewritten. */
  readonly axes: Facet<(s: S, site: Site, dims: readonly Dim[]) => AxisRule | readonly AxisLink[] | Miss>;
  /** Writes a fused operator as primitives, one value per output. It and `gradient` can use opset 18: callers upgrade the model first. */
  readonly lower?: Facet<(s: S, emit: Emit, inputs: Inputs) => readonly Value[] | Miss>;
  /** dLoss/dInput for each wanted input, before broadcasting is undone (the walker sums broadcast axes). Omitted if the operator is lowered first. */
  readonly gradient?: Facet<(s: S, g: Derivation) => readonly (Value | undefined)[] | Miss>;
  readonly cost?: Facet<(s: S, site: Site) => Dim | Miss> | undefined;
  /** Omitted if the operator runs in float. */
  readonly quantize?: Facet<(s: S, site: Site) => QuantizeRule | Miss> | undefined;
}
